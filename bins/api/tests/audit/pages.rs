//! Pages of events while others arrive, and what a cursor is good for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    help::{CHECKPOINTS, EVENTS, ids, question},
    support::{Api, World},
};

/// The ids of all pages, in order; between two pages something happens.
async fn walk(world: &World, filters: &str, limit: usize, mut between: impl AsyncFnMut()) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{EVENTS}?{filters}&limit={limit}{cursor}");
        let reply = world.read(&path).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let page = reply.json();
        let found = ids(&page);
        assert!(found.len() == limit || page["next_cursor"].is_null(), "{page}");
        seen.extend(found);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
        between().await;
    }
}

fn is_distinct(ids: &[String]) -> bool {
    ids.iter().collect::<BTreeSet<_>>().len() == ids.len()
}

/// The clock stands still, so that all happens at one moment and the order is by stream and number alone; the second instance
/// has a stream of its own.
///
/// spec: audit A34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_neither_repeat_nor_skip_while_events_of_two_instances_arrive() {
    let world = World::new().await;
    let second = Api::over(world.api.app.second().await, "", "x-forwarded-for").await;
    let (id, token) = world.key(&["checks:read"]).await;
    let call = async |api: &Api| {
        api.verify(&world.gateway, &question(&token)).await;
        api.app.flush().await;
    };
    for _ in 0..6 {
        call(&world.api).await;
        call(&second).await;
    }
    let filters = format!("actor={id}");
    let before = walk(&world, &filters, 200, async || ()).await;
    let seen = walk(&world, &filters, 5, async || {
        call(&world.api).await;
        call(&second).await;
    })
    .await;
    let skipped: Vec<_> = before.iter().filter(|id| !seen.contains(id)).collect();
    assert!(before.len() == 12 && skipped.is_empty() && is_distinct(&seen), "{skipped:?} {seen:?}");
}

/// spec: audit A34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readings_themselves_move_no_page() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    for _ in 0..5 {
        world.call(&token).await;
        world.api.app.advance(std::time::Duration::from_secs(1)).await;
    }
    let before = ids(&world.read(&format!("{EVENTS}?limit=200")).await.json());
    // The event of each page arrives before the next one is asked for, and passes the filter.
    let seen = walk(&world, "outcome=allowed", 2, async || ()).await;
    let missing: Vec<_> = before.iter().filter(|id| !seen.contains(id)).collect();
    assert!(missing.is_empty() && is_distinct(&seen), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_newest_first_and_an_export_oldest_first() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    for _ in 0..3 {
        world.call(&token).await;
        world.api.app.advance(std::time::Duration::from_secs(1)).await;
    }
    let page = world.read(&format!("{EVENTS}?actor={id}")).await.json();
    let export = world.read(&format!("/v1/orgs/acme/audit/export?actor={id}")).await.text;
    let lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut exported: Vec<String> = lines.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    exported.reverse();
    assert_eq!((exported.len(), ids(&page)), (3, exported));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_opens_only_its_own_list_of_its_own_organization_with_its_own_filters() {
    let world = World::new().await;
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let page = world.read(&format!("{EVENTS}?limit=1&outcome=allowed")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let mut broken = cursor.to_owned();
    broken.replace_range(3..4, if &cursor[3..4] == "A" { "B" } else { "A" });
    let asked = [
        format!("{EVENTS}?limit=2&outcome=allowed&cursor={cursor}"),
        format!("{EVENTS}?limit=1&cursor={cursor}"),
        format!("{EVENTS}?limit=1&outcome=denied&cursor={cursor}"),
        format!("{CHECKPOINTS}?cursor={cursor}"),
        format!("/v1/orgs/acme/keys?cursor={cursor}"),
        format!("{EVENTS}?outcome=allowed&cursor={broken}"),
        format!("{EVENTS}?outcome=allowed&cursor="),
        format!("{EVENTS}?outcome=allowed&cursor={}", &cursor[..20]),
    ];
    let mut seen = Vec::new();
    for path in asked {
        seen.push(world.read(&path).await.outcome());
    }
    let path = format!("/v1/orgs/other/audit/events?outcome=allowed&cursor={cursor}");
    seen.push(world.read_as(&stranger, &path).await.outcome());
    assert_eq!(seen.remove(0).0, 200);
    assert_eq!(seen, vec![(400, "invalid_cursor".to_owned()); 8]);
}

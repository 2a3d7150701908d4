//! The signed-in person's sessions: seen, and ended one by one or all but the own one.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    help::{DAY, HOUR, moment, text},
    support::{Browser, PEER, PUBLIC_URL, Reply, World},
};

const SESSION: &str = "/v1/session";
const OWN: &str = "/v1/me/sessions";
const SECOND: Duration = Duration::from_secs(1);

async fn listed(world: &World, browser: &Browser) -> Vec<Value> {
    world.api.get(OWN).cookie(browser).send().await.json()["items"].as_array().unwrap().clone()
}

/// The id of a browser's own session.
async fn own_id(world: &World, browser: &Browser) -> String {
    let items = listed(world, browser).await;
    text(&items.iter().find(|item| item["current"] == true).unwrap()["id"])
}

async fn end(world: &World, browser: &Browser, path: &str) -> Reply {
    world.api.ask("DELETE", path).browser(browser).send().await
}

/// Another sign-in of the owner, a second later.
async fn again(world: &World) -> Browser {
    world.api.app.advance(SECOND).await;
    world.api.sign_in(&world.org.owner).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_the_own_sessions_newest_first() {
    let world = World::new().await;
    let somebody = world.api.app.person(&world.org, "somebody", Role::Admin).await;
    world.api.sign_in(&somebody).await;
    world.api.app.advance(SECOND).await;
    let body = json!({"email": world.org.owner.email, "password": world.org.owner.password});
    world.api.post(SESSION).header("user-agent", "Browser/1.0").json(&body).send().await;
    let items = listed(&world, &world.owner).await;
    let newest = json!({"id": items[0]["id"], "created_at": items[0]["created_at"], "last_seen_at": items[0]["created_at"],
        "expires_at": items[0]["expires_at"], "ip": PEER, "user_agent": "Browser/1.0", "current": false});
    let life = moment(&items[0]["expires_at"]) - moment(&items[0]["created_at"]);
    assert_eq!(
        (items.len(), &items[0], life, &items[1]["current"]),
        (2, &newest, chrono::Duration::from_std(DAY * 7).unwrap(), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_have_ended_are_not_shown() {
    let world = World::new().await;
    let signed_out = again(&world).await;
    world.api.ask("DELETE", SESSION).browser(&signed_out).send().await;
    again(&world).await;
    world.api.app.advance(HOUR * 11).await;
    world.read(SESSION).await;
    world.api.app.advance(HOUR * 2).await;
    assert_eq!(listed(&world, &world.owner).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_each_session_once_also_where_many_are_of_one_moment() {
    let world = World::new().await;
    for _ in 0..4 {
        world.api.sign_in(&world.org.owner).await;
    }
    let whole = listed(&world, &world.owner).await;
    let (mut items, mut path) = (Vec::new(), format!("{OWN}?limit=2"));
    loop {
        let page = world.read(&path).await.json();
        items.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{OWN}?limit=2&cursor={cursor}");
    }
    assert_eq!((items.len(), items), (5, whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_sessions_has_bounds_and_its_cursor_is_its_owners() {
    let world = World::new().await;
    again(&world).await;
    let cursor = text(&world.read(&format!("{OWN}?limit=1")).await.json()["next_cursor"]);
    let somebody = world.api.app.person(&world.org, "somebody", Role::Owner).await;
    let browser = world.api.sign_in(&somebody).await;
    let mut outcomes = Vec::new();
    for query in ["limit=0", "limit=201", "user=x"] {
        outcomes.push(world.read(&format!("{OWN}?{query}")).await.outcome());
    }
    outcomes.push(world.api.get(&format!("{OWN}?cursor={cursor}")).cookie(&browser).send().await.outcome());
    let expected =
        [(422, "out_of_bounds"), (422, "out_of_bounds"), (422, "unknown_parameter"), (400, "invalid_cursor")];
    assert_eq!(outcomes, expected.map(|(status, code)| (status, code.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_stops_at_once_on_every_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let other = again(&world).await;
    let before = second.get(SESSION).cookie(&other).send().await.status;
    let ended = end(&world, &world.owner, &format!("{OWN}/{}", own_id(&world, &other).await)).await.status;
    let after = second.get(SESSION).cookie(&other).send().await.outcome();
    assert_eq!(
        (before, ended, after, world.read(SESSION).await.status),
        (200, 204, (401, "session_ended".into()), 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_the_own_session_is_a_sign_out() {
    let world = World::new().await;
    let reply = end(&world, &world.owner, &format!("{OWN}/{}", own_id(&world, &world.owner).await)).await;
    let removed = reply.header("set-cookie").starts_with("statuspulse_session=; ");
    let events = world.events("session.logout").await.len();
    assert_eq!((reply.status, removed, events, world.read(SESSION).await.status), (204, true, 1, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_others_and_those_that_are_not_there_are_not_found() {
    let world = World::new().await;
    let somebody = world.api.app.person(&world.org, "somebody", Role::Auditor).await;
    let browser = world.api.sign_in(&somebody).await;
    let (theirs, other) = (own_id(&world, &browser).await, again(&world).await);
    let ended = own_id(&world, &other).await;
    end(&world, &world.owner, &format!("{OWN}/{ended}")).await;
    let mut outcomes = Vec::new();
    for id in [&theirs, &ended, "00000000-0000-7000-8000-000000000000", "nonsense"] {
        outcomes.push(end(&world, &world.owner, &format!("{OWN}/{id}")).await.outcome());
    }
    let alive = world.api.get(SESSION).cookie(&browser).send().await.status;
    assert_eq!((outcomes, alive), (vec![(404, "not_found".into()); 4], 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_all_others_leaves_the_own_session_and_other_people() {
    let world = World::new().await;
    let somebody = world.api.app.person(&world.org, "somebody", Role::Admin).await;
    let theirs = world.api.sign_in(&somebody).await;
    let (one, two) = (again(&world).await, again(&world).await);
    let ended = end(&world, &world.owner, OWN).await;
    let mut statuses = Vec::new();
    for browser in [&one, &two, &theirs, &world.owner] {
        statuses.push(world.api.get(SESSION).cookie(browser).send().await.status);
    }
    let nothing = end(&world, &world.owner, OWN).await.json();
    assert_eq!(
        (ended.status, ended.json(), statuses, nothing),
        (200, json!({"ended": 2}), vec![401, 401, 200, 200], json!({"ended": 0}))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_session_that_was_ended_is_in_the_trail() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(own_id(&world, &again(&world).await).await);
    }
    end(&world, &world.owner, &format!("{OWN}/{}", ids[0])).await;
    end(&world, &world.owner, OWN).await;
    let events = world.events("session.logout").await;
    let mut told: Vec<String> = events.iter().map(|event| text(&event["detail"]["session_id"])).collect();
    told.sort();
    ids.sort();
    assert_eq!(told, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_key_nor_another_site_ends_sessions() {
    let world = World::new().await;
    let (_, token) = world.key(&["keys:read", "audit:read"]).await;
    let other = again(&world).await;
    let path = format!("{OWN}/{}", own_id(&world, &other).await);
    let mut outcomes = vec![world.api.get(OWN).key(&token).send().await.outcome()];
    for path in [OWN, &path] {
        outcomes.push(world.api.ask("DELETE", path).key(&token).send().await.outcome());
        outcomes.push(world.api.ask("DELETE", path).cookie(&world.owner).send().await.outcome());
        let ours = world.api.ask("DELETE", path).cookie(&world.owner).header("origin", PUBLIC_URL);
        outcomes.push(ours.send().await.outcome());
    }
    let codes = ["credential_not_allowed", "origin_not_allowed", "csrf_token_invalid"];
    let expected = [vec!["credential_not_allowed"], codes.repeat(2)].concat();
    let alive = world.api.get(SESSION).cookie(&other).send().await.status;
    assert_eq!((outcomes, alive), (expected.into_iter().map(|code| (403, code.to_owned())).collect(), 200));
}

//! The retry window of refresh tokens (oauth §5.4).

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_app::oauth::cleanup;

use crate::{
    client::{Client, Tokens, basic, confidential, with},
    help::{error, invalid_grant, outcome, outcomes, rotation, tokens},
    support::World,
};

/// An app with a window of thirty seconds, its first tokens and what they were traded for.
struct Rotated {
    world: World,
    client: Client,
    first: Tokens,
    second: Tokens,
}

impl Rotated {
    async fn new() -> Self {
        Self::with_window(30).await
    }

    async fn with_window(seconds: u64) -> Self {
        let world = World::new().await;
        let client = world.app(with(confidential(), json!({"refresh_retry_seconds": seconds}))).await;
        let first = world.tokens(&client).await;
        let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
        Self { world, client, first, second }
    }

    async fn retry(&self) -> crate::support::Reply {
        self.world.refresh(&self.client, &self.first.refresh).await
    }

    async fn later(&self, seconds: u64) {
        self.world.api.app.advance(Duration::from_secs(seconds)).await;
    }

    /// Whether each refresh token of the grant, oldest first, has a sealed successor.
    async fn sealed(&self) -> Vec<bool> {
        let query = "SELECT successor_sealed IS NOT NULL FROM oauth_refresh_tokens ORDER BY generation";
        let rows = self.world.db.client().await.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_the_window_a_retry_gives_the_same_successor_as_often_as_asked() {
    let rotated = Rotated::new().await;
    let mut successors = Vec::new();
    for seconds in [0, 15, 14] {
        rotated.later(seconds).await;
        successors.push(Tokens::of(&rotated.retry().await).refresh);
    }
    assert_eq!(successors, vec![rotated.second.refresh.clone(); 3]);
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_gives_a_fresh_access_token_beside_the_one_that_was_lost() {
    let rotated = Rotated::new().await;
    let again = Tokens::of(&rotated.retry().await);
    let tokens = [rotated.first.access.as_str(), &rotated.second.access, &again.access, &again.refresh];
    let live = rotated.world.live(&rotated.client, tokens).await;
    assert_eq!((again.access != rotated.second.access, live), (true, [true; 4]));
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_told_apart_in_the_trail_and_alarms_nobody() {
    let rotated = Rotated::new().await;
    let reply = rotated.retry().await;
    let told: Vec<Value> = rotated
        .world
        .trail_of(&reply)
        .await
        .iter()
        .map(|event| json!([event["action"], event["outcome"], event["reason"], event["status"]]))
        .collect();
    let alerts = rotated.world.alerts("refresh_reuse").await.len();
    assert_eq!((told, alerts), (vec![json!(["oauth.refresh", "allowed", "refresh_retry", 200])], 0));
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_retry_goes_on() {
    let rotated = Rotated::new().await;
    let again = Tokens::of(&rotated.retry().await);
    let next = rotated.world.refresh(&rotated.client, &again.refresh).await;
    assert_eq!((outcome(&next), rotated.world.live_chains().await), (tokens(), 1));
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_may_narrow_the_scope_and_not_widen_it() {
    let rotated = Rotated::new().await;
    let asked = async |scope: &str| {
        rotated.world.api.refresh(&rotated.client, &rotated.first.refresh, &[("scope", scope)]).await
    };
    let (wider, same) = (asked("alerts:write").await, asked("monitoring:read").await);
    assert_eq!(
        (outcomes([&wider, &same]), Tokens::of(&same).refresh),
        (vec![error("invalid_scope"), tokens()], rotated.second.refresh.clone())
    );
}

/// spec: oauth H3, O2a
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_retries_at_once_on_two_instances_all_get_that_successor() {
    let rotated = Rotated::new().await;
    let other = rotated.world.second().await;
    let asked = (0..20).map(|number| {
        let api = if number % 2 == 0 { &rotated.world.api } else { &other };
        api.refresh(&rotated.client, &rotated.first.refresh, &[])
    });
    let replies = futures_util::future::join_all(asked).await;
    let same = replies.iter().filter(|reply| Tokens::of(reply).refresh == rotated.second.refresh).count();
    let rows = [
        rotated.world.count("SELECT count(*) FROM oauth_refresh_tokens").await,
        rotated.world.count("SELECT count(DISTINCT digest) FROM oauth_access_tokens").await,
        rotated.world.live_chains().await,
    ];
    assert_eq!((same, rows), (20, [2, 22, 1]));
}

/// spec: oauth H3, O2a
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_first_refreshes_at_once_inside_a_window_all_get_one_successor() {
    let world = World::new().await;
    let other = world.second().await;
    let client = world.app(with(confidential(), json!({"refresh_retry_seconds": 30}))).await;
    let first = world.tokens(&client).await;
    let asked = (0..20).map(|number| {
        let api = if number % 2 == 0 { &world.api } else { &other };
        api.refresh(&client, &first.refresh, &[])
    });
    let replies = futures_util::future::join_all(asked).await;
    let successors: std::collections::BTreeSet<_> = replies.iter().map(|reply| Tokens::of(reply).refresh).collect();
    let generation = world.count("SELECT max(generation) FROM oauth_grants").await;
    assert_eq!((outcomes(&replies), successors.len(), generation), (vec![tokens(); 20], 1, 1));
}

/// spec: oauth H4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_the_successor_was_used_a_retry_is_reuse() {
    let rotated = Rotated::new().await;
    let third = Tokens::of(&rotated.world.refresh(&rotated.client, &rotated.second.refresh).await);
    let again = rotated.retry().await;
    let tokens = [rotated.first.access.as_str(), &rotated.second.access, &third.access, &third.refresh];
    let live = rotated.world.live(&rotated.client, tokens).await;
    assert_eq!((outcome(&again), live), (invalid_grant(), [false; 4]));
}

/// spec: oauth H4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thief_inside_the_window_is_found_out_one_generation_later() {
    let rotated = Rotated::new().await;
    let thief = Tokens::of(&rotated.retry().await);
    let thiefs = Tokens::of(&rotated.world.refresh(&rotated.client, &thief.refresh).await);
    rotated.later(31).await;
    let owner = rotated.world.refresh(&rotated.client, &rotated.second.refresh).await;
    let live = rotated.world.live(&rotated.client, [&thief.access, &thiefs.access, &thiefs.refresh]).await;
    assert_eq!((outcome(&owner), live), (invalid_grant(), [false; 3]));
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_window_a_retry_is_reuse() {
    let rotated = Rotated::new().await;
    rotated.later(30).await;
    let again = rotated.retry().await;
    let tokens = [rotated.first.access.as_str(), &rotated.second.access, &rotated.second.refresh];
    let live = rotated.world.live(&rotated.client, tokens).await;
    let alerts = rotated.world.alerts("refresh_reuse").await.len();
    assert_eq!((outcome(&again), live, alerts), (invalid_grant(), [false; 3], 1));
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_was_taken_away_is_over_at_once() {
    let rotated = Rotated::new().await;
    rotated.world.change_app(&rotated.client, &json!({"refresh_retry_seconds": 0})).await;
    let again = rotated.retry().await;
    assert_eq!((outcome(&again), rotated.world.live_chains().await), (invalid_grant(), 0));
}

/// spec: oauth H3, H7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_the_window_neither_another_app_nor_a_wrong_secret_gets_anything_or_harms() {
    let rotated = Rotated::new().await;
    let other = rotated.world.app(with(confidential(), json!({"refresh_retry_seconds": 30}))).await;
    let foreign = rotated.world.refresh(&other, &rotated.first.refresh).await;
    let ask = rotated.world.api.post("/oauth/token").header("authorization", basic(&rotated.client.id, "nope"));
    let wrong = ask.raw_form(rotation(&rotated.first.refresh)).send().await;
    let own = rotated.retry().await;
    assert_eq!(outcomes([&foreign, &wrong, &own]), [invalid_grant(), error("invalid_client"), tokens()]);
}

/// spec: oauth H20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_a_restart_gives_the_same_successor() {
    let rotated = Rotated::new().await;
    rotated.world.api.app.stop().await;
    let restarted = rotated.world.second().await;
    let again = Tokens::of(&restarted.refresh(&rotated.client, &rotated.first.refresh, &[]).await);
    assert_eq!(again.refresh, rotated.second.refresh);
}

/// spec: oauth H20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reuse_is_detected_after_a_restart() {
    let rotated = Rotated::with_window(0).await;
    rotated.world.api.app.stop().await;
    let restarted = rotated.world.second().await;
    let again = restarted.refresh(&rotated.client, &rotated.first.refresh, &[]).await;
    let live = restarted.live(&rotated.client, [&rotated.second.access, &rotated.second.refresh]).await;
    assert_eq!((outcome(&again), live), (invalid_grant(), [false, false]));
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_window_no_successor_is_kept() {
    let rotated = Rotated::with_window(0).await;
    assert_eq!(rotated.sealed().await, [false, false]);
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sealed_successor_is_wiped_when_it_is_used() {
    let rotated = Rotated::new().await;
    let before = rotated.sealed().await;
    rotated.world.refresh(&rotated.client, &rotated.second.refresh).await;
    assert_eq!((before, rotated.sealed().await), (vec![true, false], vec![false, true, false]));
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sealed_successor_is_wiped_when_the_window_has_ended() {
    let rotated = Rotated::new().await;
    let mut kept = Vec::new();
    for seconds in [29, 1] {
        rotated.later(seconds).await;
        cleanup::pass(&rotated.world.api.app.app()).await.unwrap();
        kept.push(rotated.sealed().await);
    }
    assert_eq!(kept, [[true, false], [false, false]]);
}

/// spec: oauth H3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_does_not_hold_the_successor_in_the_clear() {
    let rotated = Rotated::new().await;
    let query = format!(
        "SELECT count(*) FROM oauth_refresh_tokens WHERE position('{}'::bytea in successor_sealed) > 0",
        rotated.second.refresh
    );
    assert_eq!((rotated.sealed().await, rotated.world.count(&query).await), (vec![true, false], 0));
}

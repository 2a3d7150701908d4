//! Many at once, also over two instances: the database decides (oauth §7).

use futures_util::future::join_all;
use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, Tokens, confidential, public},
    help::{Outcome, invalid_grant, outcome, outcomes, tokens},
    support::{Api, Reply, World},
};

const AT_ONCE: usize = 20;

/// A world with a second instance.
async fn two() -> (World, Api) {
    let world = World::new().await;
    let second = world.second().await;
    (world, second)
}

/// Redemptions of one code, spread over the instances.
async fn redeem_at_once(apis: &[&Api], client: &Client, code: &str) -> Vec<Reply> {
    let asked = (0..AT_ONCE).map(|number| apis[number % apis.len()].redeem(client, code, &[]));
    join_all(asked).await
}

async fn refresh_at_once(apis: &[&Api], client: &Client, token: &str) -> Vec<Reply> {
    let asked = (0..AT_ONCE).map(|number| apis[number % apis.len()].refresh(client, token, &[]));
    join_all(asked).await
}

/// What won, sorted: tokens come first.
fn sorted(replies: &[Reply]) -> Vec<Outcome> {
    let mut told = outcomes(replies);
    told.sort();
    told
}

fn one_winner() -> Vec<Outcome> {
    [vec![tokens()], vec![invalid_grant(); AT_ONCE - 1]].concat()
}

fn winner(replies: &[Reply]) -> Tokens {
    Tokens::of(replies.iter().find(|reply| reply.status == 200).unwrap())
}

/// Waits until tokens are dead on an instance, and stay so.
async fn dead_on(apis: &[&Api], client: &Client, tokens: &Tokens) -> bool {
    for api in apis {
        eventually("the tokens are dead on every instance", async || {
            api.live(client, [&tokens.access, &tokens.refresh]).await == [false, false]
        })
        .await;
    }
    let mut live = Vec::new();
    for api in apis {
        live.push(api.live(client, [&tokens.access, &tokens.refresh]).await);
        live.push([api.refresh(client, &tokens.refresh, &[]).await.status == 200, false]);
    }
    live.iter().all(|live| *live == [false, false])
}

/// Redeemed codes, grants that live, refresh and access tokens.
async fn rows(world: &World) -> [i64; 4] {
    [
        world.count("SELECT count(*) FROM oauth_codes WHERE redeemed_at IS NOT NULL").await,
        world.count("SELECT count(*) FROM oauth_grants WHERE status = 'active'").await,
        world.count("SELECT count(*) FROM oauth_refresh_tokens").await,
        world.count("SELECT count(*) FROM oauth_access_tokens").await,
    ]
}

/// spec: oauth O1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_redemptions_at_once_one_wins_and_loses_its_tokens_to_the_replays() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let replies = redeem_at_once(&[&world.api], &client, &code).await;
    let dead = dead_on(&[&world.api], &client, &winner(&replies)).await;
    assert_eq!((sorted(&replies), dead, rows(&world).await), (one_winner(), true, [1, 0, 1, 1]));
}

/// spec: oauth O1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_redemptions_at_once_on_two_instances_one_wins() {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for _ in 0..5 {
        let code = world.code(&client).await;
        let replies = redeem_at_once(&[&world.api, &second], &client, &code).await;
        let dead = dead_on(&[&world.api, &second], &client, &winner(&replies)).await;
        told.push((sorted(&replies), dead));
    }
    assert_eq!((told, rows(&world).await), (vec![(one_winner(), true); 5], [5, 0, 5, 5]));
}

/// spec: oauth O1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_redemptions_by_a_public_app_one_wins() {
    let (world, second) = two().await;
    let client = world.app(public()).await;
    let code = world.code(&client).await;
    let replies = redeem_at_once(&[&world.api, &second], &client, &code).await;
    assert_eq!((sorted(&replies), rows(&world).await), (one_winner(), [1, 0, 1, 1]));
}

/// spec: oauth O1, E3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_verifiers_beside_the_right_one_end_nothing() {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let wrong = [("code_verifier", crate::codes::OTHER_VERIFIER)];
    let asked = (0..AT_ONCE).map(|number| {
        let api = if number % 2 == 0 { &world.api } else { &second };
        api.redeem(&client, &code, if number == 7 { &[] } else { &wrong })
    });
    let replies = join_all(asked).await;
    let given = winner(&replies);
    let live = world.live(&client, [&given.access, &given.refresh]).await;
    assert_eq!((sorted(&replies), live), (one_winner(), [true, true]));
}

/// spec: oauth O2a
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_refreshes_at_once_at_most_one_wins_and_no_chain_lives() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let first = world.tokens(&client).await;
    let replies = refresh_at_once(&[&world.api], &client, &first.refresh).await;
    let dead = dead_on(&[&world.api], &client, &winner(&replies)).await;
    assert_eq!(
        (sorted(&replies), dead, world.live_chains().await, rows(&world).await),
        (one_winner(), true, 0, [1, 0, 2, 2])
    );
}

/// spec: oauth O2a
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_refreshes_at_once_on_two_instances_at_most_one_wins_and_no_chain_lives() {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for _ in 0..5 {
        let first = world.tokens(&client).await;
        let replies = refresh_at_once(&[&world.api, &second], &client, &first.refresh).await;
        let dead = dead_on(&[&world.api, &second], &client, &winner(&replies)).await;
        let old = dead_on(&[&world.api, &second], &client, &first).await;
        told.push((sorted(&replies), dead, old));
    }
    assert_eq!(
        (told, world.live_chains().await, rows(&world).await),
        (vec![(one_winner(), true, true); 5], 0, [5, 0, 10, 10])
    );
}

/// spec: oauth O2a
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reuse_of_a_race_is_told_once() {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let first = world.tokens(&client).await;
    refresh_at_once(&[&world.api, &second], &client, &first.refresh).await;
    second.app.flush().await;
    let events = world.events("oauth.refresh").await;
    let reused = events.iter().filter(|event| event["reason"] == json!("refresh_reuse_detected")).count();
    assert_eq!((events.len(), reused, world.alerts("refresh_reuse").await.len()), (AT_ONCE, 1, 1));
}

/// spec: oauth O2a
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_of_different_grants_do_not_hinder_each_other() {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let mut first = Vec::new();
    for _ in 0..AT_ONCE {
        first.push(world.tokens(&client).await);
    }
    let asked = first.iter().enumerate().map(|(number, given)| {
        let api = if number % 2 == 0 { &world.api } else { &second };
        api.refresh(&client, &given.refresh, &[])
    });
    let replies = join_all(asked).await;
    assert_eq!((outcomes(&replies), world.live_chains().await), (vec![tokens(); AT_ONCE], 20));
}

/// How a grant is ended while it is refreshed or redeemed.
#[derive(Clone, Copy, Debug)]
enum By {
    Client,
    Owner,
    Person,
}

async fn end(by: By, world: &World, client: &Client, given: &Tokens, grant: &str) {
    let status = match by {
        By::Client => world.api.revoke(client, &given.refresh).await.status,
        By::Owner => world.owner("POST", "/v1/orgs/acme/grants/revoke", &json!({"grant": grant})).await.status,
        By::Person => {
            let path = format!("/v1/me/grants/{grant}");
            world.api.ask("DELETE", &path).browser(&world.owner).send().await.status
        }
    };
    assert!(matches!(status, 200 | 204), "{by:?}: {status}");
}

/// Refreshes on the other instance against an end here; every order of the two must leave nothing.
async fn refreshed_against(by: By) {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let (mut odd, mut left) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let first = world.tokens(&client).await;
        let mine = world.api.get("/v1/me/grants").browser(&world.owner).send().await.json();
        let grant = mine["items"][0]["id"].as_str().unwrap().to_owned();
        let (reply, ()) =
            tokio::join!(second.refresh(&client, &first.refresh, &[]), end(by, &world, &client, &first, &grant));
        odd.extend([outcome(&reply)].into_iter().filter(|told| *told != tokens() && *told != invalid_grant()));
        let mut given = vec![first];
        if reply.status == 200 {
            given.push(Tokens::of(&reply));
        }
        for tokens in &given {
            if !dead_on(&[&world.api, &second], &client, tokens).await {
                left.push(tokens.access.clone());
            }
        }
    }
    assert_eq!((odd, left, world.live_chains().await, rows(&world).await[1]), (Vec::new(), Vec::<String>::new(), 0, 0));
}

/// spec: oauth O4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_against_a_revocation_by_the_client_leaves_nothing_active() {
    refreshed_against(By::Client).await;
}

/// spec: oauth O4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_against_the_end_of_the_grant_by_the_organization_leaves_nothing_active() {
    refreshed_against(By::Owner).await;
}

/// spec: oauth O4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_against_the_end_of_the_grant_by_its_person_leaves_nothing_active() {
    refreshed_against(By::Person).await;
}

/// spec: oauth O4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redemption_against_the_end_of_the_grant_leaves_nothing_active() {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let (mut odd, mut left) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let code = world.code(&client).await;
        let (reply, ended) = tokio::join!(second.redeem(&client, &code, &[]), world.end_grants(&client));
        let told = (outcome(&reply), ended.status);
        if told != (tokens(), 200) && told != (invalid_grant(), 200) {
            odd.push(told);
        }
        if reply.status == 200 && !dead_on(&[&world.api, &second], &client, &Tokens::of(&reply)).await {
            left.push(code);
        }
    }
    assert_eq!((odd, left, world.live_chains().await, rows(&world).await[1]), (Vec::new(), Vec::<String>::new(), 0, 0));
}

/// spec: oauth O4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshes_against_the_suspension_of_the_app_leave_nothing_active() {
    let (world, second) = two().await;
    let client = world.app(confidential()).await;
    let mut first = Vec::new();
    for _ in 0..AT_ONCE {
        first.push(world.tokens(&client).await);
    }
    world.api.app.advance(std::time::Duration::from_secs(1)).await;
    let suspending = json!({"status": "suspended"});
    let refreshed = first.iter().map(|given| second.refresh(&client, &given.refresh, &[]));
    let (replies, suspended) = tokio::join!(join_all(refreshed), world.change_app(&client, &suspending));
    world.api.app.advance(std::time::Duration::from_secs(1)).await;
    let back = world.change_app(&client, &json!({"status": "active"})).await;
    second.app.replica.catch_up().await;
    let mut left = Vec::new();
    let given = replies.iter().filter(|reply| reply.status == 200).map(Tokens::of);
    for tokens in first.into_iter().chain(given) {
        let live = second.live(&client, [&tokens.access, &tokens.refresh]).await;
        let refreshed = second.refresh(&client, &tokens.refresh, &[]).await.status;
        if (live, refreshed) != ([false, false], 400) {
            left.push((live, refreshed));
        }
    }
    assert_eq!((suspended.status, back.status, left), (200, 200, Vec::new()));
}

//! Codes and refresh tokens of people, grants and apps that have ended (oauth §2.7, §5.6).

use std::time::Duration;

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{
    client::{Tokens, confidential},
    help::{error, invalid_grant, outcome, outcomes, tokens},
    support::World,
};

/// spec: oauth E22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_of_somebody_who_was_removed_is_not_redeemed() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    world.remove_owner().await;
    assert_eq!(outcome(&world.redeem(&client, &code).await), invalid_grant());
}

/// spec: oauth E22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_of_somebody_whose_account_was_closed_is_not_redeemed() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    world.sql("UPDATE users SET disabled_at = now()").await;
    assert_eq!(outcome(&world.redeem(&client, &code).await), invalid_grant());
}

/// spec: oauth E22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_of_a_grant_that_was_ended_is_not_redeemed() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let ended = world.end_grants(&client).await.json();
    let reply = world.redeem(&client, &code).await;
    assert_eq!((&ended["revoked"], outcome(&reply)), (&json!(1), invalid_grant()));
}

/// spec: oauth E22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_of_a_suspended_app_is_not_redeemed_and_stays_dead_when_the_app_is_back() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    world.suspend(&client).await;
    let suspended = world.redeem(&client, &code).await;
    world.change_app(&client, &json!({"status": "active"})).await;
    let back = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&suspended, &back]), [error("invalid_client"), invalid_grant()]);
}

/// spec: oauth E22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_of_a_deleted_app_is_not_redeemed() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let deleted = world.owner("DELETE", &format!("/v1/orgs/acme/apps/{}", client.app), &json!({})).await.status;
    let reply = world.redeem(&client, &code).await;
    assert_eq!((deleted, outcome(&reply)), (204, error("invalid_client")));
}

/// spec: oauth E22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_on_one_instance_holds_on_the_other_at_once() {
    let world = World::new().await;
    let second = world.second().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    world.suspend(&client).await;
    assert_eq!(outcome(&second.redeem(&client, &code, &[]).await), error("invalid_client"));
}

/// spec: oauth H16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_token_of_somebody_who_was_removed_is_dead() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let given = world.tokens(&client).await;
    world.remove_owner().await;
    assert_eq!(outcome(&world.refresh(&client, &given.refresh).await), invalid_grant());
}

/// spec: oauth H16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_token_of_a_grant_that_its_person_has_ended_is_dead() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let given = world.tokens(&client).await;
    let mine = world.api.get("/v1/me/grants").browser(&world.owner).send().await.json();
    let path = format!("/v1/me/grants/{}", mine["items"][0]["id"].as_str().unwrap());
    let ended = world.api.ask("DELETE", &path).browser(&world.owner).send().await.status;
    let reply = world.refresh(&client, &given.refresh).await;
    assert_eq!((ended, outcome(&reply)), (204, invalid_grant()));
}

/// spec: oauth H16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_token_of_a_suspended_app_is_dead_and_stays_so_when_the_app_is_back() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let given = world.tokens(&client).await;
    world.suspend(&client).await;
    let suspended = world.refresh(&client, &given.refresh).await;
    world.change_app(&client, &json!({"status": "active"})).await;
    let back = world.refresh(&client, &given.refresh).await;
    assert_eq!(outcomes([&suspended, &back]), [error("invalid_client"), invalid_grant()]);
}

/// spec: oauth H16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_back_gets_new_tokens() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    world.suspend(&client).await;
    world.change_app(&client, &json!({"status": "active"})).await;
    world.api.app.advance(Duration::from_secs(1)).await;
    let code = world.code(&client).await;
    assert_eq!(outcome(&world.redeem(&client, &code).await), tokens());
}

/// spec: oauth H16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_was_under_way_when_the_app_was_suspended_gives_nothing_that_comes_back_with_the_app() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let given = world.tokens(&client).await;
    let (mut holder, watcher) = (world.db.client().await, world.db.client().await);
    // Its client is authenticated, and then it has to wait for its grant.
    let held = holder.transaction().await.unwrap();
    held.batch_execute("SELECT 1 FROM oauth_grants FOR UPDATE").await.unwrap();
    let suspending = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%oauth_grants%'";
        eventually("the refresh waits", async || watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1)
            .await;
        world.suspend(&client).await;
        world.api.app.clock().advance(Duration::from_secs(1));
        held.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(world.refresh(&client, &given.refresh), suspending);
    let late = if reply.status == 200 { Tokens::of(&reply) } else { given };
    world.change_app(&client, &json!({"status": "active"})).await;
    assert_eq!(world.live(&client, [&late.access, &late.refresh]).await, [false, false]);
}

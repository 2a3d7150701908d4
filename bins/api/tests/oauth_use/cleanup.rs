//! The clean-up: what goes and what stays, at both sides of each bound, in batches, by one instance at a time.

use std::time::Duration;

use serde_json::json;
use statuspulse_app::oauth::cleanup;
use statuspulse_store::oauth::cleanup::{BATCH, Chore, batch};
use statuspulse_testkit::eventually;

use crate::{
    client::{Tokens, authorize_path, confidential, with},
    support::World,
};

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

async fn count(world: &World, rows: &str) -> i64 {
    let client = world.db.client().await;
    client.query_one(&format!("SELECT count(*) FROM {rows}"), &[]).await.unwrap().get(0)
}

async fn sql(world: &World, statements: &str) {
    world.db.client().await.batch_execute(statements).await.unwrap();
}

/// One batch of a chore; how many rows it took.
async fn one(world: &World, chore: Chore) -> i64 {
    let app = world.api.app.app();
    let mut conn = app.pool.get().await.unwrap();
    batch(&mut conn, chore, app.env.now()).await.unwrap()
}

/// Every chore to its end, as the clean-up does it.
async fn all(world: &World) {
    cleanup::pass(&world.api.app.app()).await.unwrap();
}

/// Rows of a table a second before a moment, at it, and behind a pass of the clean-up at each of the two.
async fn around(world: &World, after: Duration, rows: &str) -> (i64, i64) {
    world.api.app.advance(after - SECOND).await;
    all(world).await;
    let before = count(world, rows).await;
    world.api.app.advance(SECOND).await;
    all(world).await;
    (before, count(world, rows).await)
}

/// A grant with tokens; the table where they lie.
async fn with_tokens() -> (World, crate::client::Client, Tokens) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    (world, client, tokens)
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_nobody_answered_goes_with_its_end() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.authorize(&client, &[]).await;
    assert_eq!(around(&world, Duration::from_secs(300), "oauth_requests").await, (1, 0));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_a_request_that_waits_for_a_sign_in() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.api.get(&authorize_path(&client, &[])).send().await;
    let waiting = count(&world, "oauth_requests").await;
    world.api.app.advance(DAY).await;
    all(&world).await;
    assert_eq!((waiting, count(&world, "oauth_requests").await), (1, 0));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_goes_a_day_after_its_end() {
    let (world, ..) = with_tokens().await;
    assert_eq!(around(&world, DAY + Duration::from_secs(7_200), "oauth_access_tokens").await, (1, 0));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_access_token_goes_no_earlier_and_no_later() {
    let (world, client, tokens) = with_tokens().await;
    world.api.revoke(&client, &tokens.access).await;
    assert_eq!(around(&world, DAY + Duration::from_secs(7_200), "oauth_access_tokens").await, (1, 0));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_reached_its_absolute_end_goes_thirty_days_later() {
    let (world, ..) = with_tokens().await;
    let everything = "(SELECT digest FROM oauth_refresh_tokens UNION ALL SELECT digest FROM oauth_codes
         UNION ALL SELECT uuid_send(id) FROM oauth_grants) AS everything";
    assert_eq!(around(&world, DAY * 210, everything).await, (3, 0));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_somebody_ended_goes_thirty_days_after_that_and_not_with_its_absolute_end() {
    let (world, client, tokens) = with_tokens().await;
    world.api.app.advance_days(20).await;
    world.api.revoke(&client, &tokens.refresh).await;
    assert_eq!(around(&world, DAY * 30, "oauth_grants").await, (1, 0));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_got_for_itself_leaves_its_grant_for_the_next_time() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let form = [("grant_type", "client_credentials")];
    world.api.post("/oauth/token").client(&client).form(&form).send().await;
    world.api.app.advance_days(400).await;
    all(&world).await;
    let left = (count(&world, "oauth_access_tokens").await, count(&world, "oauth_grants").await);
    let again = world.api.post("/oauth/token").client(&client).form(&form).send().await.status;
    assert_eq!((left, again, count(&world, "oauth_grants").await), ((0, 1), 200, 1));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_of_a_grant_that_was_ended_before_it_was_redeemed_goes_too() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.code(&client).await;
    world.owner("POST", "/v1/orgs/acme/grants/revoke", &json!({"app": client.id})).await;
    world.api.app.advance(DAY + Duration::from_secs(300)).await;
    all(&world).await;
    let after_a_day = (count(&world, "oauth_codes").await, count(&world, "oauth_grants").await);
    world.api.app.advance_days(30).await;
    all(&world).await;
    assert_eq!((after_a_day, count(&world, "oauth_grants").await), ((0, 1), 0));
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secrets_of_an_app_and_what_lives_stay() {
    let (world, client, _) = with_tokens().await;
    world.owner("POST", &format!("/v1/orgs/acme/apps/{}/secrets", client.app), &json!({"overlap_seconds": 0})).await;
    world.api.app.advance_days(20).await;
    let before = (count(&world, "oauth_app_secrets").await, count(&world, "oauth_refresh_tokens").await);
    all(&world).await;
    let after = (count(&world, "oauth_app_secrets").await, count(&world, "oauth_refresh_tokens").await);
    assert_eq!((before, after), ((2, 1), (2, 1)));
}

/// spec: oauth N6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_clean_up_a_replayed_code_still_ends_its_grant() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let mut last = Tokens::of(&world.redeem(&client, &code).await);
    for _ in 0..3 {
        world.api.app.advance(DAY * 20).await;
        all(&world).await;
        last = Tokens::of(&world.refresh(&client, &last.refresh).await);
    }
    let before = world.is_active(&client, &last.access).await;
    let replayed = world.redeem(&client, &code).await.refused();
    let after = (world.is_active(&client, &last.access).await, world.refresh(&client, &last.refresh).await.status);
    assert_eq!((before, replayed, after), (true, (400, "invalid_grant".to_owned()), (false, 400)));
}

/// spec: oauth N6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_is_followed_to_its_last_day() {
    let (world, client, first) = with_tokens().await;
    let mut last = first.clone();
    for _ in 0..8 {
        world.api.app.advance(DAY * 20).await;
        all(&world).await;
        last = Tokens::of(&world.refresh(&client, &last.refresh).await);
    }
    world.api.app.advance(DAY * 20 - SECOND).await;
    all(&world).await;
    last = Tokens::of(&world.refresh(&client, &last.refresh).await);
    let replayed = world.refresh(&client, &first.refresh).await.refused();
    let reason = world.events("oauth.refresh").await.pop().unwrap()["reason"].clone();
    assert_eq!(
        (replayed, reason, world.is_active(&client, &last.access).await),
        ((400, "invalid_grant".to_owned()), json!("refresh_reuse_detected"), false)
    );
}

/// spec: oauth N6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_successor_is_reuse_and_no_fault() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"refresh_retry_seconds": 30}))).await;
    let first = world.tokens(&client).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    let sealed = "oauth_refresh_tokens WHERE successor_sealed IS NOT NULL";
    let around = around(&world, Duration::from_secs(30), sealed).await;
    let replayed = world.refresh(&client, &first.refresh).await.refused();
    assert_eq!(
        (around, replayed, world.is_active(&client, &second.access).await),
        ((1, 0), (400, "invalid_grant".to_owned()), false)
    );
}

/// More rows than two batches for each chore, all of which may go.
async fn full() -> World {
    let (world, ..) = with_tokens().await;
    sql(
        &world,
        "INSERT INTO oauth_grants (id, user_id, organization_id, app_id, scopes, resources, status, revoked_reason,
             revoked_at, created_at, absolute_expires_at)
         SELECT gen_random_uuid(), user_id, organization_id, app_id, scopes, resources, 'revoked', 'test', created_at,
             created_at, absolute_expires_at FROM generate_series(1, 2500), oauth_grants;
         INSERT INTO oauth_codes (digest, grant_id, app_id, redirect_uri, scopes, resources, expires_at, redeemed_at)
         SELECT sha256(uuid_send(id)), id, app_id, 'x', 1, '{}', created_at, created_at FROM oauth_grants
             WHERE status = 'revoked';
         INSERT INTO oauth_refresh_tokens (digest, grant_id, generation, scopes, issued_at, idle_expires_at, rotated_at,
             successor_sealed)
         SELECT sha256(uuid_send(id)), id, 0, 1, created_at, created_at, created_at, 'x' FROM oauth_grants
             WHERE status = 'revoked';
         INSERT INTO oauth_access_tokens (digest, grant_id, scopes, audiences, issued_at, expires_at)
         SELECT sha256(n::text::bytea), g.id, 1, '{}', g.created_at, g.created_at
             FROM generate_series(1, 2500) n, (SELECT * FROM oauth_grants WHERE status = 'active') g;
         INSERT INTO oauth_grants (id, user_id, organization_id, app_id, scopes, resources, status, created_at,
             absolute_expires_at)
         SELECT gen_random_uuid(), user_id, organization_id, app_id, scopes, resources, 'pending', created_at,
             absolute_expires_at FROM generate_series(1, 2500), (SELECT * FROM oauth_grants WHERE status = 'active') g;
         INSERT INTO oauth_codes (digest, grant_id, app_id, redirect_uri, scopes, resources, expires_at)
         SELECT sha256(uuid_send(id)), id, app_id, 'x', 1, '{}', created_at FROM oauth_grants WHERE status = 'pending';
         INSERT INTO oauth_requests (handle_digest, app_id, parameters, expires_at)
         SELECT sha256(n::text::bytea), a.id, 'x', a.created_at FROM generate_series(1, 2500) n, oauth_apps a;",
    )
    .await;
    // The chain of the one live grant goes on: nothing of it may go.
    world.api.app.advance_days(30).await;
    world
}

/// spec: oauth N7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_takes_more_than_a_batch() {
    let world = full().await;
    // The largest statement of each table, by what a trigger sees of it.
    sql(&world, "CREATE TABLE taken (tab text, rows bigint)").await;
    sql(
        &world,
        "CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO taken SELECT TG_TABLE_NAME, count(*) FROM gone; RETURN NULL; END $$;
         GRANT ALL ON taken TO PUBLIC",
    )
    .await;
    for table in ["requests", "codes", "access_tokens", "refresh_tokens", "grants"] {
        for change in ["DELETE", "UPDATE"] {
            sql(
                &world,
                &format!(
                    "CREATE TRIGGER tally_{change} AFTER {change} ON oauth_{table} REFERENCING OLD TABLE AS gone
                     FOR EACH STATEMENT EXECUTE FUNCTION tally()"
                ),
            )
            .await;
        }
    }
    all(&world).await;
    let client = world.db.client().await;
    let query = "SELECT tab || ' ' || max(rows) FROM taken GROUP BY tab ORDER BY tab";
    let largest: Vec<String> = client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let tables = ["access_tokens", "codes", "grants", "refresh_tokens", "requests"];
    assert_eq!((largest, BATCH), (tables.map(|table| format!("oauth_{table} 1000")).to_vec(), 1_000));
}

/// spec: oauth N7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_carries_every_chore_to_its_end_and_leaves_what_lives() {
    let world = full().await;
    all(&world).await;
    let mut left = Vec::new();
    for table in ["requests", "codes", "access_tokens", "refresh_tokens", "grants"] {
        left.push((table, count(&world, &format!("oauth_{table}")).await));
    }
    // Of the one live grant: its code, its refresh token, itself.
    assert_eq!(left, [("requests", 0), ("codes", 1), ("access_tokens", 0), ("refresh_tokens", 1), ("grants", 1)]);
}

/// spec: oauth N7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_works_on_is_left_for_the_next_time_and_not_waited_for() {
    let world = full().await;
    let mut holder = world.db.client().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(
        "SELECT 1 FROM oauth_access_tokens LIMIT 10 FOR UPDATE; SELECT 1 FROM oauth_codes WHERE redeemed_at IS NULL
             LIMIT 10 FOR UPDATE; SELECT 1 FROM oauth_requests LIMIT 10 FOR UPDATE",
    )
    .await
    .unwrap();
    let rows = ["oauth_access_tokens", "oauth_codes WHERE redeemed_at IS NULL", "oauth_requests"];
    all(&world).await;
    let mut left = Vec::new();
    for table in rows {
        left.push(count(&world, table).await);
    }
    held.rollback().await.unwrap();
    all(&world).await;
    for table in rows {
        left.push(count(&world, table).await);
    }
    assert_eq!(left, [10, 10, 10, 0, 0, 0]);
}

/// spec: oauth N7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_traded_while_a_clean_up_goes_on() {
    let world = full().await;
    let owner = world.api.sign_in(&world.org.owner).await;
    let world = World { owner, ..world };
    let client = world.app(with(confidential(), json!({"name": "Busy"}))).await;
    let code = world.code(&client).await;
    let trading = async {
        let mut tokens = Tokens::of(&world.redeem(&client, &code).await);
        for _ in 0..10 {
            tokens = Tokens::of(&world.refresh(&client, &tokens.refresh).await);
        }
        world.is_active(&client, &tokens.access).await
    };
    let (active, ()) = tokio::join!(trading, all(&world));
    // Those of the trade alone.
    assert_eq!((active, count(&world, "oauth_access_tokens").await), (true, 11));
}

/// spec: oauth N7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_says_how_many_rows_it_took_and_the_tally_counts_them() {
    let world = full().await;
    let taken = [one(&world, Chore::AccessTokens).await, one(&world, Chore::AccessTokens).await];
    let before = world.api.app.oauth_cleaned.rows().get("access_tokens").copied().unwrap_or_default();
    all(&world).await;
    let after = world.api.app.oauth_cleaned.rows()["access_tokens"];
    assert_eq!((taken, after - before), ([1_000, 1_000], 501));
}

/// The clean-up of any instance may have come first, at its start; from here on the holder is this one.
async fn lease_to_first(world: &World) {
    all(world).await;
    sql(world, &format!("UPDATE leases SET holder = '{}'", world.api.app.instance)).await;
}

/// spec: oauth N8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_stops_in_order_gives_the_clean_up_back() {
    let world = World::new().await;
    let second = world.api.app.second().await;
    lease_to_first(&world).await;
    let held = cleanup::pass(&second.app()).await.unwrap();
    world.api.app.stop().await;
    eventually("the other one takes over", async || cleanup::pass(&second.app()).await.unwrap().is_some()).await;
    assert_eq!(held, None);
}

/// spec: oauth N8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_held_to_the_second_and_prolonged_by_its_holder_alone() {
    let world = World::new().await;
    let second = world.api.app.second().await;
    lease_to_first(&world).await;
    all(&world).await;
    let clock = world.api.app.clock();
    clock.advance(Duration::from_secs(149));
    let early = cleanup::pass(&second.app()).await.unwrap();
    all(&world).await;
    clock.advance(Duration::from_secs(149));
    let prolonged = cleanup::pass(&second.app()).await.unwrap();
    clock.advance(SECOND);
    let late = cleanup::pass(&second.app()).await.unwrap().is_some();
    let lost = cleanup::pass(&world.api.app.app()).await.unwrap();
    assert_eq!((early, prolonged, late, lost), (None, None, true, None));
}

/// spec: oauth N8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_come_at_the_same_moment_take_turns() {
    let world = full().await;
    let (second, third) = (world.api.app.second().await, world.api.app.second().await);
    sql(&world, "DELETE FROM leases").await;
    let (one, two, three) = (world.api.app.app(), second.app(), third.app());
    let passes = tokio::join!(cleanup::pass(&one), cleanup::pass(&two), cleanup::pass(&three));
    let passed = [passes.0.unwrap(), passes.1.unwrap(), passes.2.unwrap()];
    assert_eq!(passed.iter().flatten().count(), 1, "{passed:?}");
}

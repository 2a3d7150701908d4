//! What is issued or ended and its event are written together or not at all (oauth §6.9): a server that is killed between
//! the two leaves both or neither.

use serde_json::json;

use crate::{
    client::{Client, Tokens, confidential, with},
    support::{Reply, World},
};

/// From now on a table takes no row of a kind, as when its disk were full.
async fn block(world: &World, table: &str, event: &str, when: &str) {
    let statements = format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
         CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
    );
    world.db.client().await.batch_execute(&statements).await.unwrap();
}

async fn unblock(world: &World, table: &str) {
    world.db.client().await.batch_execute(&format!("DROP TRIGGER refuse ON {table}")).await.unwrap();
}

async fn block_trail(world: &World) {
    block(world, "audit_outbox", "INSERT", "NEW.event->>'action' LIKE 'oauth.%'").await;
}

/// Everything that tokens depend on.
async fn state(world: &World) -> Vec<String> {
    let query = "SELECT g::text FROM oauth_grants g UNION ALL SELECT c::text FROM oauth_codes c
         UNION ALL SELECT r::text FROM oauth_refresh_tokens r UNION ALL SELECT a::text FROM oauth_access_tokens a
         UNION ALL SELECT l::text FROM alerts l ORDER BY 1";
    let rows = world.db.client().await.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The events of exchanges that issued or ended something.
async fn changes(world: &World) -> i64 {
    world.api.app.flush().await;
    let query = "SELECT count(*) FROM audit_events WHERE action LIKE 'oauth.%' AND action <> 'oauth.authorize'
         AND (outcome = 'allowed' OR detail ? 'revoked')";
    world.db.client().await.query_one(query, &[]).await.unwrap().get(0)
}

async fn for_itself(world: &World, client: &Client) -> Reply {
    world.api.post("/oauth/token").client(client).form(&[("grant_type", "client_credentials")]).send().await
}

/// Everything that issues or ends something, each with tokens of its own.
struct Prepared {
    world: World,
    client: Client,
    code: String,
    used_code: String,
    live: Tokens,
    rotated: Tokens,
    access: Tokens,
    refresh: Tokens,
    grant: String,
}

async fn prepared() -> Prepared {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"name": "Together"}))).await;
    let used_code = world.code(&client).await;
    world.redeem(&client, &used_code).await;
    let rotated = world.tokens(&client).await;
    world.refresh(&client, &rotated.refresh).await;
    let (live, access, refresh) =
        (world.tokens(&client).await, world.tokens(&client).await, world.tokens(&client).await);
    // The newest one, for its own end.
    world.api.app.advance(std::time::Duration::from_secs(1)).await;
    world.tokens(&client).await;
    let grants = world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json();
    let grant = grants["items"][0]["id"].as_str().unwrap().to_owned();
    let code = world.code(&client).await;
    for_itself(&world, &client).await;
    Prepared { world, client, code, used_code, live, rotated, access, refresh, grant }
}

impl Prepared {
    /// The statuses of one exchange of each kind. The last one ends all that is left.
    async fn exchanges(&self) -> Vec<u16> {
        let (world, client) = (&self.world, &self.client);
        let own = format!("/v1/me/grants/{}", self.grant);
        vec![
            world.redeem(client, &self.code).await.status,
            world.refresh(client, &self.live.refresh).await.status,
            for_itself(world, client).await.status,
            world.redeem(client, &self.used_code).await.status,
            world.refresh(client, &self.rotated.refresh).await.status,
            world.api.revoke(client, &self.access.access).await.status,
            world.api.revoke(client, &self.refresh.refresh).await.status,
            world.api.ask("DELETE", &own).browser(&world.owner).send().await.status,
            world.owner("POST", "/v1/orgs/acme/grants/revoke", &json!({"app": client.id})).await.status,
        ]
    }
}

/// The control of the tests below: left alone, each exchange does what it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn left_alone_every_exchange_works() {
    let prepared = prepared().await;
    assert_eq!(prepared.exchanges().await, [200, 200, 200, 400, 400, 200, 200, 204, 200]);
}

/// spec: oauth N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_issued_or_ended_without_its_event() {
    let prepared = prepared().await;
    block_trail(&prepared.world).await;
    let before = state(&prepared.world).await;
    let statuses = prepared.exchanges().await;
    let faults = statuses.iter().filter(|status| **status >= 500).count();
    assert_eq!((state(&prepared.world).await, faults), (before, 9), "{statuses:?}");
}

/// spec: oauth N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_it_either() {
    let prepared = prepared().await;
    block_trail(&prepared.world).await;
    prepared.exchanges().await;
    unblock(&prepared.world, "audit_outbox").await;
    assert_eq!(prepared.exchanges().await, [200, 200, 200, 400, 400, 200, 200, 204, 200]);
}

/// spec: oauth N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_token_there_is_no_event_of_one() {
    let prepared = prepared().await;
    let world = &prepared.world;
    let (before, events) = (state(world).await, changes(world).await);
    block(world, "oauth_access_tokens", "INSERT", "true").await;
    let statuses = [
        world.redeem(&prepared.client, &prepared.code).await.status,
        world.refresh(&prepared.client, &prepared.live.refresh).await.status,
        for_itself(world, &prepared.client).await.status,
    ];
    assert_eq!(
        (state(world).await, changes(world).await, statuses.map(|status| status >= 500)),
        (before, events, [true; 3])
    );
}

/// spec: oauth N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_end_there_is_no_event_of_one() {
    let prepared = prepared().await;
    let world = &prepared.world;
    let (before, events) = (state(world).await, changes(world).await);
    block(world, "oauth_grants", "UPDATE", "NEW.status = 'revoked'").await;
    let own = format!("/v1/me/grants/{}", prepared.grant);
    let statuses = [
        world.redeem(&prepared.client, &prepared.used_code).await.status,
        world.refresh(&prepared.client, &prepared.rotated.refresh).await.status,
        world.api.revoke(&prepared.client, &prepared.refresh.refresh).await.status,
        world.api.ask("DELETE", &own).browser(&world.owner).send().await.status,
        world.owner("POST", "/v1/orgs/acme/grants/revoke", &json!({"app": prepared.client.id})).await.status,
    ];
    assert_eq!(
        (state(world).await, changes(world).await, statuses.map(|status| status >= 500)),
        (before, events, [true; 5])
    );
}

/// spec: oauth N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_number_of_the_feed_nothing_ends() {
    let prepared = prepared().await;
    let world = &prepared.world;
    let (before, events) = (state(world).await, changes(world).await);
    block(world, "key_feed", "UPDATE", "true").await;
    let statuses = [
        world.redeem(&prepared.client, &prepared.used_code).await.status,
        world.refresh(&prepared.client, &prepared.rotated.refresh).await.status,
        world.api.revoke(&prepared.client, &prepared.access.access).await.status,
        world.api.revoke(&prepared.client, &prepared.refresh.refresh).await.status,
    ];
    assert_eq!(
        (state(world).await, changes(world).await, statuses.map(|status| status >= 500)),
        (before, events, [true; 4])
    );
}

/// spec: oauth N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_ours_tells_nothing_of_its_cause() {
    let prepared = prepared().await;
    block_trail(&prepared.world).await;
    let reply = prepared.world.redeem(&prepared.client, &prepared.code).await;
    let words = ["refused", "trigger", "audit_outbox", "sp_", "panic"];
    let told = words.map(|word| reply.text.contains(word));
    assert_eq!((reply.status >= 500, reply.refused().1.as_str(), told), (true, "temporarily_unavailable", [false; 5]));
}

/// Each exchange that issues or ends something leaves one event, or one for each grant that it ended.
///
/// spec: oauth N4, N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exchange_leaves_its_events() {
    let prepared = prepared().await;
    let before = changes(&prepared.world).await;
    let live = "SELECT count(*) FROM oauth_grants WHERE status <> 'revoked'";
    let client = prepared.world.db.client().await;
    let grants: i64 = client.query_one(live, &[]).await.unwrap().get(0);
    prepared.exchanges().await;
    // Three tokens, one access token that ended alone, and each grant once.
    assert_eq!(changes(&prepared.world).await - before, 4 + grants);
}

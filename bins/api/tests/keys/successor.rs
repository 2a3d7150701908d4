//! Auto-Rotate: the slot that is made ahead of the end, and its pick-up.

use serde_json::{Value, json};
use statuspulse_app::keys::{CreateKey, successor};
use statuspulse_testkit::key_of;

use crate::support::{Reply, World};

/// A production key with Auto-Rotate: its id and its token.
async fn auto_rotating(world: &World) -> (String, String) {
    let wanted = CreateKey { auto_rotate: true, ..key_of("production", &["checks:read"]) };
    let (view, token) = world.key_like(wanted).await;
    (view.key.id.to_string(), token)
}

async fn pass(world: &World) -> usize {
    successor::pass(&world.api.app.app()).await.unwrap()
}

/// The same with its slot: seven days before its end.
async fn with_slot(world: &World) -> (String, String) {
    let key = auto_rotating(world).await;
    world.api.app.advance_days(83).await;
    assert_eq!(pass(world).await, 1);
    key
}

async fn claim(world: &World, token: &str) -> Reply {
    world.api.post("/v1/keys/self/successor").key(token).send().await
}

async fn judged(world: &World, token: &str) -> String {
    let path = "/v1/forward-auth/api/v1/checks";
    let reply = world.api.get(path).peer("127.0.0.1").key(token).send().await;
    if reply.status == 200 { "allowed".to_owned() } else { reply.code() }
}

async fn slots(world: &World) -> i64 {
    let client = world.db.client().await;
    client.query_one("SELECT count(*) FROM key_versions WHERE state = 'pending'", &[]).await.unwrap().get(0)
}

async fn shown(world: &World, id: &str) -> Value {
    let again = world.api.sign_in(&world.org.owner).await;
    world.api.get(&format!("/v1/orgs/acme/keys/{id}")).cookie(&again).send().await.json()
}

/// spec: keys K32
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_schedulers_make_one_slot() {
    let world = World::new().await;
    auto_rotating(&world).await;
    let (second, third) = (world.api.app.second().await, world.api.app.second().await);
    world.api.app.advance_days(83).await;
    let apps = [world.api.app.app(), second.app(), third.app()];
    let (one, two, three) =
        tokio::join!(successor::pass(&apps[0]), successor::pass(&apps[1]), successor::pass(&apps[2]));
    let made: usize = [one, two, three].into_iter().map(Result::unwrap).sum();
    assert_eq!((made, slots(&world).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_its_time_there_is_no_slot() {
    let world = World::new().await;
    auto_rotating(&world).await;
    world.api.app.advance_days(82).await;
    assert_eq!((pass(&world).await, slots(&world).await), (0, 0));
}

/// spec: keys K33
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_of_three_days_the_slot_is_made() {
    let world = World::new().await;
    auto_rotating(&world).await;
    world.api.app.advance_days(86).await;
    assert_eq!((pass(&world).await, slots(&world).await), (1, 1));
}

/// spec: keys K34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_is_picked_up_once() {
    let world = World::new().await;
    let (_, token) = with_slot(&world).await;
    let first = claim(&world, &token).await;
    let fresh = first.json()["token"].as_str().unwrap_or_default().starts_with("sp_live_");
    let again = claim(&world, &token).await.outcome();
    assert_eq!((first.status, fresh, again), (201, true, (409, "successor_claimed".to_owned())), "{}", first.text);
}

/// spec: keys K34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_unlisted_address_nothing_is_picked_up() {
    let world = World::new().await;
    let wanted = CreateKey {
        auto_rotate: true,
        allowed_cidrs: Some(vec!["198.51.100.0/24".into()]),
        ..key_of("production", &["checks:read"])
    };
    let (_, token) = world.key_like(wanted).await;
    world.api.app.advance_days(83).await;
    pass(&world).await;
    let refused = claim(&world, &token).await.outcome();
    assert_eq!((refused, slots(&world).await), ((403, "ip_not_allowed".to_owned()), 1));
}

/// spec: keys K34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_nothing_is_picked_up() {
    let world = World::new().await;
    let (_, token) = with_slot(&world).await;
    world.api.app.advance_days(7).await;
    assert_eq!(claim(&world, &token).await.outcome(), (401, "expired".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_pick_ups_at_once_one_gets_the_token() {
    let world = World::new().await;
    let (_, token) = with_slot(&world).await;
    let (one, two) = tokio::join!(claim(&world, &token), claim(&world, &token));
    let mut answers = [one.status, two.status];
    answers.sort_unstable();
    assert_eq!(answers, [201, 409]);
}

/// spec: keys K35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_tokens_work_until_the_old_end_and_then_the_new_one_alone() {
    let world = World::new().await;
    let (_, old) = with_slot(&world).await;
    let new = claim(&world, &old).await.json()["token"].as_str().unwrap().to_owned();
    let before = (judged(&world, &old).await, judged(&world, &new).await);
    world.api.app.advance_days(7).await;
    let after = (judged(&world, &old).await, judged(&world, &new).await);
    let words = |old: &str, new: &str| (old.to_owned(), new.to_owned());
    assert_eq!((before, after), (words("allowed", "allowed"), words("revoked", "allowed")));
}

/// spec: keys K36
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_auto_rotate_off_takes_the_slot_away() {
    let world = World::new().await;
    let (id, token) = with_slot(&world).await;
    let again = world.api.sign_in(&world.org.owner).await;
    let path = format!("/v1/orgs/acme/keys/{id}");
    let changed = world.api.ask("PATCH", &path).browser(&again).json(&json!({"auto_rotate": false})).send().await;
    let claimed = claim(&world, &token).await.outcome();
    assert_eq!((changed.status, slots(&world).await, claimed), (200, 0, (404, "no_successor".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_the_key_takes_the_slot_away() {
    let world = World::new().await;
    let (id, _) = with_slot(&world).await;
    let again = world.api.sign_in(&world.org.owner).await;
    world.api.post(&format!("/v1/orgs/acme/keys/{id}/revoke")).browser(&again).send().await;
    assert_eq!(slots(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_nobody_picked_up_goes_with_the_key() {
    let world = World::new().await;
    with_slot(&world).await;
    world.api.app.advance_days(7).await;
    assert_eq!((pass(&world).await, slots(&world).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_by_a_person_fills_the_slot() {
    let world = World::new().await;
    let (id, token) = with_slot(&world).await;
    let again = world.api.sign_in(&world.org.owner).await;
    let rotated = world.api.post(&format!("/v1/orgs/acme/keys/{id}/rotate")).browser(&again).send().await;
    let claimed = claim(&world, &token).await.status;
    assert_eq!(
        (rotated.status, &rotated.json()["key"]["version"], slots(&world).await, claimed),
        (200, &json!(2), 0, 401)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_tell_the_holder_of_the_end_and_of_the_slot() {
    let world = World::new().await;
    let (_, token) = with_slot(&world).await;
    let gateway = world.api.get("/v1/forward-auth/api/v1/checks").peer("127.0.0.1").key(&token).send().await;
    let own = world.api.get("/v1/keys/self").key(&token).send().await;
    let told = |reply: &Reply| (reply.header("x-key-expires-at").len(), reply.header("x-key-successor").to_owned());
    assert_eq!([told(&gateway), told(&own)], [(20, "pending".to_owned()), (20, "pending".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_a_slot_is_told_its_end_alone() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let reply = world.api.get("/v1/keys/self").key(&token).send().await;
    assert_eq!((reply.header("x-key-expires-at").is_empty(), reply.header("x-key-successor")), (false, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_shows_how_its_successor_stands() {
    let world = World::new().await;
    let (id, token) = with_slot(&world).await;
    let pending = shown(&world, &id).await["successor"]["status"].clone();
    claim(&world, &token).await;
    let claimed = shown(&world, &id).await["successor"]["status"].clone();
    assert_eq!((pending, claimed), (json!("pending"), json!("claimed")));
}

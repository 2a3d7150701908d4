//! The keys of signed tokens over time, and signed tokens as credentials.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_app::{oauth::cleanup, signing};
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, Tokens, confidential, with},
    discovery::{JWKS, keys, kids, part, signed},
    support::{Api, PUBLIC_URL, World},
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

/// What the clean-up of a running server does every minute: it makes the key that is due and takes the old ones.
async fn pass(world: &World) {
    cleanup::pass(&world.api.app.app()).await.unwrap();
}

async fn jwt_app(world: &World) -> Client {
    world.app(with(confidential(), json!({"access_token_format": "jwt"}))).await
}

/// A signed token of the app for itself.
async fn issued(api: &Api, client: &Client) -> String {
    let form = [("grant_type", "client_credentials")];
    let reply = api.post("/oauth/token").client(client).form(&form).send().await;
    reply.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
}

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

/// The key that signs now.
async fn signer(world: &World, client: &Client) -> String {
    kid(&issued(&world.api, client).await)
}

async fn is_published(world: &World, kid: &str) -> bool {
    kids(&keys(&world.api).await).iter().any(|published| published == kid)
}

/// The first key, which signs from now on, with the instance where the clean-up has made it.
async fn first(world: &World) -> (Client, String) {
    let client = jwt_app(world).await;
    pass(world).await;
    let kid = signer(world, &client).await;
    (client, kid)
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_signs_for_thirty_days_to_the_second() {
    let world = World::new().await;
    let (client, old) = first(&world).await;
    world.api.app.advance_days(28).await;
    pass(&world).await;
    world.api.app.advance(DAY * 2 - SECOND).await;
    pass(&world).await;
    let before = signer(&world, &client).await;
    world.api.app.advance(SECOND).await;
    let after = signer(&world, &client).await;
    assert_eq!((before == old, after == old), (true, false));
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_key_is_published_a_day_before_to_the_second() {
    let world = World::new().await;
    let (client, _) = first(&world).await;
    world.api.app.advance_days(28).await;
    pass(&world).await;
    world.api.app.advance(DAY - SECOND).await;
    let before = keys(&world.api).await.len();
    world.api.app.advance(SECOND).await;
    let published = kids(&keys(&world.api).await);
    world.api.app.advance(DAY).await;
    let next = signer(&world, &client).await;
    assert_eq!((before, published.len(), published.contains(&next)), (1, 2, true));
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_key_stays_until_an_hour_after_the_end_of_its_last_token() {
    let world = World::new().await;
    let (client, old) = first(&world).await;
    world.api.app.advance_days(28).await;
    pass(&world).await;
    world.api.app.advance(DAY * 2 - SECOND).await;
    let last = issued(&world.api, &client).await;
    world.api.app.advance(HOUR * 2 - SECOND).await;
    pass(&world).await;
    let live = world.is_active(&client, &last).await;
    // From the end of the last second in which it could sign.
    world.api.app.advance(HOUR + SECOND).await;
    pass(&world).await;
    let stays = is_published(&world, &old).await;
    world.api.app.advance(SECOND).await;
    let goes = is_published(&world, &old).await;
    assert_eq!((kid(&last) == old, live, stays, goes), (true, true, true, false));
}

/// spec: oauth K11, K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_sixty_days_every_instance_publishes_the_same_keys_and_takes_what_another_has_signed() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = jwt_app(&world).await;
    let mut signers = Vec::new();
    for day in 0..60_u32 {
        // Whoever of them comes first makes the key that is due.
        let passing = if day % 2 == 0 { &world.api } else { &second };
        cleanup::pass(&passing.app.app()).await.unwrap();
        for api in [&world.api, &second] {
            api.app.replica.catch_up().await;
        }
        eventually("the key sets are the same", async || keys(&world.api).await == keys(&second).await).await;
        let token = issued(&world.api, &client).await;
        let other = issued(&second, &client).await;
        let taken = [
            second.introspect(&client, &token).await.json()["active"].clone(),
            world.api.introspect(&client, &other).await.json()["active"].clone(),
        ];
        assert_eq!((taken, kid(&token)), ([json!(true), json!(true)], kid(&other)), "day {day}");
        if signers.last() != Some(&kid(&token)) {
            signers.push(kid(&token));
        }
        world.api.app.advance_days(1).await;
    }
    assert_eq!(signers.len(), 2);
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_of_months_there_is_a_key_at_once() {
    let world = World::new().await;
    let (client, old) = first(&world).await;
    world.api.app.advance_days(100).await;
    let token = issued(&world.api, &client).await;
    let published = is_published(&world, &kid(&token)).await;
    assert_eq!((kid(&token) == old, published, world.is_active(&client, &token).await), (false, true, true));
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_published_no_more_are_cleaned_up() {
    let world = World::new().await;
    let (client, old) = first(&world).await;
    world.api.app.advance_days(30).await;
    signer(&world, &client).await;
    let held = async || {
        pass(&world).await;
        let query = "SELECT count(*) FROM oauth_signing_keys WHERE kid = $1";
        world.db.client().await.query_one(query, &[&old]).await.unwrap().get::<_, i64>(0)
    };
    world.api.app.advance(HOUR * 3 - SECOND).await;
    let before = held().await;
    world.api.app.advance(SECOND).await;
    assert_eq!((before, held().await), (1, 0));
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_changed_at_once_is_changed_on_every_instance() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let (client, old) = first(&world).await;
    let token = issued(&world.api, &client).await;
    let new = signing::rotate(&world.api.app.app(), &world.api.app.operator()).await.unwrap();
    eventually("the other instance publishes both", async || {
        let published = kids(&keys(&second).await);
        published.contains(&old) && published.contains(&new)
    })
    .await;
    let signed_there = kid(&issued(&second, &client).await);
    let old_token = second.introspect(&client, &token).await.json()["active"].clone();
    assert_eq!((signed_there, old_token), (new, json!(true)));
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_at_once_is_in_the_trail_and_the_next_rhythm_begins_with_it() {
    let world = World::new().await;
    let (client, _) = first(&world).await;
    world.api.app.advance_days(10).await;
    let new = signing::rotate(&world.api.app.app(), &world.api.app.operator()).await.unwrap();
    let events = world.events("settings.signing_key_rotate").await;
    let told: Vec<&Value> = events.iter().map(|event| &event["detail"]["kid"]).collect();
    world.api.app.advance_days(28).await;
    pass(&world).await;
    world.api.app.advance(DAY * 2 - SECOND).await;
    assert_eq!((told, signer(&world, &client).await), (vec![&json!(new)], new));
}

/// spec: oauth K11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_set_names_each_key_once_and_may_be_kept_for_an_hour() {
    let world = World::new().await;
    first(&world).await;
    signing::rotate(&world.api.app.app(), &world.api.app.operator()).await.unwrap();
    let reply = world.api.get(JWKS).send().await;
    let set = reply.json();
    let list = set["keys"].as_array().unwrap();
    let fixed = list.iter().map(|key| {
        let told = ["kty", "crv", "alg", "use"].map(|name| key[name].as_str().unwrap());
        (told, key["d"].is_null() && !key["kid"].as_str().unwrap().is_empty())
    });
    let mut names = kids(list);
    names.sort();
    names.dedup();
    assert_eq!(
        (fixed.collect::<Vec<_>>(), names.len(), reply.header("cache-control"), set.as_object().unwrap().len()),
        (vec![(["EC", "P-256", "ES256", "sig"], true); 2], 2, "public, max-age=3600", 1)
    );
}

/// spec: oauth K11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_changes_no_key() {
    let world = World::new().await;
    let (client, old) = first(&world).await;
    let before = keys(&world.api).await;
    let restarted = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    assert_eq!((keys(&restarted).await, kid(&issued(&restarted, &client).await)), (before, old));
}

/// spec: oauth K11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_need_the_first_key_at_the_same_moment_make_one() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = jwt_app(&world).await;
    eventually("the other instance knows the app", async || {
        second.app.replica.oauth.app_by_client_id(&client.id).is_some()
    })
    .await;
    let count = "DELETE FROM oauth_signing_keys";
    world.db.client().await.execute(count, &[]).await.unwrap();
    let tokens = (0..8).map(|place| issued(if place % 2 == 0 { &world.api } else { &second }, &client));
    let mut signers: Vec<String> =
        futures_util::future::join_all(tokens).await.iter().map(|token| kid(token)).collect();
    signers.dedup();
    assert_eq!(signers.len(), 1);
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_access_tokens_are_signed_and_all_of_them_are() {
    let world = World::new().await;
    let client = jwt_app(&world).await;
    let first = world.tokens(&client).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    let own = issued(&world.api, &client).await;
    let signed = [&first.access, &second.access, &own].map(|token| part(token, 0)["typ"] == "at+jwt");
    let opaque = [&first.refresh, &second.refresh].map(|token| token.starts_with("sp_rt_"));
    assert_eq!((signed, opaque, &part(&own, 1)["sub"]), ([true; 3], [true; 2], &json!(client.id)));
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_signed_tokens_share_an_id() {
    let world = World::new().await;
    let client = jwt_app(&world).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(part(&issued(&world.api, &client).await, 1)["jti"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_token_ends_to_the_second() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let judged = async || world.judged(&token, "GET", "/api/v1/monitoring/x").await;
    world.api.app.advance(HOUR * 2 - SECOND).await;
    let before = (world.is_active(&client, &token).await, judged().await);
    world.api.app.advance(SECOND).await;
    let after = (world.is_active(&client, &token).await, judged().await);
    assert_eq!((before, after), ((true, "allowed".to_owned()), (false, "expired".to_owned())));
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reuse_of_a_refresh_token_ends_signed_tokens_too() {
    let world = World::new().await;
    let client = jwt_app(&world).await;
    let first = world.tokens(&client).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    let before = world.is_active(&client, &second.access).await;
    world.refresh(&client, &first.refresh).await;
    let after = [world.is_active(&client, &first.access).await, world.is_active(&client, &second.access).await];
    assert_eq!((before, after), (true, [false; 2]));
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_changes_the_form_keeps_the_tokens_that_it_has() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    world.change_app(&client, &json!({"access_token_format": "opaque"})).await;
    let next = world.tokens(&client).await.access;
    assert_eq!((next.starts_with("sp_at_"), world.is_active(&client, &token).await), (true, true));
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_token_is_revoked_on_every_instance() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let (client, token) = signed(&world).await;
    eventually("the other instance takes the token", async || {
        second.introspect(&client, &token).await.json()["active"] == true
    })
    .await;
    world.api.revoke(&client, &token).await;
    eventually("it takes it no more", async || second.introspect(&client, &token).await.json()["active"] == false)
        .await;
    assert!(!world.is_active(&client, &token).await);
}

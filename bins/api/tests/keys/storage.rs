//! What is stored of a token (§3).

use serde_json::json;
use statuspulse_app::peppers;
use statuspulse_keys::BcryptCost;
use statuspulse_testkit::{TestApp, TestDb, eventually};

use crate::{
    help::{DAY, pieces_in},
    support::{Api, World},
};

/// A hundred keys of all environments, all of them used, some rotated.
async fn hundred_keys(world: &World) -> Vec<String> {
    let mut tokens = vec![world.gateway.clone()];
    for number in 0..100 {
        let environment = ["production", "staging", "analytics"][number % 3];
        let (id, token) = world.created(&json!({"environment": environment, "name": format!("key {number}")})).await;
        world.call(&token).await;
        if number % 10 == 0 {
            tokens.push(world.rotated(&id, &json!({"overlap_seconds": 60})).await);
        }
        tokens.push(token);
    }
    tokens
}

/// spec: keys K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_the_database_holds_no_token_and_no_sixteen_characters_of_one() {
    let world = World::new().await;
    let tokens = hundred_keys(&world).await;
    assert_eq!((pieces_in(&tokens, &world.dump().await), tokens.len()), (Vec::<String>::new(), 111));
}

/// The control of the test above and its like: the search finds what is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_of_a_token_in_any_table_would_be_found() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let (plain, bytes) = (&token[20..36], &token[40..72]);
    world.sql(&format!("UPDATE users SET name = 'x{plain}y'; UPDATE sessions SET token_digest = '{bytes}'")).await;
    let found = pieces_in(std::slice::from_ref(&token), &world.dump().await);
    let in_bytes = found.iter().any(|piece| piece.len() == 32);
    assert!(found.contains(&plain.to_owned()) && in_bytes, "{found:?}");
}

/// spec: keys K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cost_that_can_be_configured_gives_a_bcrypt_hash_of_sixty_characters() {
    let mut fitting = Vec::new();
    for cost in ["10", "11", "12"] {
        let db = TestDb::new().await;
        let app = TestApp::builder(&db).bcrypt_cost(cost.parse().unwrap()).start().await;
        let world = World::around(db, Api::over(app, "", "x-forwarded-for").await).await;
        let form =
            format!(r"SELECT (secret_hash ~ '^\$2b\${cost}\$' AND length(secret_hash) = 60)::text FROM key_versions");
        fitting.extend(world.texts(&form).await);
    }
    assert_eq!(fitting, ["true"; 3]);
}

/// spec: keys K14
#[test]
fn the_cost_is_ten_unless_somebody_says_otherwise() {
    assert_eq!(BcryptCost::DEFAULT.get(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_hash_names_its_scheme_and_is_made_with_a_salt_of_its_own() {
    let world = World::new().await;
    world.created(&json!({})).await;
    let stored = "SELECT DISTINCT hash_scheme || ' ' || substr(secret_hash, 8, 22) FROM key_versions";
    let salts = world.texts(stored).await;
    assert_eq!((salts.len(), salts.iter().all(|salt| salt.starts_with("bcrypt-sha256-v1 "))), (2, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_hashed_once_for_each_version_and_instance() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    world.call(&token).await;
    let hashes = world.api.app.gate.hashes();
    for _ in 0..5 {
        world.call(&token).await;
    }
    assert_eq!(world.api.app.gate.hashes() - hashes, 0);
}

async fn under_pepper(world: &World, id: &str) -> String {
    let stored = format!(
        "SELECT string_agg(pepper_version::text, ' ' ORDER BY version) FROM key_versions WHERE key_id = '{id}'"
    );
    world.texts(&stored).await.concat()
}

async fn rotate_pepper(api: &Api, force: bool) -> Result<Vec<(i16, i64)>, String> {
    let rotated = peppers::rotate(&api.app, &api.app.operator(), force).await;
    let uses = rotated.map_err(|error| error.code().to_owned())?;
    Ok(uses.into_iter().map(|pepper| (pepper.version, pepper.live_versions)).collect())
}

async fn pepper_status(api: &Api) -> Vec<(i16, i64)> {
    let uses = peppers::status(&api.app).await.unwrap();
    uses.into_iter().map(|pepper| (pepper.version, pepper.live_versions)).collect()
}

/// spec: keys K16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_tokens_work_after_the_pepper_was_rotated() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    rotate_pepper(&world.api, false).await.unwrap();
    assert_eq!(world.call(&token).await, "allowed");
}

/// spec: keys K16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_tokens_work_on_the_other_instances_too() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = world.second().await;
    rotate_pepper(&world.api, false).await.unwrap();
    let (_, fresh) = world.key(&["checks:read"]).await;
    eventually("the other instance knows the new pepper", async || world.call_at(&second, &fresh).await == "allowed")
        .await;
    assert_eq!(world.call_at(&second, &token).await, "allowed");
}

/// spec: keys K16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_token_moves_to_the_new_pepper_and_still_works() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    rotate_pepper(&world.api, false).await.unwrap();
    world.call(&token).await;
    eventually("the row is under the new pepper", async || under_pepper(&world, &id).await == "2").await;
    let second = world.second().await;
    assert_eq!([world.call(&token).await, world.call_at(&second, &token).await], ["allowed"; 2]);
}

/// spec: keys K16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unused_or_refused_token_stays_under_the_old_pepper() {
    let world = World::new().await;
    let (unused, _) = world.key(&["checks:read"]).await;
    let (listed, token) = world.created(&json!({"allowed_cidrs": ["192.0.2.0/24"]})).await;
    rotate_pepper(&world.api, false).await.unwrap();
    world.call(&token).await;
    world.api.app.flush().await;
    assert_eq!([under_pepper(&world, &unused).await, under_pepper(&world, &listed).await], ["1", "1"]);
}

/// spec: keys K16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_counts_the_versions_that_are_still_under_each_pepper() {
    let world = World::new().await;
    let (used, token) = world.key(&["checks:read"]).await;
    world.key(&["checks:read"]).await;
    let (revoked, _) = world.key(&["checks:read"]).await;
    world.verb(&revoked, "revoke", &json!({})).await;
    // The gateway's, the one that will be used and the one that will not.
    let before = rotate_pepper(&world.api, false).await.unwrap();
    world.call(&token).await;
    eventually("both used ones have moved", async || pepper_status(&world.api).await == [(2, 2), (1, 1)]).await;
    assert_eq!((before, under_pepper(&world, &used).await), (vec![(2, 0), (1, 3)], "2".to_owned()));
}

/// spec: keys K16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pepper_is_dropped_when_no_live_version_needs_it_any_more() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    rotate_pepper(&world.api, false).await.unwrap();
    let refused = rotate_pepper(&world.api, false).await.unwrap_err();
    for key in [&token, &world.gateway] {
        world.call(key).await;
    }
    eventually("both have moved", async || pepper_status(&world.api).await == [(2, 2), (1, 0)]).await;
    let rotated = rotate_pepper(&world.api, false).await;
    assert_eq!((refused.as_str(), rotated.map(|uses| uses[0])), ("pepper_in_use", Ok((3, 0))));
}

/// spec: keys K16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pepper_dropped_by_force_takes_its_unused_keys_with_it() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    rotate_pepper(&world.api, false).await.unwrap();
    let uses = rotate_pepper(&world.api, true).await.unwrap();
    let (_, gateway) = world.key(&["credentials:verify"]).await;
    let world = World { gateway, ..world };
    assert_eq!((uses[0], world.call(&token).await), ((3, 0), "unknown".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rotation_of_the_pepper_is_in_the_trail() {
    let world = World::new().await;
    rotate_pepper(&world.api, false).await.unwrap();
    let events = world.events("settings.pepper_rotate").await;
    assert_eq!(events.iter().map(|event| event["detail"]["pepper_version"].clone()).collect::<Vec<_>>(), [json!(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_version_is_kept_beside_the_end_that_people_set() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.later(DAY).await;
    world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    let stored = format!(
        "SELECT state || ' ' || extract(epoch FROM expires_at - created_at)::bigint || ' ' ||
             extract(epoch FROM valid_until - created_at)::bigint
         FROM key_versions WHERE key_id = '{id}' ORDER BY version"
    );
    assert_eq!(world.texts(&stored).await, ["superseded 7776000 90000", "live 7776000 7776000"]);
}

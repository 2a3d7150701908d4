//! What changes between the consent page and its answer.

use serde_json::json;
use statuspulse_policy::Role;

use crate::{
    client::{Client, confidential, parameter, public, with},
    help::{fields, is_page, under_their_ids, went},
    support::{Browser, Reply, World},
};

/// A world, an app, and its consent page before the owner.
async fn asked(app: serde_json::Value, scope: &str) -> (World, Client, Reply) {
    let world = World::new().await;
    let client = world.app(app).await;
    let page = world.authorize(&client, &[("scope", scope)]).await;
    (world, client, page)
}

/// The `error` that the app is told.
fn error(reply: &Reply) -> (u16, Option<String>) {
    (reply.status, Some(reply.location()).filter(|to| !to.is_empty()).and_then(|to| parameter(to, "error")))
}

fn err(code: &str) -> (u16, Option<String>) {
    (303, Some(code.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_was_suspended_meanwhile_gets_nothing() {
    let (world, client, page) = asked(confidential(), "monitoring:read").await;
    world.change_app(&client, &fields("status", json!("suspended"))).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert_eq!((is_page(&reply), world.codes().await), (true, 0), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_was_deleted_meanwhile_gets_nothing() {
    let (world, client, page) = asked(confidential(), "monitoring:read").await;
    world.owner("DELETE", &client.path(""), &json!({})).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert_eq!((is_page(&reply), world.codes().await), (true, 0), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_uri_that_was_taken_away_meanwhile_is_not_followed() {
    let (world, client, page) = asked(confidential(), "monitoring:read").await;
    world.change_app(&client, &fields("redirect_uris", json!(["https://app.example/new"]))).await;
    let denied = world.api.decide(&world.owner, &page, "deny", &[]).await;
    let allowed = world.api.allow(&world.owner, &page).await;
    assert_eq!((is_page(&denied), is_page(&allowed), world.codes().await), (true, true, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_the_app_lost_meanwhile_is_not_granted_and_the_others_are() {
    let (world, client, page) = asked(confidential(), "monitoring:read alerts:write").await;
    world.change_app(&client, &fields("scopes", json!(["monitoring:read"]))).await;
    let code = parameter(world.api.allow(&world.owner, &page).await.location(), "code").unwrap();
    assert_eq!(world.redeem(&client, &code).await.json()["scope"], "monitoring:read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_lost_everything_it_asked_for_gets_what_a_denied_one_gets() {
    let (world, client, page) = asked(confidential(), "alerts:write").await;
    world.change_app(&client, &fields("scopes", json!(["monitoring:read"]))).await;
    let reply = world.api.allow(&world.owner, &page).await;
    let told = (error(&reply), world.codes().await, world.reasons(&[&reply]).await);
    assert_eq!(told, (err("access_denied"), 0, under_their_ids(&["nothing_granted"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_stays_one_when_the_app_lost_a_scope_meanwhile() {
    let (world, client, page) = asked(confidential(), "alerts:write").await;
    world.change_app(&client, &fields("scopes", json!(["monitoring:read"]))).await;
    let reply = world.api.decide(&world.owner, &page, "deny", &[]).await;
    assert_eq!(world.reasons(&[&reply]).await, under_their_ids(&["denied_by_user"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_that_was_taken_away_meanwhile_is_not_granted() {
    let (world, client, page) = asked(confidential(), "").await;
    world.change_app(&client, &fields("default_scopes", json!([]))).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert_eq!((error(&reply), world.codes().await), (err("access_denied"), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requirement_that_was_added_meanwhile_holds() {
    let app = with(confidential(), json!({"require_pkce": false}));
    let world = World::new().await;
    let client = world.app(app).await;
    let page = world.authorize(&client, &[("code_challenge", ""), ("code_challenge_method", "")]).await;
    world.change_app(&client, &fields("require_pkce", json!(true))).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert_eq!((error(&reply), world.codes().await), (err("invalid_request"), 0));
}

/// A developer, the page of an app that asks for two scopes, and the app.
async fn asked_developer(scopes: &str) -> (World, Client, statuspulse_testkit::Person, Browser, Reply) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (person, browser) = world.member("dev", Role::Developer).await;
    let page = world.api.authorize(&browser, &client, &[("scope", scopes)]).await;
    (world, client, person, browser, page)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_role_may_no_longer_give_is_cut_off() {
    let (world, client, _, browser, page) = asked_developer("monitoring:read alerts:write").await;
    let setting = json!({"developer_scopes": ["alerts:write"]});
    world.owner("PATCH", "/v1/orgs/acme/settings", &setting).await;
    let reply = world.api.allow(&browser, &page).await;
    let code = parameter(reply.location(), "code").unwrap();
    assert_eq!(world.redeem(&client, &code).await.json()["scope"], "alerts:write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_became_an_auditor_meanwhile_gives_nothing() {
    let (world, _, person, browser, page) = asked_developer("monitoring:read").await;
    world.sql(&format!("UPDATE memberships SET role = 'auditor' WHERE user_id = '{}'", person.id)).await;
    let reply = world.api.allow(&browser, &page).await;
    assert_eq!((error(&reply), world.codes().await), (err("access_denied"), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_the_organization_meanwhile_gives_nothing() {
    let (world, _, person, browser, page) = asked_developer("monitoring:read").await;
    world.sql(&format!("DELETE FROM memberships WHERE user_id = '{}'", person.id)).await;
    let reply = world.api.allow(&browser, &page).await;
    assert_eq!((error(&reply), world.codes().await), (err("access_denied"), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_account_was_closed_meanwhile_decides_nothing() {
    let (world, _, person, browser, page) = asked_developer("monitoring:read").await;
    world.sql(&format!("UPDATE users SET disabled_at = created_at WHERE id = '{}'", person.id)).await;
    let reply = world.api.allow(&browser, &page).await;
    assert_eq!((went(&reply), world.codes().await), ((403, String::new()), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_whose_loopback_port_was_asked_for_gets_the_code_there() {
    let world = World::new().await;
    let client = world.app(public()).await;
    let page = world.authorize(&client, &[("redirect_uri", "http://127.0.0.1:51004/cb")]).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert!(reply.location().starts_with("http://127.0.0.1:51004/cb?code=sp_ac_"), "{}", reply.location());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_was_given_before_the_app_was_suspended_is_dead_afterwards() {
    let (world, client, page) = asked(confidential(), "monitoring:read").await;
    let code = parameter(world.api.allow(&world.owner, &page).await.location(), "code").unwrap();
    for status in ["suspended", "active"] {
        world.change_app(&client, &fields("status", json!(status))).await;
    }
    assert_eq!(world.redeem(&client, &code).await.refused(), (400, "invalid_grant".to_owned()));
}

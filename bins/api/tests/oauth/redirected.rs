//! Errors that go back to the app, and what a valid request may look like.

use serde_json::{Value, json};

use crate::{
    client::{
        CHALLENGE, Client, REDIRECT, STATE, Tokens, confidential, encoded, parameter, parameters, public, ticked, with,
    },
    support::{PUBLIC_URL, Reply, World},
};

/// `err(x)` of the spec: 303 to the app with the error, the state and the issuer, and no code.
fn error(reply: &Reply) -> (u16, String, Option<String>, Option<String>, bool) {
    let get = |name| parameter(reply.location(), name);
    if reply.location().is_empty() {
        return (reply.status, format!("no redirect: {}", reply.text), None, None, false);
    }
    (reply.status, get("error").unwrap_or_default(), get("state"), get("iss"), get("code").is_some())
}

fn err(code: &str) -> (u16, String, Option<String>, Option<String>, bool) {
    (303, code.to_owned(), Some(STATE.to_owned()), Some(PUBLIC_URL.to_owned()), false)
}

fn err_without_state(code: &str) -> (u16, String, Option<String>, Option<String>, bool) {
    (303, code.to_owned(), None, Some(PUBLIC_URL.to_owned()), false)
}

async fn answered(app: Value, replaced: &[(&str, &str)]) -> Reply {
    let world = World::new().await;
    let client = world.app(app).await;
    world.authorize(&client, replaced).await
}

async fn raw(world: &World, client: &Client, more: &str) -> Reply {
    let query = encoded(&[
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    world.api.get(&format!("/oauth/authorize?{query}&{more}")).cookie(&world.owner).send().await
}

/// spec: oauth B1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_type_is_required() {
    assert_eq!(error(&answered(confidential(), &[("response_type", "")]).await), err("invalid_request"));
}

/// spec: oauth B2, B26, B27
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_codes_are_given_and_nothing_goes_into_a_fragment() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for kind in ["token", "id_token", "code token", "none"] {
        let reply = world.authorize(&client, &[("response_type", kind)]).await;
        let headers = (reply.header("cache-control").to_owned(), reply.header("referrer-policy").to_owned());
        seen.push((error(&reply), reply.location().contains('#'), headers));
    }
    let headers = ("no-store".to_owned(), "no-referrer".to_owned());
    assert_eq!(seen, vec![(err("unsupported_response_type"), false, headers); 4]);
}

/// spec: oauth B3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_challenge_a_request_is_refused_unless_the_app_switched_it_off() {
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let refused = error(&answered(confidential(), &none).await);
    let of_public = answered(public(), &none).await;
    let off = answered(with(confidential(), json!({"require_pkce": false})), &none).await.status;
    let of_public = parameter(of_public.location(), "error");
    assert_eq!((refused, of_public, off), (err("invalid_request"), Some("invalid_request".to_owned()), 200));
}

/// spec: oauth B4, B5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_and_an_omitted_method_are_refused() {
    let plain = error(&answered(confidential(), &[("code_challenge_method", "plain")]).await);
    let omitted = error(&answered(confidential(), &[("code_challenge_method", "")]).await);
    let lower = error(&answered(confidential(), &[("code_challenge_method", "s256")]).await);
    assert_eq!([plain, omitted, lower], [err("invalid_request"), err("invalid_request"), err("invalid_request")]);
}

/// spec: oauth B8, B9, B10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_foreign_and_malformed_scopes_are_invalid() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for scope in ["bogus", "checks:read", "a\"b", "a\\b", "monitoring:read bogus", "Monitoring:read"] {
        seen.push(error(&world.authorize(&client, &[("scope", scope)]).await));
    }
    assert_eq!(seen, vec![err("invalid_scope"); 6]);
}

/// spec: oauth B11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_asked_for_means_the_default_scope() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[("scope", "")]).await;
    let asked = ticked(&page.text);
    let code = parameter(world.api.allow(&world.owner, &page).await.location(), "code").unwrap();
    let told = world.redeem(&client, &code).await.json()["scope"].clone();
    assert_eq!((asked, told), (vec!["monitoring:read".to_owned()], json!("monitoring:read")));
}

/// spec: oauth B11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_default_nothing_asked_for_is_invalid() {
    let app = with(confidential(), json!({"default_scopes": null}));
    assert_eq!(error(&answered(app, &[("scope", "")]).await), err("invalid_scope"));
}

/// spec: oauth B12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_state_that_is_missing_or_empty_is_refused_without_one() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let missing = error(&world.authorize(&client, &[("state", "")]).await);
    let empty = error(&raw(&world, &client, "scope=monitoring:read&state=").await);
    assert_eq!([missing, empty], [err_without_state("invalid_request"), err_without_state("invalid_request")]);
}

/// spec: oauth B13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_state_is_not_required_it_is_echoed_only_when_sent() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"require_state": false}))).await;
    let without = world.authorize(&client, &[("state", "")]).await;
    let without = world.api.allow(&world.owner, &without).await;
    let sent = world.authorize(&client, &[("scope", "alerts:write")]).await;
    let sent = world.api.allow(&world.owner, &sent).await;
    let states = [parameter(without.location(), "state"), parameter(sent.location(), "state")];
    assert_eq!((without.status, states), (303, [None, Some(STATE.to_owned())]));
}

/// spec: oauth B14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_states_are_refused_without_one() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = raw(&world, &client, "scope=monitoring:read&state=a&state=b").await;
    assert_eq!(error(&reply), err_without_state("invalid_request"));
}

/// spec: oauth B15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_visible_character_of_state_comes_back() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let all: String = (0x20_u8..=0x7E).map(char::from).collect();
    let page = world.authorize(&client, &[("state", &all)]).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert_eq!(parameter(reply.location(), "state"), Some(all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_too_long_or_not_visible_is_refused_without_one() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let long = "x".repeat(2_049);
    let mut seen = Vec::new();
    for state in [long.as_str(), "a\u{7f}", "\u{e9}", "a\nb"] {
        seen.push(error(&world.authorize(&client, &[("state", state)]).await));
    }
    seen.push(error(&raw(&world, &client, "scope=monitoring:read&state=%ff").await));
    seen.push(error(&raw(&world, &client, "scope=monitoring:read&state=%00").await));
    assert_eq!(seen, vec![err_without_state("invalid_request"); 6]);
}

/// spec: oauth B19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_parameters_are_ignored_also_twice() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = raw(&world, &client, "scope=monitoring:read&state=st&foo=1&foo=2&nonce=x").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_known_parameter_may_be_there_once() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for twice in
        ["response_type=code", "scope=monitoring:read", "code_challenge_method=S256", "prompt=consent&prompt=none"]
    {
        let more = format!("scope=monitoring:read&state={STATE}&{twice}");
        seen.push(error(&raw(&world, &client, &more).await));
    }
    assert_eq!(seen, vec![err("invalid_request"); 4]);
}

/// spec: oauth B20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompt_none_without_consent_shows_no_page() {
    assert_eq!(error(&answered(confidential(), &[("prompt", "none")]).await), err("consent_required"));
}

/// spec: oauth B21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deny_is_access_denied() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let reply = world.api.decide(&world.owner, &page, "deny", &["monitoring:read"]).await;
    assert_eq!(error(&reply), err("access_denied"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_ticked_counts_as_deny() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let reply = world.api.decide(&world.owner, &page, "allow", &[]).await;
    assert_eq!(error(&reply), err("access_denied"));
}

/// spec: oauth B23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_objects_are_refused_by_name() {
    let by_value = error(&answered(confidential(), &[("request", "eyJ")]).await);
    let by_reference = error(&answered(confidential(), &[("request_uri", "https://app.example/r")]).await);
    assert_eq!([by_value, by_reference], [err("request_not_supported"), err("request_uri_not_supported")]);
}

/// spec: oauth B28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_makes_no_code_also_where_consent_is_remembered() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    let path = crate::client::authorize_path(&client, &[]);
    let reply = world.api.ask("HEAD", &path).cookie(&world.owner).send().await;
    let client_of_db = world.db.client().await;
    let codes: i64 = client_of_db.query_one("SELECT count(*) FROM oauth_codes", &[]).await.unwrap().get(0);
    assert_eq!((reply.location(), codes), ("", 1));
}

/// spec: oauth B30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commas_and_blanks_separate_and_a_name_counts_once() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let scope = "alerts:write, ,monitoring:read  alerts:write,";
    let code = world.code_for(&client, &[("scope", scope)]).await;
    assert_eq!(world.redeem(&client, &code).await.json()["scope"], "monitoring:read alerts:write");
}

/// spec: oauth E24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_is_not_ticked_is_not_granted() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[("scope", "monitoring:read alerts:write")]).await;
    let reply = world.api.decide(&world.owner, &page, "allow", &["alerts:write"]).await;
    let code = parameter(reply.location(), "code").unwrap();
    assert_eq!(world.redeem(&client, &code).await.json()["scope"], "alerts:write");
}

/// spec: oauth X1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_resource_becomes_the_audience() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code_for(&client, &[("resource", PUBLIC_URL)]).await;
    let tokens = Tokens::of(&world.redeem(&client, &code).await);
    assert_eq!(world.api.introspect(&client, &tokens.access).await.json()["aud"], PUBLIC_URL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_resource_is_an_invalid_target() {
    assert_eq!(error(&answered(confidential(), &[("resource", "https://other.example")]).await), err("invalid_target"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_carries_nothing_but_what_belongs_to_it() {
    let reply = answered(confidential(), &[("scope", "bogus")]).await;
    let names: Vec<String> = parameters(reply.location()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["error", "error_description", "state", "iss"]);
}

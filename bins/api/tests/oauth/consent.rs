//! The consent page and the browser around it.

use serde_json::json;
use statuspulse_policy::Role;

use crate::{
    client::{Tokens, authorize_path, confidential, hidden, parameter, public, ticked, with},
    support::{PUBLIC_URL, Reply, World},
};

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

async fn post(world: &World, form: &[(&str, &str)], headers: &[(&'static str, &str)]) -> Reply {
    let mut ask = world.api.post("/oauth/authorize").cookie(&world.owner);
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    ask.form(form).send().await
}

async fn codes(world: &World) -> i64 {
    let client = world.db.client().await;
    client.query_one("SELECT count(*) FROM oauth_codes", &[]).await.unwrap().get(0)
}

/// spec: oauth D1, D2, D3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_can_not_be_framed_cached_or_scripted() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let header = |name| page.header(name);
    let foreign = page.text.contains("http://") || page.text.contains("https://") || page.text.contains("<script");
    assert_eq!(
        (
            header("content-security-policy"),
            header("x-frame-options"),
            header("referrer-policy"),
            header("cache-control"),
            foreign
        ),
        (
            "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'self' https://app.example",
            "DENY",
            "no-referrer",
            "no-store",
            false
        )
    );
}

/// spec: oauth D1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_and_error_pages_are_held_to_the_same() {
    let world = World::new().await;
    let pages = [world.api.get("/login").send().await, world.api.get("/oauth/authorize").send().await];
    let held = |page: &Reply| {
        page.header("content-security-policy").contains("frame-ancestors 'none'")
            && page.header("x-frame-options") == "DENY"
            && page.header("cache-control") == "no-store"
    };
    assert_eq!(pages.map(|page| held(&page)), [true, true]);
}

/// spec: oauth D4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_hidden_fields_nothing_is_decided() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let (handle, csrf) = (hidden(&page.text, "request"), hidden(&page.text, "csrf_token"));
    let allow = [("decision", "allow"), ("scope", "monitoring:read")];
    let mut seen = Vec::new();
    for fields in [
        vec![],
        vec![("request", handle.as_str())],
        vec![("csrf_token", csrf.as_str())],
        vec![("request", "x"), ("csrf_token", &csrf)],
        vec![("request", &handle), ("csrf_token", "x")],
    ] {
        let reply = post(&world, &[fields, allow.to_vec()].concat(), &[]).await;
        seen.push((reply.status, reply.location().to_owned()));
    }
    assert_eq!((seen, codes(&world).await), (vec![(403, String::new()); 5], 0));
}

/// spec: oauth D5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_decides_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let (handle, csrf) = (hidden(&page.text, "request"), hidden(&page.text, "csrf_token"));
    let form =
        [("request", handle.as_str()), ("csrf_token", &csrf), ("decision", "allow"), ("scope", "monitoring:read")];
    let cross = post(&world, &form, &[("sec-fetch-site", "cross-site")]).await.status;
    let foreign = post(&world, &form, &[("origin", "https://evil.example")]).await.status;
    let null = post(&world, &form, &[("origin", "null")]).await.status;
    assert_eq!(([cross, foreign, null], codes(&world).await), ([403, 403, 403], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_hides_its_origin_but_names_the_same_site_may_decide() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let (handle, csrf) = (hidden(&page.text, "request"), hidden(&page.text, "csrf_token"));
    let form =
        [("request", handle.as_str()), ("csrf_token", &csrf), ("decision", "allow"), ("scope", "monitoring:read")];
    let reply = post(&world, &form, &[("origin", "null"), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!((reply.status, codes(&world).await), (303, 1));
}

/// spec: oauth D7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_leads_to_its_own_app_alone() {
    let world = World::new().await;
    let one = world.app(confidential()).await;
    let two = world.app(with(confidential(), json!({"redirect_uris": ["https://two.example/cb"]}))).await;
    let _first = world.authorize(&one, &[]).await;
    let second = world.authorize(&two, &[]).await;
    let reply = world.api.allow(&world.owner, &second).await;
    assert!(reply.location().starts_with("https://two.example/cb?code="), "{}", reply.location());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_handle_is_refused() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.api.app.person(&world.org, "dev", Role::Admin).await;
    let other = world.api.sign_in(&other).await;
    let page = world.authorize(&client, &[]).await;
    let handle = hidden(&page.text, "request");
    let form = [
        ("request", handle.as_str()),
        ("csrf_token", &other.csrf),
        ("decision", "allow"),
        ("scope", "monitoring:read"),
    ];
    let reply = world.api.post("/oauth/authorize").cookie(&other).form(&form).send().await;
    assert_eq!((reply.status, codes(&world).await), (403, 0));
}

/// spec: oauth D9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_serves_for_five_minutes() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    world.api.app.advance(MINUTE * 5).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert_eq!((reply.status, reply.location(), codes(&world).await), (403, "", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_serves_once() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let first = world.api.allow(&world.owner, &page).await.status;
    let second = world.api.allow(&world.owner, &page).await.status;
    assert_eq!((first, second, codes(&world).await), (303, 409, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_answers_at_once_one_counts() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let (one, two) = tokio::join!(world.api.allow(&world.owner, &page), world.api.allow(&world.owner, &page));
    let mut answers = [one.status, two.status];
    answers.sort_unstable();
    assert_eq!((answers, codes(&world).await), ([303, 409], 1));
}

/// spec: oauth D10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_escaped_or_refused() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"name": "<img src=x onerror=alert(1)>"}))).await;
    let page = world.authorize(&client, &[]).await;
    let long = "x".repeat(10_000);
    let mut refused = Vec::new();
    for name in ["a\u{202e}b", long.as_str(), "a\nb", ""] {
        refused
            .push(world.owner("POST", "/v1/orgs/acme/apps", &with(confidential(), json!({"name": name}))).await.status);
    }
    assert_eq!((page.text.contains("<img"), refused), (false, vec![422; 4]));
}

/// spec: oauth D11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_who_asks_for_what_and_where_it_leads() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[("scope", "monitoring:read alerts:write")]).await;
    let told = [
        "Deploy Bot",
        "The acme company",
        "monitoring:read",
        "alerts:write",
        "app.example",
        "any time",
        "authorized-apps",
    ];
    let missing: Vec<&str> = told.into_iter().filter(|text| !page.text.contains(text)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "{}", page.text);
}

/// spec: oauth D12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_was_added_to_the_form_is_ignored() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let reply = world.api.decide(&world.owner, &page, "allow", &["monitoring:read", "alerts:write", "keys:read"]).await;
    let code = parameter(reply.location(), "code").unwrap();
    assert_eq!(world.redeem(&client, &code).await.json()["scope"], "monitoring:read");
}

/// spec: oauth D13, D15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_remembered_for_the_same_scopes_and_not_for_more() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    let same = world.authorize(&client, &[]).await;
    let more = world.authorize(&client, &[("scope", "monitoring:read alerts:write")]).await;
    assert_eq!((same.status, parameter(same.location(), "code").is_some(), more.status), (303, true, 200));
}

/// spec: oauth D14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_always_asks() {
    let world = World::new().await;
    let client = world.app(public()).await;
    world.tokens(&client).await;
    assert_eq!(world.authorize(&client, &[]).await.status, 200);
}

/// spec: oauth D16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_is_asked_again_also_beside_a_code_that_nobody_redeemed() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    let unredeemed = world.authorize(&client, &[]).await.status;
    let grants = world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json();
    let listed = grants["items"].as_array().unwrap().len();
    let id = grants["items"][0]["id"].as_str().unwrap().to_owned();
    let ended = world.api.ask("DELETE", &format!("/v1/me/grants/{id}")).browser(&world.owner).send().await.status;
    let asked = world.authorize(&client, &[]).await.status;
    assert_eq!((unredeemed, listed, ended, asked), (303, 1, 204, 200));
}

/// spec: oauth A12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_sign_in_the_same_request_is_judged() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[]);
    let away = world.api.get(&path).send().await;
    let login = world.api.get(away.location()).send().await;
    let reply = sign_in(&world, &login, &world.org.owner.password).await;
    assert_eq!((away.status, reply.status, reply.location()), (303, 303, path.as_str()));
}

async fn sign_in(world: &World, login: &Reply, password: &str) -> Reply {
    let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
    let (handle, csrf) = (hidden(&login.text, "request"), hidden(&login.text, "csrf_token"));
    let email = world.org.owner.email.clone();
    let form = [("request", handle.as_str()), ("csrf_token", &csrf), ("email", &email), ("password", password)];
    world.api.post("/login").header("cookie", cookie).header("origin", PUBLIC_URL).form(&form).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_in_page_says_who_asks() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let away = world.api.get(&authorize_path(&client, &[])).send().await;
    let login = world.api.get(away.location()).send().await;
    assert!(login.text.contains("Deploy Bot") && login.text.contains("name=\"password\""), "{}", login.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_keeps_the_request_and_says_so() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let away = world.api.get(&authorize_path(&client, &[])).send().await;
    let login = world.api.get(away.location()).send().await;
    let wrong = sign_in(&world, &login, "wrong").await;
    let right = {
        let mut page = wrong;
        page.headers = login.headers.clone();
        assert_eq!(page.status, 401, "{}", page.text);
        sign_in(&world, &page, &world.org.owner.password).await
    };
    assert_eq!((right.status, right.location().starts_with("/oauth/authorize?")), (303, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_signed_in_by_another_site() {
    let world = World::new().await;
    let form = [("email", world.org.owner.email.as_str()), ("password", &world.org.owner.password)];
    let bare = world.api.post("/login").form(&form).send().await;
    assert_eq!((bare.status, bare.header("set-cookie")), (403, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_from_outside_is_followed_after_the_sign_in() {
    let world = World::new().await;
    let path = "/login?request=https://evil.example&next=https://evil.example&page=//evil.example";
    let login = world.api.get(path).send().await;
    let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
    let csrf = hidden(&login.text, "csrf_token");
    let form = [
        ("request", "https://evil.example"),
        ("next", "https://evil.example"),
        ("page", "//evil.example"),
        ("csrf_token", csrf.as_str()),
        ("email", &world.org.owner.email),
        ("password", &world.org.owner.password),
    ];
    let reply = world.api.post("/login").header("cookie", cookie).form(&form).send().await;
    assert_eq!((reply.status, reply.location()), (303, "/"));
}

/// spec: oauth D17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_cookie_is_for_this_browser_alone_and_new_after_each_sign_in() {
    let world = World::new().await;
    let body = json!({"email": world.org.owner.email, "password": world.org.owner.password});
    let reply = world.api.post("/v1/session").json(&body).send().await;
    let cookie = reply.header("set-cookie").to_owned();
    let held = ["HttpOnly", "SameSite=Lax", "Path=/"].iter().all(|part| cookie.contains(part));
    assert!(held && !cookie.contains(&world.owner.cookie), "{cookie}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_gives_what_it_may_give() {
    let world = World::new().await;
    let app = with(confidential(), json!({"scopes": ["monitoring:read", "keys:read"], "default_scopes": null}));
    let client = world.app(app).await;
    let developer = world.api.app.person(&world.org, "dev", Role::Developer).await;
    let developer = world.api.sign_in(&developer).await;
    let page = world.api.authorize(&developer, &client, &[("scope", "monitoring:read keys:read")]).await;
    let offered = ticked(&page.text);
    let reply = world.api.decide(&developer, &page, "allow", &["monitoring:read", "keys:read"]).await;
    let code = parameter(reply.location(), "code").unwrap();
    let granted = world.redeem(&client, &code).await.json()["scope"].clone();
    assert_eq!((offered, granted), (vec!["monitoring:read".to_owned()], json!("monitoring:read")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_gives_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let auditor = world.api.app.person(&world.org, "aud", Role::Auditor).await;
    let auditor = world.api.sign_in(&auditor).await;
    let page = world.api.authorize(&auditor, &client, &[]).await;
    let reply = world.api.decide(&auditor, &page, "allow", &["monitoring:read"]).await;
    assert_eq!(parameter(reply.location(), "error"), Some("access_denied".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decision_is_one_event_with_the_id_of_its_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let allowed = world.api.allow(&world.owner, &page).await;
    let refused = world.authorize(&client, &[("scope", "bogus")]).await;
    let shown = world.authorize(&client, &[("redirect_uri", "https://evil.example")]).await;
    let events = world.events("oauth.authorize").await;
    let seen: Vec<_> = events.iter().map(|e| (e["request_id"].as_str().unwrap(), e["reason"].as_str())).collect();
    let expected = [
        (allowed.request_id(), None),
        (refused.request_id(), Some("scope_unknown")),
        (shown.request_id(), Some("redirect_uri_mismatch")),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_grant_of_the_same_person_is_a_chain_of_its_own() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (one, two): (Tokens, Tokens) = (world.tokens(&client).await, world.tokens(&client).await);
    world.api.revoke(&client, &one.refresh).await;
    assert_eq!(
        (world.is_active(&client, &one.access).await, world.is_active(&client, &two.access).await),
        (false, true)
    );
}

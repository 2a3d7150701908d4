//! Sessions: cookie, forgery, end (contract §4, §5).

use serde_json::{Value, json};
use statuspulse_auth::Who;
use statuspulse_testkit::{TestApp, TestDb};

use crate::{
    help::{DAY, HOUR, KEYS, plain},
    support::{Api, Browser, PUBLIC_URL, Reply, World},
};

const SESSION: &str = "/v1/session";
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

async fn credentials(api: &Api) -> Value {
    let owner = api.app.organization("acme").await.owner;
    json!({"email": owner.email, "password": owner.password})
}

/// The attributes of the cookie that a sign-in sets at a public URL, without its value and its date.
async fn cookie_at(url: &str) -> Vec<String> {
    let db = TestDb::new().await;
    let api = Api::published(TestApp::start(&db).await, url).await;
    let reply = api.post(SESSION).json(&credentials(&api).await).send().await;
    let mut parts: Vec<String> = reply.header("set-cookie").split("; ").map(str::to_owned).collect();
    parts[0] = parts[0].split('=').next().unwrap().to_owned();
    parts.retain(|part| !part.starts_with("Expires"));
    parts.sort();
    parts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_cookie_is_bound_to_the_host_and_secure() {
    let expected = ["HttpOnly", "Path=/", "SameSite=Lax", "Secure", "__Host-statuspulse_session"];
    assert_eq!(cookie_at("https://auth.test").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tls_the_cookie_has_a_plain_name_and_can_be_sent() {
    assert_eq!(cookie_at("http://localhost:8080").await, ["HttpOnly", "Path=/", "SameSite=Lax", "statuspulse_session"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plain_cookie_is_no_session_over_tls() {
    let db = TestDb::new().await;
    let api = Api::published(TestApp::start(&db).await, "https://auth.test").await;
    let org = api.app.organization("acme").await;
    let browser = api.sign_in(&org.owner).await;
    let bound = format!("__Host-statuspulse_session={}", browser.cookie);
    let statuses = [
        api.get(SESSION).cookie(&browser).send().await.status,
        api.get(SESSION).header("cookie", bound).send().await.status,
    ];
    assert_eq!(statuses, [401, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_says_who_is_signed_in_and_where() {
    let world = World::new().await;
    let mut session = world.read(SESSION).await.json();
    session["user"]["name"] = Value::Null;
    let owner = &world.org.owner;
    let expected = json!({"user": {"id": owner.id.to_string(), "email": owner.email, "name": null},
        "organizations": [{"slug": "acme", "name": "The acme company", "role": "owner"}], "csrf_token": world.owner.csrf});
    assert_eq!(session, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sign_in_is_a_session_of_its_own() {
    let world = World::new().await;
    let again = world.api.sign_in(&world.org.owner).await;
    assert_ne!((&again.cookie, &again.csrf), (&world.owner.cookie, &world.owner.csrf));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_takes_over_no_identifier_that_the_browser_brought() {
    let world = World::new().await;
    let owner = &world.org.owner;
    let body = json!({"email": owner.email, "password": owner.password});
    let reply = world.api.post(SESSION).header("cookie", "statuspulse_session=chosen").json(&body).send().await;
    assert!(!reply.header("set-cookie").contains("chosen"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_sessions_holds_no_cookie() {
    let world = World::new().await;
    let dump = world.dump().await;
    assert_eq!([dump.contains(&world.owner.cookie), dump.contains(&world.owner.csrf)], [false; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_ends_the_session_and_takes_the_cookie_away() {
    let world = World::new().await;
    let reply = world.api.ask("DELETE", SESSION).browser(&world.owner).send().await;
    let cookie = reply.header("set-cookie").to_owned();
    let gone = cookie.starts_with("statuspulse_session=;") && cookie.contains("Max-Age=0") && cookie.contains("Path=/");
    let after = world.read(SESSION).await;
    assert_eq!((reply.status, gone, after.outcome()), (204, true, (401, "session_ended".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_ends_the_session_on_every_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let before = second.get(SESSION).cookie(&world.owner).send().await.status;
    world.api.ask("DELETE", SESSION).browser(&world.owner).send().await;
    assert_eq!([before, second.get(SESSION).cookie(&world.owner).send().await.status], [200, 401]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_leaves_the_other_sessions_of_the_person() {
    let world = World::new().await;
    let other = world.api.sign_in(&world.org.owner).await;
    world.api.ask("DELETE", SESSION).browser(&world.owner).send().await;
    assert_eq!(world.api.get(SESSION).cookie(&other).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_is_in_the_trail() {
    let world = World::new().await;
    world.api.ask("DELETE", SESSION).browser(&world.owner).send().await;
    let events = world.events("session.logout").await;
    let told: Vec<Value> = events.iter().map(|event| json!([event["actor_id"], event["outcome"]])).collect();
    assert_eq!(told, [json!([world.org.owner.id.to_string(), "allowed"])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_after_twelve_hours_without_a_request() {
    let world = World::new().await;
    let other = world.api.sign_in(&world.org.owner).await;
    world.api.app.advance(HOUR * 12 - SECOND).await;
    let before = world.read(SESSION).await.status;
    world.api.app.advance(SECOND).await;
    let idle = world.api.get(SESSION).cookie(&other).send().await;
    assert_eq!((before, idle.outcome(), world.read(SESSION).await.status), (200, (401, "session_ended".into()), 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_after_seven_days_however_busy() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for _ in 0..15 {
        statuses.push(world.read(SESSION).await.status);
        world.api.app.advance(HOUR * 11).await;
    }
    world.read(SESSION).await;
    world.api.app.advance(HOUR * 3 - SECOND).await;
    statuses.push(world.read(SESSION).await.status);
    world.api.app.advance(SECOND).await;
    assert_eq!((statuses, world.read(SESSION).await.outcome()), (vec![200; 16], (401, "session_ended".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_a_closed_account_ends() {
    let world = World::new().await;
    world.sql(&format!("UPDATE users SET disabled_at = created_at WHERE id = '{}'", world.org.owner.id)).await;
    assert_eq!(world.read(SESSION).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_was_edited_is_no_session() {
    let world = World::new().await;
    let other = if world.owner.cookie.starts_with('A') { "B" } else { "A" };
    let mut statuses = Vec::new();
    for cookie in [format!("{other}{}", &world.owner.cookie[1..]), String::new(), "x".repeat(5_000)] {
        let browser = Browser { cookie, csrf: String::new() };
        statuses.push(world.api.get(SESSION).cookie(&browser).send().await.status);
    }
    assert_eq!(statuses, [401; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_no_person_at_the_routes_of_a_session() {
    let world = World::new().await;
    let (_, token) = world.created(&json!({})).await;
    let (nobody, nil) = (token.replace("sp_live_", "sp_test_"), "00000000-0000-7000-8000-000000000000");
    let mut outcomes = Vec::new();
    for token in [token, nobody] {
        for (method, path) in [
            ("GET", SESSION),
            ("DELETE", SESSION),
            ("GET", "/v1/me/grants"),
            ("DELETE", &format!("/v1/me/grants/{nil}")),
        ] {
            outcomes.push(world.api.ask(method, path).key(&token).send().await.outcome());
        }
    }
    let expected = [(403, "credential_not_allowed"), (401, "malformed")];
    let expected = expected.map(|(status, code)| vec![(status, code.to_owned()); 4]).concat();
    assert_eq!(outcomes, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_signed_in_is_told_that_a_credential_is_missing() {
    let world = World::new().await;
    assert_eq!(world.api.get(KEYS).send().await.outcome(), (401, "missing".into()));
}

/// As the owner's browser, with other headers against forgery than it would send: the request to create a key.
async fn forged(world: &World, headers: &[(&'static str, &str)]) -> Reply {
    let mut ask = world.api.post(KEYS).cookie(&world.owner);
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    ask.json(&plain()).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsafe_method_needs_the_sessions_token() {
    let world = World::new().await;
    let other = world.api.sign_in(&world.org.owner).await;
    let csrf = &world.owner.csrf;
    let mut outcomes = Vec::new();
    for token in [None, Some(""), Some("x"), Some(&csrf[1..]), Some(&other.csrf), Some(&csrf.to_lowercase())] {
        let mut headers = vec![("origin", PUBLIC_URL)];
        headers.extend(token.map(|token| ("x-csrf-token", token)));
        outcomes.push(forged(&world, &headers).await.outcome());
    }
    assert_eq!(outcomes, vec![(403, "csrf_token_invalid".to_owned()); 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsafe_method_needs_our_own_origin() {
    let world = World::new().await;
    let csrf = ("x-csrf-token", world.owner.csrf.as_str());
    let mut outcomes = vec![forged(&world, &[csrf]).await.outcome()];
    let foreign = [
        "null",
        "",
        "https://auth.test",
        "http://auth.test:8080",
        "http://auth.test.evil.example",
        "http://evil.example",
        "http://auth.test/",
        "HTTP://AUTH.TEST",
    ];
    for origin in foreign {
        outcomes.push(forged(&world, &[csrf, ("origin", origin)]).await.outcome());
    }
    outcomes.push(forged(&world, &[csrf, ("origin", PUBLIC_URL), ("origin", "http://evil.example")]).await.outcome());
    assert_eq!(outcomes, vec![(403, "origin_not_allowed".to_owned()); 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_request_changes_nothing() {
    let world = World::new().await;
    let before = world.state().await;
    forged(&world, &[("origin", PUBLIC_URL)]).await;
    forged(&world, &[("x-csrf-token", &world.owner.csrf), ("origin", "http://evil.example")]).await;
    assert_eq!(world.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_can_not_be_forged() {
    let world = World::new().await;
    let reply = world.api.ask("DELETE", SESSION).cookie(&world.owner).header("origin", PUBLIC_URL).send().await;
    assert_eq!((reply.status, world.read(SESSION).await.status), (403, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unsafe_route_of_a_session_is_guarded_against_forgery() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let mut open = Vec::new();
    for route in statuspulse_auth::ROUTES {
        let guarded = matches!(
            route.who,
            Who::Session | Who::Member | Who::Writer | Who::Admin | Who::Owner | Who::MemberOrKey(_)
        );
        if guarded && route.method != "GET" {
            let path = route.path.replace("{org}", "acme").replace("{id}", &id);
            let reply = world.api.ask(route.method, &path).cookie(&world.owner).json(&json!({})).send().await;
            if reply.status != 403 {
                open.push((route.method, route.path, reply.status));
            }
        }
    }
    assert_eq!(open, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_safe_method_needs_neither_token_nor_origin() {
    let world = World::new().await;
    let foreign = world.api.get(KEYS).cookie(&world.owner).header("origin", "http://evil.example").send().await;
    assert_eq!([world.read(KEYS).await.status, foreign.status], [200; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_lets_another_origin_read_it() {
    let world = World::new().await;
    let reply = world.api.get(KEYS).cookie(&world.owner).header("origin", "http://evil.example").send().await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_cookie_is_that_of_the_session() {
    let world = World::new().await;
    let owner = &world.org.owner;
    let body = json!({"email": owner.email, "password": owner.password});
    let reply = world.api.post(SESSION).json(&body).send().await;
    let end = (world.now() + DAY * 7).format("Expires=%a, %d %b %Y %H:%M:%S GMT").to_string();
    assert!(reply.header("set-cookie").contains(&end), "{} lacks {end}", reply.header("set-cookie"));
}

//! Introspection (RFC 7662).

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{
    client::{confidential, public, resource_server, with},
    support::{Api, PUBLIC_URL, World},
};

const INACTIVE: &str = r#"{"active":false}"#;

/// spec: oauth I1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_server_is_told_what_a_live_token_may_do() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let server = world.app(resource_server()).await;
    let tokens = world.tokens(&client).await;
    let reply = world.api.introspect(&server, &tokens.access).await;
    let json = reply.json();
    let lives = json["exp"].as_i64().unwrap() - json["iat"].as_i64().unwrap();
    assert_eq!(
        (
            &json["active"],
            &json["scope"],
            &json["client_id"],
            &json["sub"],
            &json["iss"],
            &json["aud"],
            &json["token_type"],
            lives,
            reply.header("cache-control")
        ),
        (
            &json!(true),
            &json!("monitoring:read"),
            &json!(client.id),
            &json!(world.org.owner.id.to_string()),
            &json!(PUBLIC_URL),
            &json!(PUBLIC_URL),
            &json!("Bearer"),
            7_200,
            "no-store"
        )
    );
}

/// spec: oauth I1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_a_key_with_the_right_to_verify() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let form = [("token", tokens.access.as_str())];
    let reply = world.api.post("/oauth/introspect").key(&world.gateway).form(&form).send().await;
    assert_eq!(reply.json()["active"], true, "{}", reply.text);
}

/// spec: oauth I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_not_live_looks_the_same() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let server = world.app(resource_server()).await;
    let revoked = world.tokens(&client).await;
    world.api.revoke(&client, &revoked.access).await;
    let tokens = world.tokens(&client).await;
    let code = world.code_for(&client, &[("scope", "alerts:write")]).await;
    let mut seen = Vec::new();
    for token in [revoked.access.as_str(), "garbage", &tokens.refresh, &code, &client.secret, &world.gateway] {
        seen.push(world.api.introspect(&server, token).await.text);
    }
    seen.push(world.api.post("/oauth/introspect").client(&server).raw_form("token=%00").send().await.text);
    world.api.app.advance(std::time::Duration::from_secs(7_200)).await;
    seen.push(world.api.introspect(&server, &tokens.access).await.text);
    assert_eq!(seen, vec![INACTIVE; 8]);
}

/// spec: oauth I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_must_prove_it() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let public = world.app(public()).await;
    let tokens = world.tokens(&client).await;
    let (_, weak) = world.key(&["checks:read"]).await;
    let ask = || world.api.post("/oauth/introspect");
    let form = [("token", tokens.access.as_str())];
    let of_public = [("token", tokens.access.as_str()), ("client_id", &public.id)];
    let wrong = crate::client::basic(&client.id, "wrong");
    let replies = [
        ask().form(&form).send().await,
        ask().header("authorization", wrong).form(&form).send().await,
        ask().key(&weak).form(&form).send().await,
        ask().form(&of_public).send().await,
    ];
    let seen =
        replies.map(|reply| (reply.status, reply.header("www-authenticate").is_empty(), reply.text.contains("active")));
    assert_eq!(seen, [(401, false, false); 4]);
}

/// spec: oauth I5, L8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_another_resource_is_nobodys_here() {
    let (db, api) = with_audience("https://metrics.example").await;
    let world = World::around(db, api).await;
    let client = world.app(confidential()).await;
    let server = world.app(resource_server()).await;
    let code = world.code_for(&client, &[("resource", "https://metrics.example")]).await;
    let access = world.redeem(&client, &code).await.json()["access_token"].as_str().unwrap().to_owned();
    let other = with(resource_server(), json!({"audiences": ["https://metrics.example"]}));
    let other = world.app(other).await;
    let told = world.api.introspect(&server, &access).await.text;
    let theirs = world.api.introspect(&other, &access).await.json()["active"].clone();
    let judged = world.judged(&access, "GET", "/api/v1/monitoring/x").await;
    assert_eq!((told.as_str(), theirs, judged.as_str()), (INACTIVE, json!(true), "unknown"));
}

pub(crate) async fn with_audience(audience: &str) -> (statuspulse_testkit::TestDb, Api) {
    use statuspulse_policy::Catalog;
    let text = Catalog::BUILTIN_TOML.replace("audiences = []", &format!("audiences = [\"{audience}\"]"));
    let db = statuspulse_testkit::TestDb::new().await;
    let app = statuspulse_testkit::TestApp::builder(&db).catalog(Catalog::from_toml(&text).unwrap()).start().await;
    (db, Api::published(app, PUBLIC_URL).await)
}

/// spec: oauth I9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_reaches_the_other_instances() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    eventually("the other instance knows the app", async || {
        second.introspect(&client, &tokens.access).await.json()["active"] == true
    })
    .await;
    world.api.revoke(&client, &tokens.refresh).await;
    eventually("the token is dead there too", async || {
        second.introspect(&client, &tokens.access).await.text == INACTIVE
    })
    .await;
}

/// spec: oauth I11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_its_addresses_a_server_is_told_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let server = world.app(with(resource_server(), json!({"allowed_cidrs": ["198.51.100.0/24"]}))).await;
    let tokens = world.tokens(&client).await;
    let outside = world.api.introspect(&server, &tokens.access).await.text;
    let form = [("token", tokens.access.as_str())];
    let inside = world.api.post("/oauth/introspect").client(&server).peer("198.51.100.7").form(&form).send().await;
    assert_eq!((outside.as_str(), &inside.json()["active"]), (INACTIVE, &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_the_scope_sees_its_own_tokens_alone() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.app(with(confidential(), json!({"name": "Other"}))).await;
    let tokens = world.tokens(&client).await;
    let own = world.api.introspect(&client, &tokens.refresh).await.json()["active"].clone();
    let foreign = world.api.introspect(&other, &tokens.access).await.text;
    assert_eq!((own, foreign.as_str()), (json!(true), INACTIVE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_organization_sees_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let other = world.api.app.organization("other").await;
    let theirs = world.api.sign_in(&other.owner).await;
    let made = world.api.post("/v1/orgs/other/apps").browser(&theirs).json(&resource_server()).send().await.json();
    let basic = crate::client::basic(made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let form = [("token", tokens.access.as_str())];
    let told = world.api.post("/oauth/introspect").header("authorization", basic).form(&form).send().await.text;
    assert_eq!(told, INACTIVE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_one_event_with_the_id_of_its_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let live = world.api.introspect(&client, &tokens.access).await;
    let dead = world.api.introspect(&client, "garbage").await;
    let events = world.events("oauth.introspect").await;
    let seen: Vec<_> = events.iter().map(|e| (e["request_id"].as_str().unwrap(), &e["detail"]["active"])).collect();
    assert_eq!(seen, [(live.request_id(), &json!(true)), (dead.request_id(), &json!(false))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrowing_the_app_narrows_its_tokens() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code_for(&client, &[("scope", "monitoring:read alerts:write")]).await;
    let access = world.redeem(&client, &code).await.json()["access_token"].as_str().unwrap().to_owned();
    world.change_app(&client, &json!({"scopes": ["monitoring:read"]})).await;
    let told = world.api.introspect(&client, &access).await.json()["scope"].clone();
    let judged = world.judged(&access, "POST", "/api/v1/alerts/x").await;
    assert_eq!((told, judged.as_str()), (json!("monitoring:read"), "insufficient_scope"));
}

/// The events of a request, with all that one of a refusal must say.
async fn events_of(world: &World, reply: &crate::support::Reply) -> Vec<(String, String, i64)> {
    let mut events = Vec::new();
    for action in ["api.call", "oauth.introspect"] {
        for event in world.events(action).await {
            if event["request_id"].as_str() == Some(reply.request_id()) {
                let reason = event["reason"].as_str().unwrap_or_default().to_owned();
                events.push((action.to_owned(), reason, event["status"].as_i64().unwrap()));
            }
        }
    }
    events
}

/// spec: oauth §6.9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_is_one_question_in_the_trail_with_the_status_it_was_answered_with() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let (_, weak) = world.key(&["checks:read"]).await;
    let elsewhere = statuspulse_app::keys::CreateKey {
        allowed_cidrs: Some(vec!["198.51.100.0/24".to_owned()]),
        ..statuspulse_testkit::key_of("production", &["credentials:verify"])
    };
    let (_, elsewhere) = world.key_like(elsewhere).await;
    let form = [("token", tokens.access.as_str())];
    let mut seen = Vec::new();
    for bearer in [weak.as_str(), "garbage", &tokens.access, &elsewhere] {
        let reply = world.api.post("/oauth/introspect").key(bearer).form(&form).send().await;
        seen.push((reply.status, events_of(&world, &reply).await));
    }
    let event = |reason: &str, status: u16| {
        (status, vec![("oauth.introspect".to_owned(), reason.to_owned(), i64::from(status))])
    };
    assert_eq!(
        seen,
        [
            event("insufficient_scope", 401),
            event("malformed", 401),
            event("malformed", 401),
            event("ip_not_allowed", 200)
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_can_not_be_judged_is_asked_to_come_again() {
    let world = World::new().await;
    let form = [("token", "x")];
    world.api.app.clock().advance(std::time::Duration::from_secs(600));
    let reply = world.api.post("/oauth/introspect").key(&world.gateway).form(&form).send().await;
    let told = (reply.status, reply.json()["error"].clone(), reply.header("retry-after").to_owned());
    assert_eq!(told, (503, json!("temporarily_unavailable"), "1".to_owned()));
}

/// spec: oauth §4.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_beside_a_key_is_two_ways_at_once() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for bearer in [world.gateway.as_str(), "garbage"] {
        for beside in [
            ("client_id", client.id.as_str()),
            ("client_secret", client.secret.as_str()),
            ("client_assertion", "x"),
            ("client_assertion_type", "x"),
        ] {
            let form = [("token", "x"), beside];
            let reply = world.api.post("/oauth/introspect").key(bearer).form(&form).send().await;
            seen.push((reply.refused(), events_of(&world, &reply).await));
        }
    }
    let event = ("oauth.introspect".to_owned(), "client_authenticated_twice".to_owned(), 400);
    assert_eq!(seen, vec![((400, "invalid_request".to_owned()), vec![event]); 8]);
}

/// spec: oauth §6.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_without_a_token_is_malformed_whoever_asks() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (_, weak) = world.key(&["checks:read"]).await;
    let ask = || world.api.post("/oauth/introspect").form(&[("token_type_hint", "access_token")]);
    let wrong = crate::client::basic(&client.id, "wrong");
    let replies = [
        ask().send().await,
        ask().client(&client).send().await,
        ask().header("authorization", wrong).send().await,
        ask().key(&world.gateway).send().await,
        ask().key(&weak).send().await,
        ask().key("garbage").send().await,
    ];
    assert_eq!(replies.map(|reply| reply.refused()), [(); 6].map(|()| (400, "invalid_request".to_owned())));
}

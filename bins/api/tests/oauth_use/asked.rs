//! What introspection and revocation share: their form, who may ask, and what they cost.

use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, basic, confidential, encoded, public, resource_server, with},
    support::{Api, PUBLIC_URL, Reply, World},
};

const BOTH: [&str; 2] = ["/oauth/revoke", "/oauth/introspect"];
const INACTIVE: &str = r#"{"active":false}"#;

/// A body as it comes, with the client's Basic header.
async fn raw(world: &World, path: &str, client: &Client, body: impl Into<actix_web::web::Bytes>) -> Reply {
    world.api.post(path).client(client).raw_form(body).send().await
}

fn refusal(code: &str) -> (u16, String) {
    (if code == "invalid_client" { 401 } else { 400 }, code.to_owned())
}

/// spec: oauth R3, I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_token_is_made_of_nothing_breaks() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let kinds = ["sp_at_", "sp_rt_", "sp_ac_", "sp_cs_", "sp_live_", "eyJ"];
    let mut tokens: Vec<String> = kinds.iter().map(|kind| format!("{kind}{}", "A".repeat(64))).collect();
    tokens.extend(
        ["%00", "%ff", "%0d%0aX:%20y", "'%20OR%201=1--", "eyJ.eyJ.eyJ", "eyJhbGciOiJFUzI1NiJ9..", "%"]
            .map(String::from),
    );
    tokens.push("x".repeat(10_000));
    let mut wrong = Vec::new();
    for token in &tokens {
        let body = format!("token={token}");
        let revoked = raw(&world, "/oauth/revoke", &client, body.clone()).await;
        let told = raw(&world, "/oauth/introspect", &client, body).await;
        if (revoked.status, revoked.text.as_str(), told.status, told.text.as_str()) != (200, "{}", 200, INACTIVE) {
            wrong.push((token, revoked.status, revoked.text, told.status, told.text));
        }
    }
    assert_eq!(wrong, []);
}

/// spec: oauth §6.4, §6.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_of_forms_are_those_of_the_token_endpoint() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let mut told = Vec::new();
    for path in BOTH {
        let repeated_hint = format!("token={token}&token_type_hint=access_token&token_type_hint=access_token");
        for body in [String::new(), "token=".into(), format!("token={token}&token={token}"), repeated_hint] {
            told.push(raw(&world, path, &client, body).await.refused());
        }
        let json = json!({"token": token});
        told.push(world.api.post(path).client(&client).json(&json).send().await.refused());
        let in_query = format!("{path}?{}", encoded(&[("token", &token)]));
        told.push(raw(&world, &in_query, &client, "").await.refused());
    }
    let kept = world.is_active(&client, &token).await;
    assert_eq!((told, kept), (vec![refusal("invalid_request"); 12], true));
}

/// spec: oauth §6.4, §6.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_posted_to() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let mut told = Vec::new();
    for path in BOTH {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let ask = world.api.ask(method, &format!("{path}?{}", encoded(&[("token", &token)])));
            let reply = ask.client(&client).send().await;
            told.push((reply.status, reply.header("allow").contains("POST")));
        }
    }
    assert_eq!((told, world.is_active(&client, &token).await), (vec![(405, true); 8], true));
}

/// spec: oauth §6.4, §6.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_16_kib_is_too_large() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for path in BOTH {
        told.push(raw(&world, path, &client, format!("token={}", "x".repeat(16_384))).await.status);
    }
    assert_eq!(told, [413; 2]);
}

/// spec: oauth R7, I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wrong_way_to_say_who_one_is_opens_anything() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.app(with(confidential(), json!({"name": "Other"}))).await;
    let token = world.tokens(&client).await.access;
    let body = |more: &[(&str, &str)]| encoded(&[&[("token", token.as_str())], more].concat());
    let id = client.id.as_str();
    let mut told = Vec::new();
    for path in BOTH {
        let plain = async |more: &[(&str, &str)]| world.api.post(path).raw_form(body(more)).send().await.refused();
        let with_header = async |line: &str, more: &[(&str, &str)]| {
            world.api.post(path).header("authorization", line).raw_form(body(more)).send().await.refused()
        };
        told.push([
            plain(&[]).await,
            plain(&[("client_id", id)]).await,
            plain(&[("client_id", id), ("client_secret", &other.secret)]).await,
            plain(&[("client_id", "sp_app_AAAAAAAAAAAAAAAAAAAAAA"), ("client_secret", &client.secret)]).await,
            with_header(&basic(id, ""), &[]).await,
            with_header(&basic(id, &format!("{} ", client.secret)), &[]).await,
            with_header(&basic(id, &client.secret[..54]), &[]).await,
        ]);
    }
    let refused = [(); 7].map(|()| refusal("invalid_client"));
    assert_eq!((told, world.is_active(&client, &token).await), (vec![refused.clone(), refused], true));
}

/// spec: oauth R7, I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_may_stand_in_the_body() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let form = [("token", token.as_str()), ("client_id", &client.id), ("client_secret", &client.secret)];
    let active = world.api.post("/oauth/introspect").form(&form).send().await.json()["active"].clone();
    let revoked = world.api.post("/oauth/revoke").form(&form).send().await.status;
    assert_eq!((active, revoked, world.is_active(&client, &token).await), (json!(true), 200, false));
}

/// spec: oauth R7, I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_theirs_may_be_kept() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for path in BOTH {
        let good = raw(&world, path, &client, "token=x").await;
        let bad = world.api.post(path).raw_form("token=x").send().await;
        for reply in [good, bad] {
            let headers = ["cache-control", "pragma", "content-type", "x-content-type-options"];
            told.push((reply.status, headers.map(|name| reply.header(name).to_owned())));
        }
    }
    let headers = ["no-store", "no-cache", "application/json", "nosniff"].map(str::to_owned);
    assert_eq!(told, [200, 401, 200, 401].map(|status| (status, headers.clone())));
}

/// spec: oauth R7, I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_secrets_here_is_stopped_here_too() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let mut told = Vec::new();
    for (path, peer) in BOTH.into_iter().zip(["198.51.100.1", "198.51.100.2"]) {
        let ask = async |secret: &str| {
            let header = basic(&client.id, secret);
            let ask = world.api.post(path).peer(peer).header("authorization", header);
            ask.form(&[("token", &token)]).send().await
        };
        for _ in 0..20 {
            ask("wrong").await;
        }
        let right = ask(&client.secret).await;
        told.push((right.status, right.header("retry-after").is_empty()));
    }
    assert_eq!((told, world.is_active(&client, &token).await), (vec![(429, false); 2], true));
}

/// spec: oauth I11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_its_addresses_an_app_ends_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    world.change_app(&client, &json!({"allowed_cidrs": ["198.51.100.0/24"]})).await;
    let form = [("token", token.as_str())];
    let outside = world.api.post("/oauth/revoke").client(&client).form(&form).send().await;
    let inside = async |path: &str| world.api.post(path).peer("198.51.100.7").client(&client).form(&form).send().await;
    let kept = inside("/oauth/introspect").await.json()["active"].clone();
    let ended = inside("/oauth/revoke").await.status;
    let names_address = outside.text.contains("203.0.113") || outside.text.contains("198.51.100");
    assert_eq!((outside.refused(), names_address, kept, ended), (refusal("invalid_client"), false, json!(true), 200));
}

/// spec: oauth I11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_asks_from_outside_of_its_list_is_told_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let wanted = statuspulse_app::keys::CreateKey {
        allowed_cidrs: Some(vec!["198.51.100.0/24".to_owned()]),
        ..statuspulse_testkit::key_of("production", &["credentials:verify"])
    };
    let (_, key) = world.key_like(wanted).await;
    let ask = async |peer: &str| {
        let ask = world.api.post("/oauth/introspect").peer(peer).key(&key);
        ask.form(&[("token", &token)]).send().await
    };
    let (outside, inside) = (ask("203.0.113.7").await, ask("198.51.100.7").await);
    assert_eq!((outside.status, outside.text.as_str(), &inside.json()["active"]), (200, INACTIVE, &json!(true)));
}

/// spec: oauth I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_is_no_way_to_ask() {
    let world = World::new().await;
    let server = world.app(with(resource_server(), json!({"default_scopes": ["credentials:verify"]}))).await;
    let form = [("grant_type", "client_credentials")];
    let own = world.api.post("/oauth/token").client(&server).form(&form).send().await.json();
    let own = own["access_token"].as_str().unwrap();
    let reply = world.api.post("/oauth/introspect").key(own).form(&[("token", own)]).send().await;
    assert_eq!((reply.status, reply.text.contains("active")), (401, false));
}

/// spec: oauth I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_or_deleted_server_is_told_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let (suspended, deleted) = (world.app(resource_server()).await, world.app(resource_server()).await);
    world.change_app(&suspended, &json!({"status": "suspended"})).await;
    world.owner("DELETE", &format!("/v1/orgs/acme/apps/{}", deleted.app), &json!({})).await;
    let told = [world.api.introspect(&suspended, &token).await, world.api.introspect(&deleted, &token).await];
    assert_eq!(
        told.map(|reply| (reply.refused(), reply.text.contains("active"))),
        [(); 2].map(|()| (refusal("invalid_client"), false))
    );
}

/// spec: oauth I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_app_person_or_secret_that_is_gone_is_not_live() {
    let world = World::new().await;
    let server = world.app(resource_server()).await;
    let (suspended, deleted, left) =
        (world.app(confidential()).await, world.app(confidential()).await, world.app(confidential()).await);
    let mut tokens = Vec::new();
    for client in [&suspended, &deleted, &left] {
        tokens.push(world.tokens(client).await.access);
    }
    let mut before = Vec::new();
    for token in &tokens {
        before.push(world.is_active(&server, token).await);
    }
    world.change_app(&suspended, &json!({"status": "suspended"})).await;
    world.owner("DELETE", &format!("/v1/orgs/acme/apps/{}", deleted.app), &json!({})).await;
    world.db.client().await.execute("UPDATE users SET disabled_at = now()", &[]).await.unwrap();
    world.api.app.replica.catch_up().await;
    let mut after = Vec::new();
    for token in &tokens {
        after.push(world.api.introspect(&server, token).await.text);
    }
    assert_eq!((before, after), (vec![true; 3], vec![INACTIVE.to_owned(); 3]));
}

/// spec: oauth I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hint_hides_no_token_and_brings_none_about() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let mut told: Vec<Value> = Vec::new();
    for hint in ["access_token", "refresh_token", "nonsense", ""] {
        for token in [&tokens.access, &tokens.refresh] {
            let form = [("token", token.as_str()), ("token_type_hint", hint)];
            told.push(
                world.api.post("/oauth/introspect").client(&client).form(&form).send().await.json()["active"].clone(),
            );
        }
    }
    let form = [("token", "nobodys"), ("token_type_hint", "access_token")];
    let nobodys = world.api.post("/oauth/introspect").client(&client).form(&form).send().await.text;
    assert_eq!((told, nobodys.as_str()), (vec![json!(true); 8], INACTIVE));
}

/// spec: oauth I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_refresh_tokens_of_others() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let server = world.app(resource_server()).await;
    let refresh = world.tokens(&client).await.refresh;
    let by_server = world.api.introspect(&server, &refresh).await.text;
    let form = [("token", refresh.as_str())];
    let by_key = world.api.post("/oauth/introspect").key(&world.gateway).form(&form).send().await.text;
    assert_eq!([by_server.as_str(), &by_key], [INACTIVE; 2]);
}

/// spec: oauth I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_refresh_token_is_live_until_it_is_used_idle_or_ended() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (used, idle, ended) =
        (world.tokens(&client).await.refresh, world.tokens(&client).await.refresh, world.tokens(&client).await.refresh);
    let before = world.api.introspect(&client, &used).await.json();
    world.refresh(&client, &used).await;
    world.api.revoke(&client, &ended).await;
    let dead = [world.api.introspect(&client, &used).await.text, world.api.introspect(&client, &ended).await.text];
    world.api.app.advance_days(30).await;
    let idle = world.api.introspect(&client, &idle).await.text;
    let lives = before["exp"].as_i64().unwrap() - before["iat"].as_i64().unwrap();
    assert_eq!(
        (&before["token_type"], lives, [dead[0].as_str(), &dead[1], &idle]),
        (&json!("refresh_token"), 30 * 86_400, [INACTIVE; 3])
    );
}

/// spec: oauth I1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_token_is_told_of_with_these_members_and_no_others() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let server = world.app(resource_server()).await;
    let token = world.tokens(&client).await.access;
    let by_server = world.api.introspect(&server, &token).await.text;
    let form = [("token", token.as_str())];
    let by_key = world.api.post("/oauth/introspect").key(&world.gateway).form(&form).send().await.text;
    let by_itself = world.api.introspect(&client, &token).await.text;
    let json: Value = serde_json::from_str(&by_server).unwrap();
    let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
    names.sort();
    let wanted = ["active", "aud", "client_id", "exp", "iat", "iss", "scope", "sub", "token_type"].map(str::to_owned);
    assert_eq!((names, &by_key, &by_itself), (wanted.iter().collect(), &by_server, &by_server));
}

/// A resource server asks with its secret and does nothing else with it: whoever looks at the last use, to end a secret
/// that nobody needs, must see that this one is needed.
///
/// spec: oauth §2.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_is_a_use_of_the_secret() {
    let world = World::new().await;
    let server = world.app(resource_server()).await;
    world.api.introspect(&server, "x").await;
    let path = format!("/v1/orgs/acme/apps/{}", server.app);
    eventually("the use is shown", async || {
        let app = world.api.get(&path).cookie(&world.owner).send().await.json();
        app["last_used_at"].is_string() && app["secrets"][0]["last_used_at"].is_string()
    })
    .await;
}

/// spec: oauth §6.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_cut_off_says_so_instead_of_calling_tokens_dead() {
    let db = statuspulse_testkit::TestDb::on_own_cluster().await;
    let api = Api::published(statuspulse_testkit::TestApp::start(&db).await, PUBLIC_URL).await;
    let world = World::around(db, api).await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let before = world.is_active(&client, &token).await;
    world.db.cluster().pause();
    world.api.app.clock().advance(std::time::Duration::from_secs(60));
    let form = [("token", token.as_str())];
    let by_app = world.api.introspect(&client, &token).await.refused();
    let by_key = world.api.post("/oauth/introspect").key(&world.gateway).form(&form).send().await.refused();
    world.db.cluster().resume();
    let away = (503, "temporarily_unavailable".to_owned());
    assert_eq!((before, by_app, by_key), (true, away.clone(), away));
}

/// spec: oauth §6.9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_revocation_is_one_event_with_the_id_of_its_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let replies = [
        world.api.revoke(&client, &tokens.access).await,
        world.api.revoke(&client, "garbage").await,
        world.api.revoke(&client, &tokens.refresh).await,
        world.api.post("/oauth/revoke").client(&client).raw_form("").send().await,
        world.api.post("/oauth/revoke").raw_form("token=x").send().await,
    ];
    let events = world.events("oauth.revoke").await;
    let told: Vec<_> = events.iter().map(|event| (event["request_id"].as_str(), event["reason"].as_str())).collect();
    let reasons = [None, Some("token_unknown"), None, Some("token_missing"), Some("client_missing")];
    let expected: Vec<_> = replies.iter().map(|reply| Some(reply.request_id())).zip(reasons).collect();
    assert_eq!(told, expected);
}

/// spec: oauth R6, R8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_ends_nothing_of_another() {
    let world = World::new().await;
    let (client, stranger) = (world.app(public()).await, world.app(public()).await);
    let tokens = world.tokens(&client).await;
    let told = [
        world.api.revoke(&stranger, &tokens.access).await.refused(),
        world.api.revoke(&stranger, &tokens.refresh).await.refused(),
    ];
    let refreshed = world.refresh(&client, &tokens.refresh).await.status;
    assert_eq!((told, refreshed), ([(); 2].map(|()| refusal("invalid_request")), 200));
}

/// spec: oauth R6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_dead_token_looks_like_nobodys() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.app(with(confidential(), json!({"name": "Other"}))).await;
    let (rotated, ended) = (world.tokens(&client).await, world.tokens(&client).await);
    let next = world.refresh(&client, &rotated.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    world.api.revoke(&client, &ended.access).await;
    let told = [world.api.revoke(&other, &rotated.refresh).await, world.api.revoke(&other, &ended.access).await];
    assert_eq!((told.map(|reply| reply.status), world.is_active(&client, &next).await), ([200; 2], true));
}

/// spec: oauth R4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_found_under_any_hint() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for hint in ["access_token", "refresh_token", "id_token", ""] {
        let tokens = world.tokens(&client).await;
        let form = [("token", tokens.refresh.as_str()), ("token_type_hint", hint)];
        let status = world.api.post("/oauth/revoke").client(&client).form(&form).send().await.status;
        told.push((status, world.is_active(&client, &tokens.access).await));
    }
    assert_eq!(told, [(200, false); 4]);
}

/// spec: oauth R1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_ends_every_access_token_of_its_grant_and_none_of_another() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (first, other) = (world.tokens(&client).await, world.tokens(&client).await);
    let second = world.refresh(&client, &first.refresh).await.json();
    let second = |name: &str| second[name].as_str().unwrap().to_owned();
    world.api.revoke(&client, &second("refresh_token")).await;
    let mut active = Vec::new();
    for token in [&first.access, &second("access_token"), &other.access] {
        active.push(world.is_active(&client, token).await);
    }
    assert_eq!(active, [false, false, true]);
}

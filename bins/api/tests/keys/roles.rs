//! Who may do what with keys (contract §4, policy §1.5), and what people of other organizations see.

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    help::{KEYS, path, plain_with},
    support::{Browser, World},
};

/// What a person is answered at every endpoint of keys, each with a key of its own that has these scopes.
async fn matrix(world: &World, browser: &Browser, scopes: &Value) -> Vec<String> {
    let mut answers = Vec::new();
    let mut asked = async |method: &str, path: &str, body: &Value| {
        let ask = world.api.ask(method, path).browser(browser);
        let reply = if method == "GET" { ask.send().await } else { ask.json(body).send().await };
        let refused = if reply.status < 400 { String::new() } else { format!(" {}", reply.code()) };
        answers.push(format!("{}{refused}", reply.status));
    };
    asked("GET", KEYS, &Value::Null).await;
    asked("POST", KEYS, &plain_with(&json!({"scopes": scopes}))).await;
    let bodies = [
        ("GET", "", json!({})),
        ("POST", "explain", json!({"method": "GET", "path": "/api/v1/checks", "client_ip": "192.0.2.1"})),
        ("PATCH", "", json!({"name": "changed"})),
        ("PUT", "allowlist", json!({"allowed_cidrs": ["192.0.2.0/24"]})),
        ("POST", "rotate", json!({})),
        ("POST", "disable", json!({})),
        ("POST", "enable", json!({})),
        ("POST", "revoke", json!({})),
    ];
    for (method, verb, body) in bodies {
        let (id, _) = world.created(&json!({"scopes": scopes})).await;
        if verb == "enable" {
            world.verb(&id, "disable", &json!({})).await;
        }
        asked(method, &path(&id, verb), &body).await;
    }
    answers
}

async fn matrix_of(role: Role, scopes: &[&str]) -> Vec<String> {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "somebody", role).await;
    let browser = world.api.sign_in(&person).await;
    matrix(&world, &browser, &json!(scopes)).await
}

const ALL: [&str; 10] = ["200", "201", "200", "200", "200", "200", "200", "200", "200", "200"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_does_everything_with_keys() {
    assert_eq!(matrix_of(Role::Owner, &["checks:read", "keys:read", "credentials:verify"]).await, ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_does_everything_with_keys() {
    assert_eq!(matrix_of(Role::Admin, &["checks:read", "keys:read", "credentials:verify"]).await, ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_does_everything_with_keys_of_grantable_scopes() {
    assert_eq!(matrix_of(Role::Developer, &["checks:read", "incidents:write"]).await, ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_only_ends_keys_whose_scopes_are_out_of_reach() {
    let refused = "403 scope_not_grantable";
    let expected = ["200", refused, "200", "200", refused, refused, refused, "200", refused, "200"];
    assert_eq!(matrix_of(Role::Developer, &["checks:read", "keys:read"]).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_reads_keys_and_changes_none() {
    let refused = "403 role_not_sufficient";
    let expected = ["200", refused, "200", "200", refused, refused, refused, refused, refused, refused];
    assert_eq!(matrix_of(Role::Auditor, &["checks:read"]).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_auditor_is_refused_changes_nothing() {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "auditor", Role::Auditor).await;
    let browser = world.api.sign_in(&person).await;
    let (id, _) = world.created(&json!({})).await;
    let before = world.state().await;
    for (method, verb) in [("POST", "rotate"), ("POST", "revoke"), ("POST", "disable"), ("PATCH", "")] {
        world.api.ask(method, &path(&id, verb)).browser(&browser).json(&json!({})).send().await;
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setting_decides_which_scopes_a_developer_hands_out() {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "dev", Role::Developer).await;
    let browser = world.api.sign_in(&person).await;
    let allowed = json!({"developer_scopes": ["incidents:read", "keys:read"]});
    world.owner("PATCH", crate::help::SETTINGS, &allowed).await;
    let mut outcomes = Vec::new();
    for scopes in [json!(["keys:read"]), json!(["checks:read"]), json!(["keys:read", "checks:read"])] {
        let body = plain_with(&json!({"scopes": scopes}));
        outcomes.push(world.api.post(KEYS).browser(&browser).json(&body).send().await.status);
    }
    assert_eq!(outcomes, [201, 403, 403]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_widens_no_key_beyond_what_may_be_handed_out() {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "dev", Role::Developer).await;
    let browser = world.api.sign_in(&person).await;
    let (id, _) = world.created(&json!({})).await;
    let wider = json!({"scopes": ["checks:read", "audit:read"]});
    let reply = world.api.ask("PATCH", &path(&id, "")).browser(&browser).json(&wider).send().await;
    assert_eq!(reply.outcome(), (403, "scope_not_grantable".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_that_of_the_moment() {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "dev", Role::Developer).await;
    let browser = world.api.sign_in(&person).await;
    world.sql(&format!("UPDATE memberships SET role = 'auditor' WHERE user_id = '{}'", person.id)).await;
    let reply = world.api.post(KEYS).browser(&browser).json(&plain_with(&json!({}))).send().await;
    assert_eq!(reply.outcome(), (403, "role_not_sufficient".into()));
}

/// A person of another organization, with a key there, and a key here.
async fn neighbours() -> (World, Browser, String) {
    let world = World::new().await;
    let other = world.api.app.organization("other").await;
    let browser = world.api.sign_in(&other.owner).await;
    let (id, _) = world.created(&json!({})).await;
    (world, browser, id)
}

async fn all_answers(world: &World, browser: &Browser, keys: &str, id: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for (method, verb) in [
        ("GET", ""),
        ("PATCH", ""),
        ("POST", "/rotate"),
        ("POST", "/revoke"),
        ("POST", "/disable"),
        ("POST", "/enable"),
        ("PUT", "/allowlist"),
        ("POST", "/explain"),
    ] {
        let body = match verb {
            "/allowlist" => json!({"allowed_cidrs": null}),
            "/explain" => json!({"method": "GET", "path": "/", "client_ip": "192.0.2.1"}),
            _ => json!({}),
        };
        let ask = world.api.ask(method, &format!("{keys}/{id}{verb}")).browser(browser);
        let reply = if method == "GET" { ask.send().await } else { ask.json(&body).send().await };
        answers.push(format!("{} {}", reply.status, reply.code()));
    }
    answers
}

/// spec: keys K52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_is_not_found_in_ones_own_organization() {
    let (world, browser, id) = neighbours().await;
    let answers = all_answers(&world, &browser, "/v1/orgs/other/keys", &id).await;
    assert_eq!(answers, ["404 not_found"; 8]);
}

/// spec: keys K52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_organization_is_not_found_at_all() {
    let (world, browser, id) = neighbours().await;
    let mut answers = all_answers(&world, &browser, KEYS, &id).await;
    for (method, path) in
        [("GET", KEYS), ("POST", KEYS), ("GET", crate::help::SETTINGS), ("PATCH", crate::help::SETTINGS)]
    {
        let reply = world.api.ask(method, path).browser(&browser).json(&plain_with(&json!({}))).send().await;
        answers.push(format!("{} {}", reply.status, reply.code()));
    }
    assert_eq!(answers, ["404 not_found"; 12]);
}

/// spec: keys K52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_found_was_not_changed_either() {
    let (world, browser, id) = neighbours().await;
    let before = world.state().await;
    all_answers(&world, &browser, "/v1/orgs/other/keys", &id).await;
    all_answers(&world, &browser, KEYS, &id).await;
    assert_eq!(world.state().await, before);
}

/// spec: keys K52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_looks_like_one_that_does_not_exist() {
    let (world, browser, id) = neighbours().await;
    let missing = "00000000-0000-7000-8000-000000000000";
    let mut bodies = Vec::new();
    for id in [id.as_str(), missing, "nonsense"] {
        let reply = world.api.get(&format!("/v1/orgs/other/keys/{id}")).cookie(&browser).send().await;
        let mut body = reply.json();
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

/// spec: keys K52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_reads_no_keys_of_another_organization() {
    let world = World::new().await;
    let other = world.api.app.organization("other").await;
    let (_, foreign) = world.api.app.key(&other, statuspulse_testkit::key_of("production", &["keys:read"])).await;
    let (id, _) = world.created(&json!({})).await;
    let replies = [
        world.api.get(KEYS).key(&foreign).send().await,
        world.api.get(&path(&id, "")).key(&foreign).send().await,
        world.api.get(&format!("/v1/orgs/other/keys/{id}")).key(&foreign).send().await,
    ];
    assert_eq!(replies.map(|reply| reply.status), [404; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_an_organization_holds_no_foreign_key() {
    let (world, browser, _) = neighbours().await;
    let reply = world.api.get("/v1/orgs/other/keys").cookie(&browser).send().await;
    assert_eq!(reply.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_changes_nothing_whatever_its_scopes() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let (_, token) = world.key(&["keys:read", "apps:read", "audit:read", "alerts:read", "credentials:verify"]).await;
    let mut outcomes = Vec::new();
    for (method, path) in [
        ("POST", KEYS.to_owned()),
        ("PATCH", path(&id, "")),
        ("POST", path(&id, "rotate")),
        ("POST", path(&id, "revoke")),
        ("POST", path(&id, "disable")),
        ("POST", path(&id, "enable")),
        ("PUT", path(&id, "allowlist")),
    ] {
        outcomes.push(world.api.ask(method, &path).key(&token).json(&json!({})).send().await.outcome());
    }
    assert_eq!(outcomes, vec![(403, "credential_not_allowed".to_owned()); 7]);
}

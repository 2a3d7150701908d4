//! Who may grant scopes and change keys (policy §1.5 and §1.6).

use serde_json::{Value, json};
use statuspulse_auth::{ROUTES, Who};
use statuspulse_policy::Role;

use crate::{
    attempt::Attempt,
    support::{Browser, Reply, World},
};

async fn signed_in(world: &World, role: Role) -> Browser {
    let person = world.api.app.person(&world.org, role.as_str(), role).await;
    world.api.sign_in(&person).await
}

/// Somebody asks with a JSON body.
async fn ask(world: &World, who: &Browser, method: &str, path: &str, body: &Value) -> Reply {
    world.api.ask(method, path).browser(who).json(body).send().await
}

async fn creates(world: &World, who: &Browser, scopes: &[&str]) -> (u16, String) {
    let wanted = json!({"name": "ci", "environment": "production", "scopes": scopes});
    ask(world, who, "POST", "/v1/orgs/acme/keys", &wanted).await.outcome()
}

fn forbidden(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

fn fine(status: u16) -> (u16, String) {
    (status, String::new())
}

const MANAGEMENT: [&str; 5] = ["keys:read", "apps:read", "audit:read", "alerts:read", "credentials:verify"];

/// spec: policy §1.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_and_admin_grant_every_scope() {
    let world = World::new().await;
    let admin = signed_in(&world, Role::Admin).await;
    let outcomes = [creates(&world, &world.owner, &MANAGEMENT).await, creates(&world, &admin, &MANAGEMENT).await];
    assert_eq!(outcomes, [fine(201), fine(201)]);
}

/// spec: policy §1.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_grants_the_scopes_of_the_product() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    assert_eq!(creates(&world, &developer, &["checks:read", "incidents:write", "alerts:write"]).await, fine(201));
}

/// spec: policy P12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_grants_no_management_scope_by_default() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let mut outcomes = Vec::new();
    for scope in MANAGEMENT {
        outcomes.push(creates(&world, &developer, &["checks:read", scope]).await);
    }
    assert_eq!(outcomes, vec![forbidden("scope_not_grantable"); 5]);
}

/// spec: policy P12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_gives_no_key_a_scope_beyond_the_setting() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let (id, _) = world.key(&["checks:read"]).await;
    let change = json!({"scopes": ["checks:read", "audit:read"]});
    let reply = ask(&world, &developer, "PATCH", &format!("/v1/orgs/acme/keys/{id}"), &change).await;
    assert_eq!(reply.outcome(), forbidden("scope_not_grantable"));
}

/// spec: policy P12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_neither_changes_rotates_nor_enables_a_key_with_a_scope_beyond_the_setting() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let (id, _) = world.key(&["audit:read"]).await;
    let key = format!("/v1/orgs/acme/keys/{id}");
    world.act(&id, "disable").await;
    let outcomes = [
        ask(&world, &developer, "PATCH", &key, &json!({"name": "mine"})).await.outcome(),
        ask(&world, &developer, "PATCH", &key, &json!({"scopes": ["checks:read"]})).await.outcome(),
        ask(&world, &developer, "PUT", &format!("{key}/allowlist"), &json!({"allowed_cidrs": null})).await.outcome(),
        ask(&world, &developer, "POST", &format!("{key}/rotate"), &json!({})).await.outcome(),
        ask(&world, &developer, "POST", &format!("{key}/enable"), &json!({})).await.outcome(),
    ];
    assert_eq!(outcomes.to_vec(), vec![forbidden("scope_not_grantable"); 5]);
}

/// spec: policy P12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_developer_may_not_rotate_keeps_its_token() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let (id, token) = world.key(&["checks:read", "keys:read"]).await;
    ask(&world, &developer, "POST", &format!("/v1/orgs/acme/keys/{id}/rotate"), &json!({})).await;
    assert_eq!(world.judged(&token, "GET", "/api/v1/checks").await, "allowed");
}

/// spec: policy P12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setting_says_what_a_developer_may_grant() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let settings = json!({"developer_scopes": ["checks:read", "audit:read"]});
    world.owner("PATCH", "/v1/orgs/acme/settings", &settings).await;
    let outcomes =
        [creates(&world, &developer, &["audit:read"]).await, creates(&world, &developer, &["checks:write"]).await];
    assert_eq!(outcomes, [fine(201), forbidden("scope_not_grantable")]);
}

/// spec: policy §1.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_changes_rotates_and_enables_the_keys_of_others_within_the_setting() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let (id, _) = world.key(&["checks:read"]).await;
    let key = format!("/v1/orgs/acme/keys/{id}");
    world.act(&id, "disable").await;
    let outcomes = [
        ask(&world, &developer, "POST", &format!("{key}/enable"), &json!({})).await.outcome(),
        ask(&world, &developer, "PATCH", &key, &json!({"scopes": ["checks:write"]})).await.outcome(),
        ask(&world, &developer, "POST", &format!("{key}/rotate"), &json!({})).await.outcome(),
    ];
    assert_eq!(outcomes, [fine(200), fine(200), fine(200)]);
}

/// spec: policy §1.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_disables_and_revokes_any_key() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let (id, _) = world.key(&MANAGEMENT).await;
    let key = format!("/v1/orgs/acme/keys/{id}");
    let outcomes = [
        ask(&world, &developer, "POST", &format!("{key}/disable"), &json!({})).await.outcome(),
        ask(&world, &developer, "POST", &format!("{key}/revoke"), &json!({})).await.outcome(),
    ];
    assert_eq!(outcomes, [fine(200), fine(200)]);
}

/// spec: policy §1.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_changes_no_settings() {
    let world = World::new().await;
    let developer = signed_in(&world, Role::Developer).await;
    let change = json!({"developer_scopes": ["audit:read"]});
    let reply = ask(&world, &developer, "PATCH", "/v1/orgs/acme/settings", &change).await;
    assert_eq!(reply.outcome(), forbidden("role_not_sufficient"));
}

/// spec: policy §1.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_changes_nothing() {
    let world = World::new().await;
    let auditor = signed_in(&world, Role::Auditor).await;
    let (id, _) = world.key(&["checks:read"]).await;
    let key = format!("/v1/orgs/acme/keys/{id}");
    let mut outcomes = vec![creates(&world, &auditor, &["checks:read"]).await];
    outcomes.push(ask(&world, &auditor, "PATCH", &key, &json!({"name": "mine"})).await.outcome());
    let list = json!({"allowed_cidrs": ["203.0.113.0/24"]});
    outcomes.push(ask(&world, &auditor, "PUT", &format!("{key}/allowlist"), &list).await.outcome());
    for verb in ["rotate", "disable", "enable", "revoke"] {
        outcomes.push(ask(&world, &auditor, "POST", &format!("{key}/{verb}"), &json!({})).await.outcome());
    }
    outcomes.push(ask(&world, &auditor, "PATCH", "/v1/orgs/acme/settings", &json!({})).await.outcome());
    assert_eq!(outcomes, vec![forbidden("role_not_sufficient"); 8]);
}

/// spec: policy §1.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_reads_keys_settings_and_explanations() {
    let world = World::new().await;
    let auditor = signed_in(&world, Role::Auditor).await;
    let (id, _) = world.key(&["checks:read"]).await;
    let key = format!("/v1/orgs/acme/keys/{id}");
    let call = json!({"method": "GET", "path": "/api/v1/checks", "client_ip": "203.0.113.7"});
    let statuses = [
        world.api.get("/v1/orgs/acme/keys").cookie(&auditor).send().await.status,
        world.api.get(&key).cookie(&auditor).send().await.status,
        world.api.get("/v1/orgs/acme/settings").cookie(&auditor).send().await.status,
        ask(&world, &auditor, "POST", &format!("{key}/explain"), &call).await.status,
    ];
    assert_eq!(statuses, [200; 4]);
}

/// spec: policy P11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_creates_no_keys() {
    let world = World::new().await;
    let (_, token) = world.key(&MANAGEMENT).await;
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let reply = world.api.post("/v1/orgs/acme/keys").key(&token).json(&wanted).send().await;
    assert_eq!(reply.outcome(), forbidden("credential_not_allowed"));
}

/// spec: policy P11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_creates_no_keys_beside_a_session_either() {
    let world = World::new().await;
    let (_, token) = world.key(&MANAGEMENT).await;
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let ask = world.api.post("/v1/orgs/acme/keys").browser(&world.owner).key(&token).json(&wanted);
    assert_eq!(ask.send().await.outcome(), forbidden("credential_not_allowed"));
}

/// spec: policy P11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_try_of_a_key_to_create_keys_is_in_the_trail() {
    let world = World::new().await;
    let (id, token) = world.key(&MANAGEMENT).await;
    world.api.post("/v1/orgs/acme/keys").key(&token).json(&json!({})).send().await;
    let events = world.events("api.call").await;
    let told: Vec<_> = events.iter().map(|event| [&event["actor_id"], &event["reason"], &event["outcome"]]).collect();
    assert_eq!(told, [[&json!(id), &json!("credential_not_allowed"), &json!("denied")]]);
}

/// spec: policy §1.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_that_changes_something_of_an_organization_refuses_keys() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let (_, token) = world.key(&MANAGEMENT).await;
    let mut let_in = Vec::new();
    for route in ROUTES.iter().filter(|route| route.path.contains("{org}") && route.method != "GET") {
        let path = route.path.replace("{org}", "acme").replace("{id}", &id);
        let outcome = world.api.ask(route.method, &path).key(&token).json(&json!({})).send().await.outcome();
        if outcome != forbidden("credential_not_allowed") {
            let_in.push((route.method, route.path, outcome));
        }
    }
    assert_eq!(let_in, []);
}

/// spec: policy §1.6
#[test]
fn no_route_takes_a_key_for_a_change() {
    let takes_key = |who: Who| matches!(who, Who::MemberOrKey(_) | Who::Gateway(_) | Who::OwnKey);
    let changing = ROUTES.iter().filter(|route| takes_key(route.who) && !matches!(route.method, "GET"));
    let paths: Vec<_> = changing.map(|route| route.path).filter(|path| !path.starts_with("/v1/keys/self")).collect();
    assert_eq!(paths, ["/v1/verify"]);
}

/// spec: policy §1.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_reads_keys_with_the_scope_for_it_alone() {
    let world = World::new().await;
    let (_, reader) = world.key(&["keys:read"]).await;
    let (_, other) = world.key(&["checks:read", "audit:read"]).await;
    let statuses = [
        world.api.get("/v1/orgs/acme/keys").key(&reader).send().await.outcome(),
        world.api.get("/v1/orgs/acme/keys").key(&other).send().await.outcome(),
    ];
    assert_eq!(statuses, [fine(200), forbidden("insufficient_scope")]);
}

/// spec: policy §1.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_sees_itself_without_any_management_scope() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let own = world.api.get("/v1/keys/self").key(&token).send().await;
    assert_eq!((own.status, &own.json()["id"]), (200, &json!(id)));
}

/// spec: policy P40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_the_scope_has_no_credentials_judged() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read", "keys:read", "audit:read"]).await;
    let question = json!({"token": token, "method": "GET", "path": "/api/v1/checks"});
    let reply = world.api.post("/v1/verify").key(&token).json(&question).send().await;
    assert_eq!(reply.outcome(), forbidden("insufficient_scope"));
}

/// spec: policy P40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_a_gateway_names_the_scope_that_it_lacks() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let reply = world.api.post("/v1/verify").key(&token).json(&json!({"token": "x"})).send().await;
    let challenge = reply.header("www-authenticate");
    assert!(challenge.contains(r#"error="insufficient_scope", scope="credentials:verify""#), "{challenge}");
}

/// spec: policy P40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_credentials_judged_without_a_key() {
    let world = World::new().await;
    let question = json!({"token": world.gateway, "method": "GET", "path": "/api/v1/checks"});
    let outcomes = [
        world.api.post("/v1/verify").json(&question).send().await.outcome(),
        world.api.post("/v1/verify").browser(&world.owner).json(&question).send().await.outcome(),
    ];
    assert_eq!(outcomes, [(401, "missing".to_owned()), (401, "missing".to_owned())]);
}

/// spec: policy §1.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrowed_key_loses_the_scope_at_once() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read", "routes:read"]).await;
    world.patch(&id, &json!({"scopes": ["routes:read"]})).await;
    assert_eq!(Attempt::of(&token).outcomes(&world).await, crate::attempt::both(403, "insufficient_scope"));
}

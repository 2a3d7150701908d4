//! Who reads and who changes.

use serde_json::json;
use statuspulse_audit::AlertRule;
use statuspulse_policy::Role;

use crate::{
    help::Scene,
    use_cases::{ALERTS, RULES, opened},
};

/// What somebody of a role is answered: the list, one, taking, closing, the rules, a change of one.
async fn answers(role: Role) -> Vec<u16> {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    let person = scene.world.api.app.person(&scene.world.org, "somebody", role).await;
    let browser = scene.world.api.sign_in(&person).await;
    let asked = [
        ("GET", ALERTS.to_owned(), json!({})),
        ("GET", format!("{ALERTS}/{id}"), json!({})),
        ("POST", format!("{ALERTS}/{id}/acknowledge"), json!({})),
        ("POST", format!("{ALERTS}/{id}/resolve"), json!({"note": "done"})),
        ("GET", RULES.to_owned(), json!({})),
        ("PUT", format!("{RULES}/call_rate"), json!({"threshold": 9_000})),
    ];
    let mut statuses = Vec::new();
    for (method, path, body) in asked {
        statuses.push(scene.world.api.ask(method, &path).browser(&browser).json(&body).send().await.status);
    }
    statuses
}

/// spec: audit A29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_reads_and_changes_nothing() {
    assert_eq!(answers(Role::Auditor).await, [200, 200, 403, 403, 200, 403]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_reads_and_changes_nothing() {
    assert_eq!(answers(Role::Developer).await, [200, 200, 403, 403, 200, 403]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_does_everything() {
    assert_eq!(answers(Role::Admin).await, [200; 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_of_another_organization_is_not_there() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    let other = scene.world.api.app.organization("globex").await;
    let browser = scene.world.api.sign_in(&other.owner).await;
    let mut statuses = Vec::new();
    for (method, path) in [
        ("GET", format!("/v1/orgs/globex/alerts/{id}")),
        ("POST", format!("/v1/orgs/globex/alerts/{id}/acknowledge")),
        ("GET", format!("{ALERTS}/{id}")),
    ] {
        let reply = scene.world.api.ask(method, &path).browser(&browser).json(&json!({})).send().await;
        statuses.push(reply.status);
    }
    let list = scene.world.api.get("/v1/orgs/globex/alerts").cookie(&browser).send().await.json();
    assert_eq!((statuses, &list["items"]), (vec![404; 3], &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_the_scope_reads_and_never_changes() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    let (_, token) = scene.world.key(&["alerts:read"]).await;
    let mut statuses = Vec::new();
    for (method, path) in [
        ("GET", ALERTS.to_owned()),
        ("GET", format!("{ALERTS}/{id}")),
        ("GET", RULES.to_owned()),
        ("POST", format!("{ALERTS}/{id}/acknowledge")),
    ] {
        statuses.push(scene.world.api.ask(method, &path).key(&token).json(&json!({})).send().await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 403]);
}

//! Keys that want a look.

use serde_json::Value;

use crate::help::Scene;

async fn names(scene: &Scene, reason: &str) -> Vec<String> {
    let answer = scene.shown("/v1/orgs/acme/inventory").await;
    let keys = answer["reasons"][reason].as_array().unwrap().clone();
    let mut names: Vec<String> = keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

async fn named(
    scene: &Scene,
    name: &str,
    change: impl FnOnce(&mut statuspulse_app::keys::CreateKey),
) -> (String, String) {
    scene
        .key_like(|key| {
            key.name = name.into();
            key.allowed_cidrs = Some(vec!["203.0.113.0/24".into()]);
            change(key);
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stands_under_each_of_its_reasons() {
    let scene = Scene::new().await;
    named(&scene, "plain", |_| {}).await;
    named(&scene, "open", |key| key.allowed_cidrs = None).await;
    named(&scene, "any", |key| {
        key.allowed_cidrs = Some(vec!["0.0.0.0/0".into()]);
        key.allow_any = true;
    })
    .await;
    named(&scene, "wide", |key| key.allowed_cidrs = Some(vec!["10.0.0.0/8".into()])).await;
    named(&scene, "short", |key| key.expires_in_days = Some(10)).await;
    let mut told = Vec::new();
    for reason in ["no_allowlist", "allow_any", "wide_allowlist", "ends_within_14_days"] {
        let mut found = names(&scene, reason).await;
        found.retain(|name| ["plain", "open", "any", "wide", "short"].contains(&name.as_str()));
        told.push(found);
    }
    assert_eq!(told, [vec!["open"], vec!["any"], vec!["any", "wide"], vec!["short"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_every_scope_is_named() {
    let scene = Scene::new().await;
    let all: Value = scene.shown("/v1/scopes").await;
    let scopes: Vec<String> = all["resources"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|resource| resource["scopes"].as_array().unwrap().clone())
        .map(|scope| scope["name"].as_str().unwrap().to_owned())
        .collect();
    named(&scene, "all", |key| key.scopes = Some(scopes)).await;
    assert_eq!(names(&scene, "all_scopes").await, ["all"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_used_or_rotated_leaves_the_list() {
    let scene = Scene::new().await;
    let (id, token) = named(&scene, "used", |key| key.allowed_cidrs = None).await;
    named(&scene, "idle", |_| {}).await;
    scene
        .owner("POST", &format!("/v1/orgs/acme/keys/{id}/rotate"), &serde_json::json!({"overlap_seconds": 604_800}))
        .await;
    scene.days(6).await;
    scene.judged(&token).await;
    scene.days(25).await;
    let mut told = Vec::new();
    for reason in ["unused_30_days", "never_rotated"] {
        let mut found = names(&scene, reason).await;
        found.retain(|name| ["used", "idle"].contains(&name.as_str()));
        told.push(found);
    }
    assert_eq!(told, [["idle"], ["idle"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_keys_want_nothing() {
    let scene = Scene::new().await;
    let (id, _) = named(&scene, "dead", |key| key.allowed_cidrs = None).await;
    scene.owner("POST", &format!("/v1/orgs/acme/keys/{id}/revoke"), &serde_json::json!({})).await;
    assert!(!names(&scene, "no_allowlist").await.contains(&"dead".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_shows_some_keys_gets_some_and_their_number() {
    let scene = Scene::new().await;
    for name in ["first", "second", "third"] {
        scene.days(1).await;
        let (id, _) = named(&scene, name, |key| key.expires_in_days = Some(10)).await;
        if name == "third" {
            scene.owner("POST", &format!("/v1/orgs/acme/keys/{id}/disable"), &serde_json::json!({})).await;
        }
    }
    let some = scene.shown("/v1/orgs/acme/inventory?limit=2").await;
    let one = scene.shown("/v1/orgs/acme/inventory?reason=ends_within_14_days").await;
    let shown = |answer: &Value| {
        let keys = answer["reasons"]["ends_within_14_days"].as_array().unwrap().clone();
        keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let reasons = |answer: &Value| answer["reasons"].as_object().unwrap().len();
    assert_eq!(
        (shown(&some), shown(&one)),
        (vec!["third".into(), "second".into()], vec!["third".into(), "second".into(), "first".into()])
    );
    assert_eq!((reasons(&some), reasons(&one), &some["counts"]["ends_within_14_days"]), (7, 1, &serde_json::json!(3)));
}

/// A mistyped filter must not widen the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_the_inventory_is_checked() {
    let scene = Scene::new().await;
    let mut outcomes = Vec::new();
    for query in ["reason=old", "reason=", "limit=0", "limit=201", "reasons=allow_any"] {
        let path = format!("/v1/orgs/acme/inventory?{query}");
        outcomes.push(scene.owner("GET", &path, &Value::Null).await.outcome());
    }
    let codes = ["unknown_reason", "unknown_reason", "out_of_bounds", "out_of_bounds", "unknown_parameter"];
    assert_eq!(outcomes, codes.map(|code| (422, code.to_owned())));
}

//! Thresholds and actions of an organization's own.

use serde_json::{Value, json};
use statuspulse_audit::AlertRule;

use crate::{help::Scene, use_cases::RULES};

async fn rule(scene: &Scene, word: &str) -> Value {
    let rules = scene.shown(RULES).await;
    rules["items"].as_array().unwrap().iter().find(|rule| rule["rule"] == word).unwrap().clone()
}

async fn put(scene: &Scene, rule: &str, change: &Value) -> crate::support::Reply {
    scene.owner("PUT", &format!("{RULES}/{rule}"), change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_is_listed_with_what_is_in_force() {
    let scene = Scene::new().await;
    let listed = scene.shown(RULES).await["items"].as_array().unwrap().len();
    let rate = rule(&scene, "call_rate").await;
    assert_eq!(
        (
            listed,
            &rate["default_threshold"],
            &rate["threshold"],
            &rate["window_seconds"],
            &rate["action"],
            &rate["keys"]
        ),
        (AlertRule::ALL.len(), &json!(5_000), &json!(5_000), &json!(60), &json!("none"), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_is_set_and_taken_back() {
    let scene = Scene::new().await;
    let set = put(&scene, "call_rate", &json!({"threshold": 8_000})).await.json();
    let back = put(&scene, "call_rate", &json!({"threshold": null})).await.json();
    let events: Vec<Value> =
        scene.world.events("settings.update").await.iter().map(|event| event["detail"]["threshold"].clone()).collect();
    assert_eq!(
        (&set["threshold"], &back["threshold"], events),
        (&json!(8_000), &json!(5_000), vec![json!(8_000), json!(null)])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_of_a_change_stays() {
    let scene = Scene::new().await;
    put(&scene, "call_rate", &json!({"threshold": 8_000})).await;
    put(&scene, "call_rate", &json!({"action": "limit_rate", "action_limit": 60})).await;
    put(&scene, "call_rate", &json!({"action_limit": 90})).await;
    let rule = rule(&scene, "call_rate").await;
    assert_eq!(
        [&rule["threshold"], &rule["action"], &rule["action_limit"]],
        [&json!(8_000), &json!("limit_rate"), &json!(90)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_s_setting_begins_as_its_organization_s_and_ends_when_both_are_null() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    put(&scene, "call_rate", &json!({"threshold": 8_000})).await;
    let set = put(&scene, "call_rate", &json!({"action": "disable_key", "key_id": key})).await.json();
    let gone = put(&scene, "call_rate", &json!({"threshold": null, "action": null, "key_id": key})).await.json();
    let own = &set["keys"][0];
    assert_eq!(
        [&own["key_id"], &own["threshold"], &own["action"], &set["action"], &gone["keys"], &gone["threshold"]],
        [&json!(key), &json!(8_000), &json!("disable_key"), &json!("none"), &json!([]), &json!(8_000)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_is_refused_at_its_field() {
    let scene = Scene::new().await;
    let stranger = "01900000-0000-7000-8000-000000000000";
    let asked = [
        ("out_of_scope", json!({"threshold": 5})),
        ("call_rate", json!({"threshold": 0})),
        ("leaked_key", json!({"action": "disable_key"})),
        ("call_rate", json!({"action": "explode"})),
        ("call_rate", json!({"action": "limit_rate"})),
        ("call_rate", json!({"action": "disable_key", "action_limit": 5})),
        ("call_rate", json!({"threshold": 9, "key_id": stranger})),
        ("call_rate", json!({"limit": 9})),
    ];
    let mut fields = Vec::new();
    for (rule, change) in asked {
        fields.extend(put(&scene, rule, &change).await.fields());
    }
    assert_eq!(
        fields,
        [
            "threshold: no_threshold",
            "threshold: out_of_bounds",
            "action: no_action",
            "action: unknown_action",
            "action_limit: out_of_bounds",
            "action_limit: out_of_bounds",
            "key_id: unknown_key",
            "limit: unknown_field",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_rule_is_not_there() {
    let scene = Scene::new().await;
    assert_eq!(put(&scene, "no_such_rule", &json!({"threshold": 9})).await.status, 404);
}

//! What the trail says about a key's calls.

use serde_json::{Value, json};

use crate::support::{Admin, NOBODY};

/// With a key that was used from two networks.
async fn used() -> (Admin, String) {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let organization = admin.json("org list")["items"][0]["id"].take();
    let call = |ip: &str| {
        json!({
            "organization_id": organization, "actor": {"kind": "api_key", "id": id, "version": 1}, "ip": ip,
            "detail": {"required_scope": "monitoring:read"},
        })
    };
    admin.calls(5, call("203.0.113.7")).await;
    admin.calls(3, call("198.51.100.9")).await;
    admin.json("audit verify");
    (admin, id)
}

/// spec: policy P57
#[tokio::test]
async fn a_preview_says_what_a_list_would_have_refused() {
    let (admin, id) = used().await;
    let mut preview = admin.json(&format!("key allowlist preview {id} --allow-cidr 203.0.113.0/24"));
    let sources: Vec<Value> = preview["sources"].as_array_mut().unwrap().drain(..).collect();
    let shown = json!([preview["calls"], preview["would_be_blocked"], sources]);
    let expected = json!([8, 3, [
        {"network": "203.0.113.0/24", "country": null, "calls": 5, "blocked": 0},
        {"network": "198.51.100.0/24", "country": null, "calls": 3, "blocked": 3},
    ]]);
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_preview_of_many_days_ends_with_4() {
    let (admin, id) = used().await;
    let ran = admin.run(&format!("key allowlist preview {id} --allow-cidr 203.0.113.0/24 --days 31"));
    assert_eq!(ran.refusal("\n  days: "), (4, true));
}

/// spec: policy P58
#[tokio::test]
async fn a_suggestion_names_what_the_key_could_do_without() {
    let (admin, id) = used().await;
    let expected = json!({
        "unused_scopes": [],
        "allowlist": ["198.51.100.9/32", "203.0.113.7/32"],
        "basis": {"days": 30, "calls": 8},
    });
    assert_eq!(admin.json(&format!("key suggest {id}")), expected);
}

#[tokio::test]
async fn a_key_that_is_not_there_has_no_suggestions() {
    assert_eq!(Admin::new().await.run(&format!("key suggest {NOBODY}")).code, 3);
}

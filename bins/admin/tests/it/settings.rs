use serde_json::{Value, json};

use crate::support::Admin;

/// With a key that is forty days old.
async fn with_an_old_key() -> Admin {
    let admin = Admin::with_org().await;
    admin.key("old");
    let age = "UPDATE keys SET created_at = created_at - interval '40 days';
        UPDATE key_versions SET created_at = created_at - interval '40 days'";
    admin.execute(age).await;
    admin
}

#[tokio::test]
async fn settings_start_at_the_environments_own() {
    let settings = Admin::with_org().await.json("settings show --org acme");
    let expected = json!({"production": 90, "staging": 365, "analytics": 90});
    assert_eq!((&settings["max_lifespan_days"], &settings["reuse_policy"]), (&expected, &json!("alert")));
}

#[tokio::test]
async fn every_setting_can_be_set() {
    let set = "settings set --org acme --max-lifespan-days production=30 --unused-key-days 60 \
        --developer-scope checks:read --reuse-policy kill --allow-cidr 203.0.113.0/24";
    let settings = Admin::with_org().await.json(set);
    let fields = ["unused_key_days", "developer_scopes", "reuse_policy", "allowed_cidrs"].map(|name| &settings[name]);
    let expected = json!([60, ["checks:read"], "kill", ["203.0.113.0/24"]]);
    assert_eq!((&settings["max_lifespan_days"]["production"], json!(fields)), (&json!(30), expected));
}

#[tokio::test]
async fn every_setting_can_be_taken_back() {
    let admin = Admin::with_org().await;
    let before = admin.json("settings show --org acme");
    admin.json(
        "settings set --org acme --max-lifespan-days staging=30 --unused-key-days 60 --developer-scope checks:read \
         --allow-cidr 203.0.113.0/24",
    );
    let after = admin.json(
        "settings set --org acme --max-lifespan-days staging=default --unused-key-days off --default-developer-scopes \
         --clear-allowlist",
    );
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_change_of_nothing_ends_with_2() {
    assert_eq!(Admin::with_org().await.run("settings set --org acme --confirm").code, 2);
}

#[tokio::test]
async fn a_value_out_of_bounds_ends_with_4() {
    let ran = Admin::with_org().await.run("settings set --org acme --max-lifespan-days production=91");
    assert_eq!(ran.refusal("\n  max_lifespan_days.production: "), (4, true));
}

#[tokio::test]
async fn keys_that_would_end_are_named_and_confirmation_is_asked_for() {
    let ran = with_an_old_key().await.run("settings set --org acme --max-lifespan-days production=30");
    let told = ["error[confirmation_required]: ", "give --confirm", "name old"].map(|part| ran.stderr.contains(part));
    assert_eq!((ran.code, told), (4, [true; 3]), "{}", ran.stderr);
}

#[tokio::test]
async fn a_confirmed_change_answers_the_keys_that_it_ended() {
    let admin = with_an_old_key().await;
    let answer = admin.json("settings set --org acme --max-lifespan-days production=30 --confirm");
    let names: Vec<&Value> = answer["ended_keys"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
    assert_eq!(names, [&json!("old")]);
}

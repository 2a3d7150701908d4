//! OAuth apps, grants and signing keys at the command line.

use serde_json::{Value, json};

use crate::support::{Admin, NOBODY, text};

const CREATE: &str = "app create --org acme --name Bot --redirect-uri https://app.example/cb --scope monitoring:read";
const GRANT: &str = "INSERT INTO oauth_grants (id, organization_id, app_id, scopes, resources, status, created_at)
    SELECT gen_random_uuid(), organization_id, id, 1, '{}', 'active', now() FROM oauth_apps LIMIT 1";

async fn with_app() -> (Admin, Value) {
    let admin = Admin::with_org().await;
    let app = admin.json(CREATE);
    (admin, app)
}

#[tokio::test]
async fn a_confidential_app_gets_its_secret_on_standard_output_once() {
    let admin = Admin::with_org().await;
    let ran = admin.run(&format!("--json {CREATE}"));
    let made: Value = serde_json::from_str(&ran.stdout).unwrap();
    let secret = text(&made["client_secret"]);
    let shown = admin.run(&format!("--json app show {}", text(&made["client_id"])));
    let seen = [ran.stdout.contains(&secret), ran.stderr.contains(&secret), shown.stdout.contains(&secret)];
    assert_eq!((secret.starts_with("sp_cs_"), seen), (true, [true, false, false]));
}

#[tokio::test]
async fn a_public_app_has_no_secret() {
    let admin = Admin::with_org().await;
    let made = admin.json(&format!("{CREATE} --public"));
    assert_eq!((&made["app"]["kind"], made.get("client_secret")), (&json!("public"), None));
}

#[tokio::test]
async fn requirements_are_on_unless_they_are_switched_off() {
    let (admin, made) = with_app().await;
    let loose = admin.json(&format!("{CREATE} --no-require-state --no-require-pkce"));
    let required = |made: &Value| (made["app"]["require_state"].clone(), made["app"]["require_pkce"].clone());
    assert_eq!([required(&made), required(&loose)], [(json!(true), json!(true)), (json!(false), json!(false))]);
}

#[tokio::test]
async fn a_public_app_without_pkce_is_refused_by_a_rule() {
    let ran = Admin::with_org().await.run(&format!("{CREATE} --public --no-require-pkce"));
    assert_eq!((ran.code, ran.stderr.contains("require_pkce")), (4, true), "{}", ran.stderr);
}

#[tokio::test]
async fn without_a_scope_nothing_is_registered() {
    let ran = Admin::with_org().await.run("app create --org acme --name Bot --redirect-uri https://app.example/cb");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[tokio::test]
async fn an_app_is_named_by_its_id_or_its_client_id() {
    let (admin, made) = with_app().await;
    let by_id = admin.json(&format!("app show {}", text(&made["app"]["id"])));
    let by_client_id = admin.json(&format!("app show {}", text(&made["client_id"])));
    assert_eq!(by_id, by_client_id);
}

#[tokio::test]
async fn an_unknown_app_is_not_found() {
    assert_eq!(Admin::with_org().await.run(&format!("app show {NOBODY}")).code, 3);
}

#[tokio::test]
async fn an_app_is_suspended_and_resumed() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let states = ["suspend", "resume"].map(|verb| admin.json(&format!("app {verb} {id}"))["status"].clone());
    assert_eq!(states, [json!("suspended"), json!("active")]);
}

#[tokio::test]
async fn secrets_overlap_and_the_last_one_stays() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let first = text(&made["app"]["secrets"][0]["id"]);
    let last = admin.run(&format!("app secret revoke {id} {first}")).code;
    let added = admin.json(&format!("app secret add {id} --overlap 1h --label next"));
    let revoked = admin.run(&format!("app secret revoke {id} {first}")).code;
    assert_eq!((last, &added["secret"]["label"], revoked), (4, &json!("next"), 0));
}

#[tokio::test]
async fn an_app_is_deleted_only_when_somebody_means_it() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let unasked = admin.run(&format!("app delete {id}")).code;
    let meant = admin.run(&format!("app delete {id} --yes")).code;
    let left = admin.json("app list --org acme")["items"].clone();
    assert_eq!((unasked, meant, left), (2, 0, json!([])));
}

#[tokio::test]
async fn failures_are_a_list() {
    let (admin, made) = with_app().await;
    let page = admin.json(&format!("app failures {}", text(&made["client_id"])));
    assert_eq!(page, json!({"items": [], "next_cursor": null}));
}

/// spec: oauth N10
#[tokio::test]
async fn ending_the_grants_of_an_app_tells_their_number() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    admin.value(&format!("{GRANT} RETURNING id::text")).await;
    let dry = admin.json(&format!("grant revoke --app {id} --dry-run"));
    let listed = admin.json("grant list --org acme")["items"].as_array().unwrap().len();
    let ended = admin.json(&format!("grant revoke --app {id} --yes"));
    let again = admin.json(&format!("grant revoke --app {id} --yes"));
    assert_eq!(
        (dry, listed, ended, again),
        (json!({"would_revoke": 1}), 1, json!({"revoked": 1}), json!({"revoked": 0}))
    );
}

#[tokio::test]
async fn grants_are_named_in_exactly_one_way_and_nobody_is_surprised() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let none = admin.run("grant revoke --yes").code;
    let two = admin.run(&format!("grant revoke --app {id} --user x@y --yes")).code;
    let unasked = admin.run(&format!("grant revoke --app {id}")).code;
    let unknown = admin.run("grant revoke --user nobody@example.test --yes").code;
    assert_eq!([none, two, unasked, unknown], [2, 2, 2, 3]);
}

/// spec: oauth K14
#[tokio::test]
async fn the_signing_key_is_changed_at_once() {
    let admin = Admin::with_org().await;
    let first = text(&admin.json("signing-key rotate")["kid"]);
    let second = text(&admin.json("signing-key rotate")["kid"]);
    let signing = "SELECT string_agg(kid, ',') FROM oauth_signing_keys WHERE sign_until > now()";
    assert_eq!((first != second, admin.value(signing).await), (true, second));
}

#[tokio::test]
async fn a_leaked_key_is_ended_from_standard_input() {
    let admin = Admin::with_org().await;
    let made = admin.json("key create --org acme --environment staging --name one --scope checks:read");
    let ran = admin.run_with_input("--json leak revoke --token-stdin", &format!("{}\n", text(&made["token"])));
    let reason = admin.value("SELECT revoke_reason FROM keys").await;
    assert_eq!((ran.stdout.trim(), reason.as_str()), (r#"{"revoked":1}"#, "leaked"), "{}", ran.stderr);
}

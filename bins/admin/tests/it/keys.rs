use serde_json::json;

use crate::support::{Admin, text};

#[tokio::test]
async fn a_new_key_is_what_was_asked_for() {
    let create = "key create --org acme --environment production --name ci --scope checks:read,incidents:write \
        --allow-cidr 203.0.113.0/24 198.51.100.7 --expires-in 30d --auto-rotate --rate-limit 600";
    let key = Admin::with_org().await.json(create)["key"].take();
    let fields = ["environment", "name", "scopes", "allowed_cidrs", "auto_rotate", "rate_limit_per_minute", "canary"];
    let expected = json!([
        "production",
        "ci",
        ["checks:read", "incidents:write"],
        ["203.0.113.0/24", "198.51.100.7/32"],
        true,
        600,
        false
    ]);
    assert_eq!(json!(fields.map(|field| &key[field])), expected);
}

#[tokio::test]
async fn thirty_days_are_thirty_days() {
    let admin = Admin::with_org().await;
    admin.json("key create --org acme --environment staging --name ci --preset read-only --expires-in 30d");
    let seconds = "SELECT extract(epoch FROM expires_at - created_at)::int::text FROM key_versions";
    assert_eq!(admin.value(seconds).await, "2592000");
}

#[tokio::test]
async fn a_canary_says_so_to_its_maker() {
    let create = "key create --org acme --environment production --name bait --preset read-only --canary";
    assert_eq!(Admin::with_org().await.json(create)["key"]["canary"], json!(true));
}

#[tokio::test]
async fn a_key_for_longer_than_allowed_ends_with_4() {
    let create = "key create --org acme --environment production --name ci --preset read-only --expires-in 91d";
    assert_eq!(Admin::with_org().await.run(create).refusal("\n  expires_in_days: "), (4, true));
}

#[tokio::test]
async fn a_private_network_in_production_deserves_a_warning() {
    let create = "key create --org acme --environment production --name ci --preset read-only --allow-cidr 10.0.0.0/24";
    assert_eq!(Admin::with_org().await.run(create).refusal("warning[private_network]: "), (0, true));
}

#[tokio::test]
async fn a_list_is_narrowed_by_its_filters() {
    let admin = Admin::with_org().await;
    let (wanted, _) = admin.key("deploy-one");
    admin.key("other");
    admin.json("key create --org acme --environment staging --name deploy-two --scope checks:read");
    let list = admin.json("key list --org acme --environment production --status active --q DEPLOY");
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["id"]), (1, &json!(wanted)));
}

#[tokio::test]
async fn a_list_goes_on_at_its_cursor() {
    let admin = Admin::with_org().await;
    let ((first, _), (second, _)) = (admin.key("one"), admin.key("two"));
    let page = admin.json("key list --org acme --limit 1");
    let next = admin.json(&format!("key list --org acme --limit 1 --cursor {}", text(&page["next_cursor"])));
    assert_eq!((&page["items"][0]["id"], &next["items"][0]["id"]), (&json!(second), &json!(first)));
}

#[tokio::test]
async fn all_pages_are_one_list() {
    let admin = Admin::with_org().await;
    for name in ["one", "two", "three"] {
        admin.key(name);
    }
    let list = admin.json("key list --org acme --all");
    assert_eq!((list["items"].as_array().unwrap().len(), &list["next_cursor"]), (3, &json!(null)));
}

#[tokio::test]
async fn a_limit_out_of_bounds_ends_with_4() {
    assert_eq!(Admin::with_org().await.run("key list --org acme --limit 201").refusal("\n  limit: "), (4, true));
}

#[tokio::test]
async fn a_key_is_shown_as_it_is_listed() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    assert_eq!(admin.json(&format!("key show {id}")), admin.json("key list --org acme")["items"][0]);
}

#[tokio::test]
async fn a_rotation_gives_the_next_version_and_ends_the_old_one() {
    let admin = Admin::with_org().await;
    let (id, token) = admin.key("ci");
    admin.execute("UPDATE key_versions SET created_at = created_at - interval '1 hour'").await;
    let rotated = admin.json(&format!("key rotate {id} --overlap 24h --if-match 1"));
    assert_eq!((&rotated["key"]["version"], rotated["token"] == json!(token)), (&json!(2), false));
}

#[tokio::test]
async fn a_rotation_of_another_version_ends_with_4() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    assert_eq!(admin.run(&format!("key rotate {id} --if-match 7")).refusal("error[version_mismatch]: "), (4, true));
}

#[tokio::test]
async fn an_overlap_beyond_seven_days_ends_with_4() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    assert_eq!(admin.run(&format!("key rotate {id} --overlap 8d")).refusal("\n  overlap_seconds: "), (4, true));
}

#[tokio::test]
async fn a_revoked_key_says_why() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let receipt = admin.json(&format!("key revoke {id} --reason laptop%20lost --wait 0s"));
    let shown =
        json!([receipt["key"]["status"], receipt["key"]["revoke_reason"], receipt["applied"], receipt["pending"]]);
    assert_eq!(shown, json!(["revoked", "laptop lost", [], []]));
}

#[tokio::test]
async fn a_revoked_key_is_not_switched_on_again() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    admin.json(&format!("key revoke {id}"));
    assert_eq!(admin.run(&format!("key enable {id}")).refusal("error[key_revoked]: "), (4, true));
}

#[tokio::test]
async fn a_key_is_switched_off_and_on() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let status = |verb: &str| admin.json(&format!("key {verb} {id}"))["key"]["status"].take();
    assert_eq!((status("disable"), status("enable")), (json!("disabled"), json!("active")));
}

#[tokio::test]
async fn an_instance_that_has_not_acknowledged_a_revocation_is_named() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    admin.execute(crate::bulk::SILENT_INSTANCE).await;
    let ran = admin.run(&format!("--json key revoke {id} --wait 0s"));
    assert_eq!((ran.json()["pending"].as_array().unwrap().len(), ran.stderr.starts_with("warning: 1 ")), (1, true));
}

#[tokio::test]
async fn an_allowlist_is_replaced_and_taken_away() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let set = |list: &str| admin.json(&format!("key allowlist set {id} {list}"))["key"]["allowed_cidrs"].take();
    let lists = (set("--allow-cidr 203.0.113.0/24 --allow-cidr 2001:db8::/48"), set("--clear"));
    assert_eq!(lists, (json!(["203.0.113.0/24", "2001:db8::/48"]), json!(null)));
}

#[tokio::test]
async fn everything_is_allowed_only_when_said_so() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let set = format!("key allowlist set {id} --allow-cidr 0.0.0.0/0");
    assert_eq!((admin.run(&set).code, admin.run(&format!("{set} --allow-any")).code), (4, 0));
}

#[tokio::test]
async fn an_allowlist_without_a_list_ends_with_2() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    assert_eq!(admin.run(&format!("key allowlist set {id}")).code, 2);
}

#[tokio::test]
async fn a_call_is_explained_step_by_step() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let call = "--method POST --path /api/v1/checks --client-ip 203.0.113.7";
    let answer = admin.json(&format!("key explain {id} {call}"));
    assert_eq!((&answer["code"], &answer["status"]), (&json!("insufficient_scope"), &json!(403)));
}

#[tokio::test]
async fn a_call_is_explained_at_another_time() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let call = "--method GET --path /api/v1/monitoring/x --client-ip 203.0.113.7 --at 2999-01-01T00:00:00Z";
    assert_eq!(admin.json(&format!("key explain {id} {call}"))["code"], json!("expired"));
}

#[tokio::test]
async fn people_read_the_verdict_last() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    let call = "--method GET --path /api/v1/monitoring/x --client-ip 203.0.113.7";
    let ran = admin.run(&format!("key explain {id} {call}"));
    assert!(ran.stdout.ends_with("\n\nallowed: allowed (200)\n"), "{}", ran.stdout);
}

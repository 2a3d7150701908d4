use serde_json::{Value, json};

use crate::support::Admin;

/// Version and versions of keys of each pepper.
fn counted(answer: &Value) -> Vec<(i64, i64)> {
    let number = |pepper: &Value, name: &str| pepper[name].as_i64().unwrap();
    let peppers = answer["items"].as_array().unwrap().iter();
    peppers.map(|pepper| (number(pepper, "version"), number(pepper, "live_versions"))).collect()
}

/// spec: keys K16
#[tokio::test]
async fn the_status_counts_versions_by_pepper() {
    let admin = Admin::with_org().await;
    admin.key("one");
    admin.json("pepper rotate");
    admin.key("two");
    assert_eq!(counted(&admin.json("pepper status")), [(2, 1), (1, 1)]);
}

#[tokio::test]
async fn a_pepper_that_is_needed_is_not_dropped() {
    let admin = Admin::with_org().await;
    admin.key("one");
    admin.json("pepper rotate");
    assert_eq!(admin.run("pepper rotate").refusal("error[pepper_in_use]: "), (4, true));
}

#[tokio::test]
async fn a_pepper_that_is_needed_is_dropped_by_force() {
    let admin = Admin::with_org().await;
    admin.key("one");
    admin.json("pepper rotate");
    let answer = admin.json("pepper rotate --force");
    let retired: Vec<bool> =
        answer["items"].as_array().unwrap().iter().map(|one| one["retired_at"] != json!(null)).collect();
    assert_eq!(retired, [false, false, true]);
}

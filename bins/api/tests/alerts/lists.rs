//! Lists of alerts.

use serde_json::{Value, json};
use statuspulse_audit::AlertRule;
use statuspulse_store::alerts::Happening;

use crate::{
    help::Scene,
    use_cases::{ALERTS, all, now, opened, raise_at, resolve},
};

fn rules(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|alert| alert["rule"].as_str().unwrap()).collect()
}

/// Three alerts, a minute after the other; the oldest is resolved.
async fn three() -> Scene {
    let scene = Scene::new().await;
    let first = opened(&scene, AlertRule::OutOfScope).await;
    resolve(&scene, &first).await;
    for rule in [AlertRule::IpDenied, AlertRule::NewCountry] {
        scene.seconds(60).await;
        opened(&scene, rule).await;
    }
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_from_the_newest_to_the_oldest_and_repeat_nothing() {
    let scene = three().await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..3 {
        let page = scene.shown(&format!("{ALERTS}?limit=1{cursor}")).await;
        seen.extend(rules(&page).into_iter().map(str::to_owned));
        cursor = page["next_cursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
    }
    assert_eq!(
        (seen, cursor.as_str()),
        (vec!["new_country".into(), "ip_denied".into(), "out_of_scope".to_owned()], "")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_narrow_a_list() {
    let scene = three().await;
    let subject = all(&scene).await.remove(1)["subject"]["id"].as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for filter in ["status=open", "status=resolved", "rule=new_country", "severity=high", &format!("subject={subject}")]
    {
        let page = scene.shown(&format!("{ALERTS}?{filter}")).await;
        found.push(rules(&page).join(" "));
    }
    assert_eq!(found, ["new_country ip_denied", "out_of_scope", "new_country", "ip_denied", "ip_denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_filter_is_refused_and_so_is_a_cursor_of_another_list() {
    let scene = three().await;
    let cursor = scene.shown(&format!("{ALERTS}?limit=1")).await["next_cursor"].as_str().unwrap().to_owned();
    let mut outcomes = Vec::new();
    for query in
        ["status=closed", "rule=x", "severity=x", "state=open", "limit=0", &format!("status=open&cursor={cursor}")]
    {
        let browser = scene.browser().await;
        outcomes.push(scene.world.api.get(&format!("{ALERTS}?{query}")).cookie(&browser).send().await.outcome());
    }
    let expected = [
        (422, "unknown_status"),
        (422, "unknown_rule"),
        (422, "unknown_severity"),
        (422, "unknown_parameter"),
        (422, "out_of_bounds"),
        (400, "invalid_cursor"),
    ];
    assert_eq!(outcomes, expected.map(|(status, code)| (status, code.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_sees_of_itself_is_no_organization_s_business() {
    let scene = Scene::new().await;
    let gap = Happening::new(AlertRule::AuditGap, None, ("instance", "this"), now(&scene));
    raise_at(&scene.world.api.app, &gap).await;
    let id = scene.world.alerts("audit_gap").await[0]["id"].as_str().unwrap().to_owned();
    let browser = scene.browser().await;
    let one = scene.world.api.get(&format!("{ALERTS}/{id}")).cookie(&browser).send().await;
    assert_eq!((all(&scene).await, one.status), (Vec::new(), 404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_says_what_it_means_and_what_to_do() {
    let scene = Scene::new().await;
    opened(&scene, AlertRule::IpDenied).await;
    let alert = all(&scene).await.remove(0);
    let rule = AlertRule::IpDenied.rule();
    assert_eq!(
        (&alert["title"], &alert["advice"], &alert["control"], &alert["evidence"]["deliveries"]),
        (&json!(rule.title), &json!(rule.advice), &json!(["CC6.6", "CC7.2"]), &json!([]))
    );
}

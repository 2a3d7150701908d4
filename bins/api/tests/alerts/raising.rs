//! Many at once are one.

use serde_json::json;
use statuspulse_audit::AlertRule;
use statuspulse_store::alerts::Raised;

use crate::{
    help::Scene,
    use_cases::{ALERTS, all, happening, newest, opened, raise, raise_at, seconds},
};

/// spec: audit A27
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_call_out_of_scope_opens_an_alert_and_five_hundred_more_count_in_it() {
    let scene = Scene::new().await;
    let (key, token) = scene.key().await;
    scene.world.judged(&token, "POST", "/api/v1/checks").await;
    let first = newest(&scene).await;
    for number in 0..500 {
        let path = ["/api/v1/checks", "/api/v1/incidents", "/api/v1/webhooks"][number % 3];
        scene.world.judged(&token, "POST", path).await;
    }
    let alerts = all(&scene).await;
    let routes = alerts[0]["evidence"]["routes"].as_array().unwrap().len();
    assert_eq!(
        (&first["count"], &first["severity"], &first["subject"]["id"], &first["subject"]["name"]),
        (&json!(1), &json!("medium"), &json!(key), &json!("production key"))
    );
    assert_eq!(
        (alerts.len(), &alerts[0]["id"], &alerts[0]["count"], &alerts[0]["severity"], routes),
        (1, &first["id"], &json!(501), &json!("high"), 3)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_at_once_on_two_instances_make_one_alert() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    let apps = [scene.world.api.app.as_ref().clone(), scene.world.api.app.second().await];
    let told = happening(&scene, AlertRule::OutOfScope, &key);
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (app, told) = (apps[number % 2].clone(), told.clone());
            tokio::spawn(async move { raise_at(&app, &told).await })
        })
        .collect();
    let mut opened = 0;
    for task in tasks {
        opened += usize::from(task.await.unwrap() == Raised::Opened);
    }
    let alerts = all(&scene).await;
    assert_eq!((opened, alerts.len(), &alerts[0]["count"]), (1, 1, &json!(20)));
    assert_eq!(scene.world.events("alert.open").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_close_an_alert_at_once_one_does() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    let browser = scene.browser().await;
    let close = || {
        let ask = scene.world.api.post(&format!("{ALERTS}/{id}/resolve")).browser(&browser);
        ask.json(&json!({"note": "mine"})).send()
    };
    let (one, two) = tokio::join!(close(), close());
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!((statuses, scene.world.events("alert.resolve").await.len()), ([200, 409], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_severity_never_goes_down_and_late_news_do_not_turn_time_back() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    let mut many = happening(&scene, AlertRule::OutOfScope, &key);
    many.observed.count = 100;
    raise_at(&scene.world.api.app, &many).await;
    let last = newest(&scene).await["last_seen_at"].clone();
    scene.world.db.client().await.execute("UPDATE alerts SET count = 1", &[]).await.unwrap();
    let mut late = happening(&scene, AlertRule::OutOfScope, &key);
    late.observed.last_at -= seconds(30);
    raise_at(&scene.world.api.app, &late).await;
    let alert = newest(&scene).await;
    assert_eq!((&alert["severity"], &alert["count"], &alert["last_seen_at"]), (&json!("high"), &json!(2), &last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rules_and_two_subjects_are_alerts_of_their_own() {
    let scene = Scene::new().await;
    let (one, _) = scene.key().await;
    let (two, _) = scene.key().await;
    for (rule, key) in [(AlertRule::OutOfScope, &one), (AlertRule::IpDenied, &one), (AlertRule::OutOfScope, &two)] {
        assert_eq!(raise(&scene, rule, key).await, Raised::Opened);
    }
    assert_eq!(all(&scene).await.len(), 3);
}

//! From opening to end.

use serde_json::{Value, json};
use statuspulse_audit::AlertRule;
use statuspulse_store::alerts::{Raised, life};

use crate::{
    help::Scene,
    use_cases::{ALERTS, acknowledge, all, newest, now, opened, raise, raise_peak, resolve, round, shown},
};

/// spec: audit A28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_taken_then_closed_with_a_note_and_stays_closed() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    let taken = acknowledge(&scene, &id).await;
    let silent = scene.owner("POST", &format!("{ALERTS}/{id}/resolve"), &json!({})).await;
    let closed = resolve(&scene, &id).await;
    let again = resolve(&scene, &id).await;
    let statuses = [taken.status, silent.status, closed.status, again.status];
    assert_eq!(
        (statuses, silent.fields(), again.code()),
        ([200, 422, 200, 409], vec!["note: required".into()], "already_resolved".into())
    );
}

/// spec: audit A28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_alert_says_who_took_it_who_closed_it_when_and_why() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    acknowledge(&scene, &id).await;
    let closed = resolve(&scene, &id).await.json();
    let owner = &scene.world.org.owner;
    let somebody = json!({"kind": "user", "id": owner.id.to_string(), "email": owner.email});
    let expected =
        json!({"kind": "manual", "by": somebody, "at": closed["resolution"]["at"], "note": "a job ran wild"});
    assert_eq!(
        (&closed["status"], &closed["acknowledged_by"], &closed["resolution"], shown(&scene, &id).await),
        (&json!("resolved"), &somebody, &expected, closed.clone())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_is_closed_can_not_be_taken() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    resolve(&scene, &id).await;
    assert_eq!(acknowledge(&scene, &id).await.outcome(), (409, "already_resolved".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_what_one_has_taken_changes_nothing_and_is_no_event() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    let first = acknowledge(&scene, &id).await.json();
    scene.seconds(5).await;
    let second =
        scene.world.api.post(&format!("{ALERTS}/{id}/acknowledge")).browser(&scene.browser().await).send().await;
    assert_eq!((second.status, second.json(), scene.world.events("alert.acknowledge").await.len()), (200, first, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_has_one_to_two_thousand_characters_and_holds_no_secret() {
    let scene = Scene::new().await;
    let (_, token) = scene.key().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    let mut outcomes = Vec::new();
    for note in [json!("  "), json!("é".repeat(2_001)), json!(token), json!(null), json!("é".repeat(2_000))] {
        let reply = scene.owner("POST", &format!("{ALERTS}/{id}/resolve"), &json!({"note": note})).await;
        outcomes.push((reply.status, reply.fields().pop().unwrap_or_default()));
    }
    let expected = [
        (422, "note: required"),
        (422, "note: invalid_note"),
        (422, "note: holds_secret"),
        (422, "note: invalid_type"),
        (200, ""),
    ];
    assert_eq!(outcomes, expected.map(|(status, field)| (status, field.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_is_an_event_of_the_first_class_that_tells_of_the_note_only_its_length() {
    let scene = Scene::new().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    acknowledge(&scene, &id).await;
    resolve(&scene, &id).await;
    let taken = scene.world.events("alert.acknowledge").await.remove(0);
    let closed = scene.world.events("alert.resolve").await.remove(0);
    let detail = |event: &Value, name: &str| event["detail"][name].clone();
    assert_eq!(
        (
            taken["class"].clone(),
            detail(&taken, "alert_id"),
            closed["class"].clone(),
            detail(&closed, "kind"),
            detail(&closed, "rule"),
            detail(&closed, "note_length")
        ),
        (json!(1), json!(id), json!(1), json!("manual"), json!("out_of_scope"), json!(14))
    );
    assert!(!closed.to_string().contains("a job ran wild"));
}

/// spec: audit A26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_minutes_of_excess_are_one_alert_that_knows_its_peak() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    for minute in 0..20 {
        raise_peak(&scene, &key, if minute == 7 { 9_000 } else { 5_001 + minute }).await;
        scene.seconds(60).await;
        round(&scene).await;
    }
    let alerts = all(&scene).await;
    assert_eq!(
        (alerts.len(), &alerts[0]["status"], &alerts[0]["count"], &alerts[0]["evidence"]["peak"]),
        (1, &json!("open"), &json!(9_000), &json!(9_000))
    );
}

/// spec: audit A26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_calm_minutes_resolve_a_rate_and_a_new_excess_opens_another_alert() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    raise_peak(&scene, &key, 5_001).await;
    scene.seconds(299).await;
    round(&scene).await;
    let before = newest(&scene).await["status"].clone();
    scene.seconds(1).await;
    round(&scene).await;
    let after = newest(&scene).await;
    let again = raise_peak(&scene, &key, 5_002).await;
    assert_eq!(
        (
            &before,
            &after["status"],
            &after["resolution"]["kind"],
            &after["resolution"]["by"],
            again,
            all(&scene).await.len()
        ),
        (&json!("open"), &json!("resolved"), &json!("automatic"), &Value::Null, Raised::Opened, 2)
    );
}

/// spec: audit A26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_that_is_still_high_is_not_calm() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    raise_peak(&scene, &key, 5_001).await;
    scene.seconds(200).await;
    let organization = Some(scene.world.org.access.organization.id);
    let app = scene.world.api.app.app();
    life::touch(&mut app.conn().await.unwrap(), AlertRule::CallRate, organization, &key, now(&scene)).await.unwrap();
    let mut seen = Vec::new();
    for wait in [299, 1] {
        scene.seconds(wait).await;
        round(&scene).await;
        seen.push(newest(&scene).await["status"].clone());
    }
    assert_eq!(seen, ["open", "resolved"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_resolved_itself_is_an_event_of_the_service() {
    let scene = Scene::new().await;
    opened(&scene, AlertRule::NewCountry).await;
    scene.days(1).await;
    round(&scene).await;
    let event = scene.world.events("alert.resolve").await.remove(0);
    assert_eq!((&event["actor_kind"], &event["detail"]["kind"]), (&json!("system"), &json!("automatic")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cause_that_goes_on_opens_no_other_alert_until_it_has_ceased_once() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    raise(&scene, AlertRule::OutOfScope, &key).await;
    resolve(&scene, newest(&scene).await["id"].as_str().unwrap()).await;
    let mut seen = Vec::new();
    for wait in [30, 59, 60] {
        scene.seconds(wait).await;
        seen.push(raise(&scene, AlertRule::OutOfScope, &key).await);
    }
    assert_eq!((seen, all(&scene).await.len()), (vec![Raised::Covered, Raised::Covered, Raised::Opened], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cause_that_never_ceases_opens_another_alert_after_a_quarter_of_an_hour() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    raise(&scene, AlertRule::OutOfScope, &key).await;
    resolve(&scene, newest(&scene).await["id"].as_str().unwrap()).await;
    let mut seen = Vec::new();
    for _ in 0..18 {
        scene.seconds(50).await;
        seen.push(raise(&scene, AlertRule::OutOfScope, &key).await);
    }
    let last = seen.pop();
    assert!(seen.iter().all(|raised| *raised == Raised::Covered), "{seen:?}");
    assert_eq!((last, all(&scene).await.len()), (Some(Raised::Opened), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_watched_until_a_quarter_of_an_hour_after_a_person_has_closed_its_alert() {
    let scene = Scene::new().await;
    let (key, _) = scene.key().await;
    raise_peak(&scene, &key, 5_001).await;
    let app = scene.world.api.app.app();
    let watched = async || {
        let mut conn = app.conn().await.unwrap();
        let subjects = life::open_subjects(&mut conn, AlertRule::CallRate, now(&scene)).await.unwrap();
        subjects.into_iter().map(|open| open.subject).collect::<Vec<_>>()
    };
    let open = watched().await;
    resolve(&scene, newest(&scene).await["id"].as_str().unwrap()).await;
    let closed = watched().await;
    scene.seconds(900).await;
    assert_eq!((open, closed, watched().await), (vec![key.clone()], vec![key], vec![]));
}

//! Alerts that the events of the trail open once they are written.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};
use statuspulse_app::{
    Caller,
    recorder::{AuditOptions, Flood},
};
use statuspulse_audit::{Action, Actor, Class, Event, Outcome};
use statuspulse_policy::{KeyId, OrganizationId};
use statuspulse_testkit::{TestApp, TestDb, geo_database, key_of};
use tempfile::TempDir;

/// Two instances, a key, and addresses of two countries that are 6,400 km apart.
struct Scene {
    db: TestDb,
    apps: [TestApp; 2],
    organization: OrganizationId,
    key: KeyId,
    _folder: TempDir,
}

const BERLIN: &str = "88.1.2.3";
const NEW_YORK: &str = "203.0.113.7";

impl Scene {
    async fn new() -> Self {
        let (db, folder) = (TestDb::new().await, TempDir::new().unwrap());
        let file = folder.path().join("places.mmdb");
        std::fs::write(&file, geo_database(("DE", 52.5, 13.4), ("US", 40.7, -74.0))).unwrap();
        let audit = |name: &str| AuditOptions {
            geo_database: Some(file.clone()),
            ..AuditOptions::in_dir(folder.path().join(name))
        };
        let first = TestApp::builder(&db).audit(audit("first")).start().await;
        let second = TestApp::builder(&db).audit(audit("second")).clock(first.clock()).start().await;
        let org = first.organization("acme").await;
        let (view, _) = first.key(&org, key_of("production", &["checks:read"])).await;
        let organization = org.access.organization.id;
        Self { db, apps: [first, second], organization, key: view.key.id, _folder: folder }
    }

    fn event(&self, app: &TestApp, ip: &str, reason: Option<&'static str>) -> Event {
        let class = if reason.is_some() { Class::B } else { Class::C };
        let mut event = Caller::system(app).event(app, class, Action::ApiCall, Some(self.organization)).unwrap();
        event.actor = Actor::ApiKey { id: self.key, version: Some(1) };
        event.outcome = if reason.is_some() { Outcome::Denied } else { Outcome::Allowed };
        event.reason = reason;
        event.origin.ip = Some(ip.parse().unwrap());
        event.origin.route = Some("/api/v1/checks/**".to_owned());
        event
    }

    async fn keep(&self, app: usize, number: usize, ip: &str, reason: Option<&'static str>) {
        let app = self.apps.get(app).unwrap();
        for _ in 0..number {
            app.recorder.keep(app, &self.event(app, ip, reason)).await.unwrap();
        }
        app.flush().await;
    }

    /// An accepted call on the first instance.
    async fn call_from(&self, ip: &str) {
        self.keep(0, 1, ip, None).await;
    }

    async fn pass(&self, time: Duration) {
        self.apps[0].advance(time).await;
        for app in &self.apps {
            app.replica.catch_up().await;
        }
    }

    async fn alerts(&self, rule: &str) -> Vec<Value> {
        let text = "SELECT to_jsonb(a)::text FROM alerts a WHERE rule = $1 ORDER BY opened_at";
        let rows = self.db.client().await.query(text, &[&rule]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    async fn counts(&self, rule: &str) -> Vec<i64> {
        self.alerts(rule).await.iter().map(|alert| alert["count"].as_i64().unwrap()).collect()
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_refusals_for_the_address_open_one_alert_on_whichever_instance_they_happen() {
    let scene = Scene::new().await;
    scene.keep(0, 3, BERLIN, Some("ip_not_allowed")).await;
    scene.keep(1, 1, NEW_YORK, Some("ip_not_allowed")).await;
    let four = scene.counts("ip_denied").await;
    scene.keep(1, 1, NEW_YORK, Some("ip_not_allowed")).await;
    let five = scene.counts("ip_denied").await;
    scene.keep(0, 2, BERLIN, Some("ip_not_allowed")).await;
    let seven = scene.alerts("ip_denied").await.remove(0);
    assert_eq!((four, five, &seven["count"]), (vec![], vec![5], &json!(7)));
    let shown = json!([seven["evidence"]["sources"], seven["evidence"]["control"], seven["severity"]]);
    assert_eq!(shown, json!([["203.0.113.0/24", "88.1.2.0/24"], ["CC6.6", "CC7.2"], "high"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_that_are_ten_minutes_apart_do_not_pile_up() {
    let scene = Scene::new().await;
    scene.keep(0, 4, BERLIN, Some("ip_not_allowed")).await;
    scene.pass(Duration::from_secs(601)).await;
    scene.keep(0, 4, BERLIN, Some("ip_not_allowed")).await;
    assert_eq!(scene.counts("ip_denied").await, Vec::<i64>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_country_is_new_after_seven_days_of_use_and_told_once() {
    let scene = Scene::new().await;
    scene.call_from(BERLIN).await;
    scene.pass(DAY * 6).await;
    scene.call_from(NEW_YORK).await;
    let too_early = scene.counts("new_country").await;
    scene.pass(DAY * 31).await;
    scene.call_from(BERLIN).await;
    let opened = scene.alerts("new_country").await;
    scene.pass(HOUR).await;
    scene.call_from(BERLIN).await;
    assert_eq!((too_early, opened.len(), scene.counts("new_country").await), (vec![], 1, vec![1]));
    assert_eq!(json!([opened[0]["evidence"]["country"], opened[0]["severity"]]), json!(["DE", "low"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_that_see_a_new_country_open_one_alert() {
    let scene = Scene::new().await;
    scene.call_from(BERLIN).await;
    scene.pass(DAY * 8).await;
    tokio::join!(scene.keep(0, 1, NEW_YORK, None), scene.keep(1, 1, NEW_YORK, None));
    assert_eq!(scene.counts("new_country").await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ocean_within_an_hour_is_told_and_within_a_day_is_not() {
    let scene = Scene::new().await;
    scene.call_from(BERLIN).await;
    scene.pass(HOUR).await;
    scene.call_from(NEW_YORK).await;
    let opened = scene.alerts("impossible_travel").await;
    let kilometres = opened[0]["evidence"]["kilometres"].as_f64().unwrap();
    assert!((kilometres - 6_385.0).abs() < 30.0, "{kilometres}");
    let slow = Scene::new().await;
    slow.call_from(BERLIN).await;
    slow.pass(DAY).await;
    slow.call_from(NEW_YORK).await;
    assert_eq!((opened.len(), slow.counts("impossible_travel").await), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_kept_no_more_exactly_than_they_are_needed() {
    let scene = Scene::new().await;
    scene.call_from(BERLIN).await;
    let row = scene.db.client().await.query_one("SELECT latitude, longitude FROM key_places", &[]).await.unwrap();
    assert_eq!((row.get::<_, f64>(0), row.get::<_, f64>(1)), (52.5, 13.4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_slept_for_thirty_days_is_told_of_once() {
    let scene = Scene::new().await;
    scene.call_from(BERLIN).await;
    scene.pass(DAY * 29).await;
    scene.call_from(BERLIN).await;
    let awake = scene.counts("dormant_key_used").await;
    scene.pass(DAY * 30).await;
    tokio::join!(scene.keep(0, 1, BERLIN, None), scene.keep(1, 1, BERLIN, None));
    assert_eq!((awake, scene.counts("dormant_key_used").await), (vec![], vec![1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_far_above_the_usual_ones_is_told_once_they_are_known() {
    let scene = Scene::new().await;
    let client = scene.db.client().await;
    let hours = |number: i32| {
        format!(
            "INSERT INTO usage_hours SELECT id, date_trunc('hour', $1::timestamptz) - n * interval '1 hour', 100, 0, 70
             FROM keys, generate_series(1, {number}) n ON CONFLICT DO NOTHING"
        )
    };
    let now = scene.apps[0].env.now();
    client.execute(&hours(23), &[&now]).await.unwrap();
    scene.keep(0, 701, BERLIN, None).await;
    let unknown = scene.counts("rate_above_usual").await;
    client.execute(&hours(24), &[&now]).await.unwrap();
    scene.keep(0, 1, BERLIN, None).await;
    let opened = scene.alerts("rate_above_usual").await;
    assert_eq!((unknown, opened.len()), (vec![], 1));
    let evidence = &opened[0]["evidence"];
    assert_eq!(json!([opened[0]["count"], evidence["usual"], evidence["threshold"]]), json!([702, 70.0, 10]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_does_is_added_up_by_the_hour() {
    let scene = Scene::new().await;
    scene.keep(0, 5, BERLIN, None).await;
    scene.keep(1, 2, BERLIN, Some("expired")).await;
    let text = "SELECT calls, refused, busiest_minute FROM usage_hours";
    let row = scene.db.client().await.query_one(text, &[]).await.unwrap();
    assert_eq!([0, 1, 2].map(|column| row.get::<_, i64>(column)), [7, 2, 5]);
}

/// The attack: tokens are tried from many addresses of one network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_made_up_tokens_from_one_network_open_nothing_and_one_more_opens_an_alert() {
    let scene = Scene::new().await;
    let app = &scene.apps[0];
    let strange = async |number: u32, network: &str| {
        for place in 0..number {
            let ip: IpAddr = format!("{network}.{}", place % 200).parse().unwrap();
            let mut event = scene.event(app, BERLIN, Some("unknown"));
            (event.actor, event.organization_id, event.origin.ip) = (Actor::Unknown, None, Some(ip));
            app.recorder.keep_of_stranger(app, &event, Flood::new(Some(ip), "unknown")).await.unwrap();
        }
        app.flush().await;
    };
    strange(1_000, "203.0.113").await;
    strange(500, "198.51.100").await;
    let none = scene.counts("unknown_tokens").await;
    strange(1, "203.0.113").await;
    let opened = scene.alerts("unknown_tokens").await;
    assert_eq!((none, opened.len()), (vec![], 1));
    assert_eq!(json!([opened[0]["subject"], opened[0]["count"]]), json!(["203.0.113.0/24", 1_001]));
}

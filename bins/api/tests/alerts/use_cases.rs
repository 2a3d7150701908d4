//! What these tests ask again and again.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use statuspulse_app::{
    alerts::watch::{self, Round},
    recorder,
};
use statuspulse_audit::AlertRule;
use statuspulse_store::{
    AsyncConnection as _,
    alerts::{Happening, Raised},
};
use statuspulse_testkit::TestApp;

use crate::{help::Scene, support::Reply};

pub(crate) const ALERTS: &str = "/v1/orgs/acme/alerts";
pub(crate) const RULES: &str = "/v1/orgs/acme/alert-rules";

/// A happening about a key, as it is now.
pub(crate) fn happening(scene: &Scene, rule: AlertRule, key: &str) -> Happening {
    let organization = Some(scene.world.org.access.organization.id);
    Happening::new(rule, organization, ("key", key), now(scene))
}

pub(crate) fn now(scene: &Scene) -> DateTime<Utc> {
    scene.world.api.app.env.now()
}

/// Raises it in a transaction of its own.
pub(crate) async fn raise_at(app: &TestApp, happening: &Happening) -> Raised {
    let mut conn = app.pool.get().await.unwrap();
    conn.transaction(async |conn| recorder::raise(app, conn, happening).await).await.unwrap()
}

pub(crate) async fn raise(scene: &Scene, rule: AlertRule, key: &str) -> Raised {
    raise_at(&scene.world.api.app, &happening(scene, rule, key)).await
}

/// The same with what was counted within the window.
pub(crate) async fn raise_peak(scene: &Scene, key: &str, count: i64) -> Raised {
    let mut excess = happening(scene, AlertRule::CallRate, key);
    excess.observed.count = count;
    raise_at(&scene.world.api.app, &excess).await
}

/// An open alert about a key: its id.
pub(crate) async fn opened(scene: &Scene, rule: AlertRule) -> String {
    let (key, _) = scene.key().await;
    assert_eq!(raise(scene, rule, &key).await, Raised::Opened);
    newest(scene).await["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn all(scene: &Scene) -> Vec<Value> {
    scene.world.api.app.flush().await;
    scene.shown(ALERTS).await["items"].as_array().unwrap().clone()
}

pub(crate) async fn newest(scene: &Scene) -> Value {
    all(scene).await.remove(0)
}

pub(crate) async fn shown(scene: &Scene, id: &str) -> Value {
    scene.shown(&format!("{ALERTS}/{id}")).await
}

pub(crate) async fn acknowledge(scene: &Scene, id: &str) -> Reply {
    scene.owner("POST", &format!("{ALERTS}/{id}/acknowledge"), &json!({})).await
}

pub(crate) async fn resolve(scene: &Scene, id: &str) -> Reply {
    scene.owner("POST", &format!("{ALERTS}/{id}/resolve"), &json!({"note": "a job ran wild"})).await
}

/// What time alone brings about.
pub(crate) async fn round(scene: &Scene) -> Round {
    watch::round(&scene.world.api.app).await.unwrap()
}

pub(crate) fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

//! What an instance counts, for a monitoring system. Numbers of the instance alone: no organization, key or app is named.

use actix_web::{HttpResponse, http::header::CONTENT_TYPE};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
    },
    registry::{Registry, Unit},
};
use statuspulse_app::{App, AppError};

use super::Answer;
use crate::http::Context;

/// The type of the text that is written (OpenMetrics 1.0).
const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What kind of row a clean-up took.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Rows {
    chore: &'static str,
}

/// Counters and gauges of this instance.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "OpenMetrics text, as Prometheus reads it", content_type = "text/plain")))]
pub(crate) async fn metrics(context: Context) -> Answer {
    let mut text = String::new();
    encode(&mut text, &registry(context.app())).map_err(AppError::internal)?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, TYPE)).body(text))
}

fn registry(app: &App) -> Registry {
    let mut all = Registry::with_prefix("statuspulse_auth");
    let flag = |value: bool| ConstGauge::new(i64::from(value));
    let replica = &app.replica;
    all.register("keys", "Keys held in memory", ConstGauge::new(count(replica.directory.len())));
    all.register("oauth_apps", "OAuth apps held in memory", ConstGauge::new(count(replica.oauth.apps())));
    all.register("oauth_access_tokens", "Access tokens held in memory", ConstGauge::new(count(replica.oauth.tokens())));
    all.register("feed_applied", "Number of the last change in force here", ConstGauge::new(replica.applied()));
    all.register_with_unit(
        "feed_age",
        "Since the change feed was last read",
        Unit::Seconds,
        ConstGauge::new(replica.age(app).as_secs_f64()),
    );
    all.register("feed_cut_off", "Whether the last try to read the change feed failed", flag(replica.is_cut_off()));
    all.register("stale", "Whether calls are refused because the feed is too old", flag(replica.is_stale(app)));
    all.register_with_unit(
        "clock_skew",
        "How far this machine's clock is from the database's",
        Unit::Seconds,
        ConstGauge::new(replica.clock_skew_ms() as f64 / 1_000.0),
    );
    let queries = ConstCounter::new(replica.queries() as u64);
    all.register("credential_queries", "Queries for credentials that were not in memory", queries);
    all.register("audit_lost", "Audit events that could not be kept", ConstCounter::new(app.recorder.lost()));
    all.register("audit_behind", "Whether audit events wait for the database", flag(app.recorder.is_behind()));
    let (succeeded, failed) = app.deliveries.read();
    all.register(
        "webhooks_delivered",
        "Attempts to deliver an event that were answered by a 2xx",
        ConstCounter::new(succeeded),
    );
    all.register("webhooks_failed", "Attempts to deliver an event that failed", ConstCounter::new(failed));
    let cleaned = Family::<Rows, Counter>::default();
    for (chore, rows) in app.oauth_cleaned.rows() {
        cleaned.get_or_create(&Rows { chore }).inc_by(rows);
    }
    all.register("oauth_cleanup_rows", "Rows that the clean-up has taken", cleaned);
    all.register("oauth_cleanup_rounds", "Rounds of the clean-up", ConstCounter::new(app.oauth_cleaned.rounds()));
    all
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

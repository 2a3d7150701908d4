//! Liveness, readiness, and the description of the API.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Answer;
use crate::{http::Context, openapi, state::State};

/// More than this between the database's clock and this machine's makes an instance unready.
const SKEW_LIMIT_MS: i64 = 60_000;

/// Liveness.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alive {
    status: &'static str,
}

/// Readiness.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, `degraded` or `unavailable`.
    status: &'static str,
    reasons: Vec<ReadinessReason>,
}

/// What is the matter.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadinessReason {
    code: &'static str,
    detail: String,
}

/// Liveness: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "the process answers", body = Alive)))]
pub(crate) async fn alive(_context: Context) -> Answer {
    Ok(HttpResponse::Ok().json(Alive { status: "ok" }))
}

/// Readiness: whether calls are judged.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "calls are judged; `degraded` names what is the matter", body = Readiness),
    (status = 503, description = "calls are not judged", body = Readiness)))]
pub(crate) async fn ready(context: Context) -> Answer {
    let (fatal, degraded) = reasons(&context.state);
    let (http, status) = match (fatal.is_empty(), degraded.is_empty()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "ready"),
    };
    let reasons = fatal.into_iter().chain(degraded).collect();
    Ok(HttpResponse::build(http).json(Readiness { status, reasons }))
}

fn reasons(state: &State) -> (Vec<ReadinessReason>, Vec<ReadinessReason>) {
    let app = &state.app;
    let reason = |code, detail: &str| ReadinessReason { code, detail: detail.to_owned() };
    let (mut fatal, mut degraded) = (Vec::new(), Vec::new());
    if app.replica.is_stale(app) {
        fatal.push(reason("stale", "the change feed could not be read for too long; keys are not judged"));
    } else if app.replica.is_cut_off() {
        degraded.push(reason("database_away", "the change feed can't be read; calls are judged from memory"));
    }
    if app.replica.clock_skew_ms().abs() > SKEW_LIMIT_MS {
        fatal.push(reason("clock_skew", "this machine's clock and the database's differ by more than 60 s"));
    }
    if state.catalog_refused() {
        degraded.push(reason("catalog_refused", "the catalog could not be read again; the one before is in force"));
    }
    if !state.outgoing.can_send {
        degraded.push(reason(
            "webhooks_unavailable",
            "no root certificates were found; install the system's CA certificates and restart, webhooks wait",
        ));
    }
    if app.recorder.is_behind(app) {
        degraded.push(reason("audit_behind", "audit events wait for the database"));
    }
    if app.recorder.is_full() {
        degraded.push(reason("audit_spool_full", "the audit spool has no room; see STATUSPULSE_AUDIT_SPOOL_LIMIT"));
    }
    let spool = app.recorder.figures();
    if spool.is_some_and(|figures| figures.bytes > figures.limit / 2) {
        degraded
            .push(reason("audit_spool_half", "the audit spool is more than half full; events wait for the database"));
    }
    if app.counters.is_impaired() {
        degraded
            .push(reason("counters_unavailable", "the shared counters can't be reached; this instance counts alone"));
    }
    if app.alert_watch.failing_deliveries() > 0 {
        degraded.push(reason(
            "alert_delivery_failing",
            "alerts could not be delivered to webhooks for an hour; the alerts name the webhooks",
        ));
    }
    if app.geo.is_broken() {
        degraded.push(reason("geo_database", "STATUSPULSE_GEO_DATABASE can't be read; events have no country"));
    }
    if app.recorder.lost() > 0 {
        degraded.push(reason("audit_lost", "audit events were lost since the start; a gap record says how many"));
    }
    (fatal, degraded)
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(crate) async fn openapi(_context: Context) -> Answer {
    Ok(HttpResponse::Ok().json(openapi::document()))
}

//! The kill switch for leaked credentials: open to everybody.

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::json;
use statuspulse_app::leaks::{self, Reported};
use utoipa::ToSchema;

use super::Answer;
use crate::http::{Context, body, body::Nul, error::Problem};

/// Tokens that somebody has found.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeakReport {
    /// 1 to 100.
    tokens: Vec<String>,
}

/// Report leaked credentials: those that are live are ended, and their owners alerted.
#[utoipa::path(post, path = "/v1/leaks", tag = "leaks", request_body = LeakReport, responses(
    (status = 202, description = "taken; says nothing about the tokens", content_type = "application/json"),
    (status = 422, description = "no tokens, or too many", body = Problem),
    (status = 429, description = "too many reports from this address", body = Problem)))]
pub(crate) async fn report(context: Context) -> Answer {
    // What was found is judged as it is, a NUL in it too; none of it is stored.
    let report: LeakReport = body::parse(&context.bytes().await?, Nul::Judged)?;
    let list = report.tokens.into_iter().map(Reported::new).collect();
    leaks::report(context.app(), &context.caller, list)?;
    Ok(HttpResponse::Accepted().json(json!({"status": "accepted"})))
}

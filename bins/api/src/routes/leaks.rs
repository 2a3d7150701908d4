//! The kill switch for leaked credentials: open to everybody.

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::json;
use statuspulse_app::{
    AppError,
    leaks::{self, Reported, github},
};
use utoipa::ToSchema;

use super::Answer;
use crate::http::{ApiError, Context, body, body::Nul, error::Problem};

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

/// Report what GitHub's secret scanning has found; signed by GitHub.
#[utoipa::path(post, path = "/v1/leaks/github", tag = "leaks", request_body = Vec<serde_json::Value>,
    params(("Github-Public-Key-Identifier" = String, Header), ("Github-Public-Key-Signature" = String, Header)), responses(
    (status = 202, description = "taken; says nothing about the tokens", content_type = "application/json"),
    (status = 400, description = "not signed by a current key of GitHub", body = Problem),
    (status = 503, description = "GitHub's keys are not set up, or can't be read", body = Problem)))]
pub(crate) async fn report_by_github(context: Context) -> Answer {
    let Some(keys) = &context.state.outgoing.github else {
        return Err(ApiError::http(
            503,
            "github_not_configured",
            "set STATUSPULSE_GITHUB_KEYS to take reports of GitHub",
        ));
    };
    let header = |name| context.header(name).ok().flatten();
    let (id, signature) = (header("github-public-key-identifier"), header("github-public-key-signature"));
    let body = context.bytes().await?;
    let judged = match (id, signature) {
        (Some(id), Some(signature)) => keys.judge(&id, &signature, &body).await?,
        _ => Err(github::Unsigned::Headers),
    };
    judged.map_err(|error| AppError::BadRequest { code: "not_signed", detail: error.to_string() })?;
    leaks::accept(context.app(), &context.caller, github::tokens(&body)?)?;
    Ok(HttpResponse::Accepted().json(json!({"status": "accepted"})))
}

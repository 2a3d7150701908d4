//! Alerts, and the rules that open them.

use actix_web::HttpResponse;
use serde::Deserialize;
use statuspulse_app::{
    alerts::{
        self, ListAlerts, Whose,
        settings::{self, RuleChange},
    },
    views::{AlertJson, AlertPageJson, RuleJson, RulesJson},
};
use utoipa::ToSchema;

use super::{Answer, dto::Nothing};
use crate::http::{
    Context,
    body::{given, not_null},
    error::Problem,
    query,
};

/// What came of an alert.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ending {
    /// What came of it, in 1 to 2,000 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = true)]
    note: Option<String>,
}

/// A change of a rule; what is left out stays. Threshold and action both null take the setting away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedRule {
    /// A rate opens at more, happenings at as many; null: the rule's own.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    threshold: Option<Option<i64>>,
    /// `none`, `disable_key` or `limit_rate`; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    action: Option<Option<String>>,
    /// Calls a minute to which `limit_rate` narrows the key.
    #[serde(default)]
    action_limit: Option<i64>,
    /// For one key alone; its setting takes the place of the organization's.
    #[serde(default)]
    key_id: Option<String>,
}

impl From<ChangedRule> for RuleChange {
    fn from(body: ChangedRule) -> Self {
        Self { threshold: body.threshold, action: body.action, action_limit: body.action_limit, key_id: body.key_id }
    }
}

/// List alerts, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/alerts", tag = "alerts",
    security(("session" = []), ("key" = ["alerts:read"])), params(("org" = String, Path),
        ("status" = Option<String>, Query, description = "`open`, `acknowledged` or `resolved`"),
        ("rule" = Option<String>, Query, description = "a word such as `call_rate`"),
        ("severity" = Option<String>, Query, description = "`low`, `medium`, `high` or `critical`"),
        ("subject" = Option<String>, Query, description = "id of what it is about"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = AlertPageJson),
    (status = 400, description = "a cursor of another list", body = Problem),
    (status = 422, description = "an unknown filter, or a word that is not known", body = Problem)))]
pub(crate) async fn list(context: Context) -> Answer {
    let known = ["status", "rule", "severity", "subject", "limit", "cursor"];
    let parameters = query::list_parameters(&context.request, &known)?;
    let given = |name| query::value(&parameters, name).map(str::to_owned);
    let asked = ListAlerts {
        status: given("status"),
        rule: given("rule"),
        severity: given("severity"),
        subject: given("subject"),
        limit: query::limit(&parameters)?,
        cursor: given("cursor"),
    };
    let page = alerts::list(context.app(), Whose::Of(context.access()?), &asked).await?;
    Ok(HttpResponse::Ok().json(AlertPageJson::from(page)))
}

/// Show an alert.
#[utoipa::path(get, path = "/v1/orgs/{org}/alerts/{id}", tag = "alerts",
    security(("session" = []), ("key" = ["alerts:read"])), params(("org" = String, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "the alert", body = AlertJson), (status = 404, body = Problem)))]
pub(crate) async fn show(context: Context) -> Answer {
    let view = alerts::show(context.app(), Whose::Of(context.access()?), context.id("alert")?).await?;
    Ok(HttpResponse::Ok().json(AlertJson::new(view)))
}

/// Take an alert, so that others know somebody looks after it. The body may be left out.
#[utoipa::path(post, path = "/v1/orgs/{org}/alerts/{id}/acknowledge", tag = "alerts", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "the alert", body = AlertJson),
    (status = 403, description = "only owner and admin may", body = Problem), (status = 404, body = Problem),
    (status = 409, description = "`already_resolved`", body = Problem)))]
pub(crate) async fn acknowledge(context: Context) -> Answer {
    let id = context.id("alert")?;
    let _: Nothing = context.json_or_empty().await?;
    let whose = Whose::Of(context.access()?);
    let view = alerts::acknowledge(context.app(), &context.caller, whose, id).await?;
    Ok(HttpResponse::Ok().json(AlertJson::new(view)))
}

/// Close an alert, with a note of what came of it.
#[utoipa::path(post, path = "/v1/orgs/{org}/alerts/{id}/resolve", tag = "alerts", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = Ending, responses(
    (status = 200, description = "the alert", body = AlertJson),
    (status = 403, description = "only owner and admin may", body = Problem), (status = 404, body = Problem),
    (status = 409, description = "`already_resolved`", body = Problem),
    (status = 422, description = "no note, or one that is too long or holds a secret", body = Problem)))]
pub(crate) async fn resolve(context: Context) -> Answer {
    let id = context.id("alert")?;
    let body: Ending = context.json_or_empty().await?;
    let whose = Whose::Of(context.access()?);
    let view = alerts::resolve(context.app(), &context.caller, whose, id, body.note.as_deref()).await?;
    Ok(HttpResponse::Ok().json(AlertJson::new(view)))
}

/// Every rule that opens alerts, with what is in force for the organization and its keys.
#[utoipa::path(get, path = "/v1/orgs/{org}/alert-rules", tag = "alerts",
    security(("session" = []), ("key" = ["alerts:read"])), params(("org" = String, Path)),
    responses((status = 200, description = "the rules", body = RulesJson), (status = 404, body = Problem)))]
pub(crate) async fn rules(context: Context) -> Answer {
    let rules = settings::rules(context.app(), context.access()?).await?;
    Ok(HttpResponse::Ok().json(RulesJson::from(rules)))
}

/// Set a rule's threshold, and what its opening does to the key by itself; for the organization or one of its keys.
#[utoipa::path(put, path = "/v1/orgs/{org}/alert-rules/{rule}", tag = "alerts", security(("session" = [])),
    params(("org" = String, Path), ("rule" = String, Path)), request_body = ChangedRule, responses(
    (status = 200, description = "the rule", body = RuleJson),
    (status = 403, description = "only owner and admin may", body = Problem), (status = 404, body = Problem),
    (status = 422, description = "`no_threshold`, `no_action`, `unknown_action`, `unknown_key`, `out_of_bounds`", body = Problem)))]
pub(crate) async fn change_rule(context: Context) -> Answer {
    let rule = context.request.match_info().get("rule").unwrap_or_default().to_owned();
    let body: ChangedRule = context.json().await?;
    let access = context.access()?;
    let view = settings::change(context.app(), &context.caller, access, &rule, &body.into()).await?;
    Ok(HttpResponse::Ok().json(RuleJson::from(view)))
}

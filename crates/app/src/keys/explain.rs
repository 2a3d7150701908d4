use chrono::{DateTime, Utc};
use statuspulse_audit::{Action, Class};
use statuspulse_policy::{ClientAddress, Explanation, KeyId, Request, Served, canonical_ip};
use statuspulse_store::keys;

use super::current_of;
use crate::{
    app::App,
    caller::{Access, Caller},
    counters::{self, Subject},
    error::AppError,
};

/// The call that is to be explained, as it comes from outside.
#[derive(Debug, Clone, Default)]
pub struct ExplainCall {
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Client address.
    pub client_ip: String,
    /// When; none means now.
    pub at: Option<DateTime<Utc>>,
}

/// Says how a call with the key's current version would be judged, step by step. Counts nothing and opens nothing; the
/// one event is that somebody asked.
///
/// # Errors
/// 404, 422 for an address that can't be read.
pub async fn explain(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: KeyId,
    call: &ExplainCall,
) -> Result<Explanation, AppError> {
    let address = call.client_ip.parse().map_err(|_| {
        AppError::field("client_ip", "invalid_address", "an address such as `203.0.113.7` or `2001:db8::1` is wanted")
    })?;
    let mut conn = app.conn().await?;
    let snapshot = keys::find(&mut conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
    let settings = &access.organization.settings;
    let grant = snapshot.key.grant(current_of(&snapshot)?, &settings.caps, settings.allowlist.as_ref());
    let catalog = app.catalog.load();
    let request = Request {
        client: ClientAddress::Known(canonical_ip(address)),
        served: Served::Any,
        requirement: catalog.requirement(&call.method, &call.path),
    };
    let mut explanation =
        statuspulse_policy::explain(&grant, &request, &catalog, call.at.unwrap_or_else(|| app.env.now()));
    // What was counted at another time is not known.
    if call.at.is_none()
        && app.is_started()
        && let Some(limit) = snapshot.key.rate_limit_per_minute
    {
        let subject = Subject { kind: "key", id: id.as_uuid(), organization: access.organization.id };
        explanation = explanation.with_rate(limit, counters::remaining(app, &subject, limit));
    }
    let event = caller
        .event(app, Class::A, Action::KeyExplain, Some(access.organization.id))?
        .with("key_id", id.to_string())
        .with("code", explanation.code.as_str());
    app.recorder.record(&mut conn, event).await?;
    caller.mark_recorded();
    Ok(explanation)
}

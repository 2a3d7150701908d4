//! Many people authorize a new app: consent phishing looks like that.

use chrono::{DateTime, Duration, Utc};
use statuspulse_audit::AlertRule;
use statuspulse_oauth::App as OauthApp;
use statuspulse_store::{Conn, alerts::Happening, habits};

use crate::{app::App, error::AppError, recorder};

/// An app is new for that long.
const NEW_APP: Duration = Duration::days(7);

/// The attack: an app that passes itself off as a known one, and is authorized by many before anybody looks.
pub(super) async fn watch(
    app: &App,
    conn: &mut Conn,
    oauth_app: &OauthApp,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    const RULE: AlertRule = AlertRule::ConsentSurge;
    if now - oauth_app.created_at >= NEW_APP {
        return Ok(());
    }
    let since = now - Duration::seconds(RULE.rule().window_seconds.into());
    let people = habits::consents(conn, oauth_app.id, since).await?;
    let threshold = habits::threshold(conn, RULE, oauth_app.organization_id, None).await?;
    if people.unsigned_abs() < threshold {
        return Ok(());
    }
    let subject = ("app", oauth_app.id);
    let mut happening = Happening::new(RULE, Some(oauth_app.organization_id), subject, now).with("people", people);
    happening.observed.threshold = Some(threshold);
    if !habits::is_open(conn, RULE, &oauth_app.id.to_string()).await? {
        happening.observed.count = people;
    }
    recorder::raise(app, conn, &happening).await?;
    Ok(())
}

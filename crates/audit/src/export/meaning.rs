//! What an event means to somebody who doesn't know our words: a sentence, how urgent it is, which key it is about.
//!
//! By words and not by [`crate::Action`]: a trail is also read by another release than the one that wrote it.

use serde_json::Value;

use crate::{Outcome, Severity, record::Entry};

/// How urgent an event is to those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// For the record.
    Informational,
    /// Refused, as it happens every day.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

/// How urgent: an alert as it is opened by its own severity, loss and leaks by what they are, the rest by its outcome.
pub(super) fn level(entry: &Entry) -> Level {
    let outcome = |outcome: Outcome| entry.outcome == outcome.as_str();
    match entry.action.as_str() {
        "alert.open" => alert_level(entry).into(),
        "audit.gap" => Level::Critical,
        // Anybody may report anything; what counts is what was found alive.
        "key.leaked" if entry.detail.get("ended").is_none_or(|ended| ended != 0) && outcome(Outcome::Allowed) => {
            Level::Critical
        }
        "credential.in_url" => Level::Medium,
        "audit.fold" => Level::Low,
        _ if outcome(Outcome::Allowed) => Level::Informational,
        _ if outcome(Outcome::Denied) => Level::Low,
        _ => Level::Medium,
    }
}

/// The severity that the event tells, or that of its rule at the first happening (audit §7).
fn alert_level(entry: &Entry) -> Severity {
    let told = match detail(entry, "severity") {
        Some("low") => Some(Severity::Low),
        Some("medium") => Some(Severity::Medium),
        Some("high") => Some(Severity::High),
        Some("critical") => Some(Severity::Critical),
        _ => None,
    };
    told.unwrap_or_else(|| match detail(entry, "rule").unwrap_or_default() {
        "new_country" => Severity::Low,
        "call_rate" | "ip_denied" | "rotated_key_used" | "refresh_reuse" | "code_replay" | "watch_impaired" => {
            Severity::High
        }
        "leaked_key" | "canary_used" | "integrity" | "audit_gap" => Severity::Critical,
        _ => Severity::Medium,
    })
}

/// The key that an event is about, or else the one that acted.
pub(super) fn key_id(entry: &Entry) -> Option<&str> {
    detail(entry, "key_id").or_else(|| entry.actor.id.as_deref().filter(|_| entry.actor.kind == "api_key"))
}

/// A detail that is a text and says something.
pub(super) fn detail<'a>(entry: &'a Entry, name: &str) -> Option<&'a str> {
    entry.detail.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// What happened, in a few words; the action itself where a newer release has one that is unknown here.
pub(super) fn sentence(action: &str) -> &str {
    match action {
        "api.call" => "API call judged",
        "key.create" => "API key created",
        "key.update" => "API key changed",
        "key.rotate" => "API key rotated",
        "key.revoke" => "API key revoked",
        "key.disable" => "API key disabled",
        "key.enable" => "API key enabled",
        "key.claim" => "Successor of an API key claimed",
        "key.expire" => "API key ended by a setting",
        "key.explain" => "Judgement of an API key explained",
        "key.leaked" => "Credentials reported as leaked",
        "credential.in_url" => "API key met in a URL",
        "settings.create" => "Organization created",
        "settings.update" => "Settings changed",
        "settings.pepper_rotate" => "Pepper of the look-up digests rotated",
        "settings.signing_key_rotate" => "Signing key of access tokens changed",
        "user.create" => "User created",
        "user.update" => "User changed",
        "user.password_change" => "Password of a user changed",
        "user.delete" => "User deleted",
        "member.add" => "Member added",
        "member.change" => "Role of a member changed",
        "member.remove" => "Member removed",
        "session.login" => "Sign-in",
        "session.logout" => "Sign-out",
        "app.create" => "OAuth app registered",
        "app.update" => "OAuth app changed",
        "app.delete" => "OAuth app deleted",
        "app.secret_create" => "Secret of an OAuth app created",
        "app.secret_revoke" => "Secret of an OAuth app revoked",
        "oauth.authorize" => "OAuth authorization asked",
        "oauth.token" => "OAuth tokens asked",
        "oauth.refresh" => "OAuth tokens refreshed",
        "oauth.revoke" => "OAuth token or grant revoked",
        "oauth.introspect" => "OAuth token introspected",
        "webhook.create" => "Webhook created",
        "webhook.update" => "Webhook changed",
        "webhook.delete" => "Webhook deleted",
        "webhook.secret_rotate" => "Signing secret of a webhook rotated",
        "webhook.test" => "Webhook tested",
        "webhook.retry" => "Webhook delivery queued again",
        "webhook.disable" => "Webhook switched off",
        "alert.open" => "Alert opened",
        "alert.acknowledge" => "Alert acknowledged",
        "alert.resolve" => "Alert resolved",
        "audit.read" => "Audit trail read",
        "audit.export" => "Audit trail exported",
        "audit.gap" => "Audit events lost",
        "audit.fold" => "Calls with unknown credentials folded",
        "audit.recovered" => "Audit spool recovered",
        "audit.checkpoint" => "Audit checkpoint written",
        "audit.erase" => "Address erased from the audit trail",
        "audit.retention" => "Day of the audit trail left the table",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, AlertRule, record::tests::record};

    #[test]
    fn every_action_has_a_sentence() {
        let without: Vec<_> =
            Action::ALL.iter().filter(|action| sentence(action.as_str()) == action.as_str()).collect();
        assert_eq!(without, Vec::<&Action>::new());
    }

    #[test]
    fn an_alert_is_as_urgent_as_its_rule() {
        let rules = [
            AlertRule::OutOfScope,
            AlertRule::RotatedKeyUsed,
            AlertRule::RevokedKeyUsed,
            AlertRule::LeakedKey,
            AlertRule::CanaryUsed,
            AlertRule::CredentialInUrl,
            AlertRule::RefreshReuse,
            AlertRule::CodeReplay,
            AlertRule::Integrity,
            AlertRule::AuditGap,
            AlertRule::WatchImpaired,
        ];
        let levels = rules.map(|rule| {
            let mut entry = record().entry;
            entry.action = "alert.open".into();
            entry.detail.insert("rule".into(), rule.as_str().into());
            level(&entry)
        });
        assert_eq!(levels, rules.map(|rule| Level::from(rule.severity(1))));
    }

    #[test]
    fn the_severity_that_an_alert_tells_goes_before_that_of_its_rule() {
        let mut entry = record().entry;
        entry.action = "alert.open".into();
        entry.detail.insert("rule".into(), "out_of_scope".into());
        entry.detail.insert("severity".into(), "high".into());
        assert_eq!(level(&entry), Level::High);
    }

    #[test]
    fn a_leak_report_that_ended_nothing_is_for_the_record() {
        let levels = [Value::from(0), Value::from(2), Value::Null].map(|ended| {
            let mut entry = record().entry;
            (entry.action, entry.outcome) = ("key.leaked".into(), "allowed".into());
            entry.detail.insert("ended".into(), ended);
            level(&entry)
        });
        assert_eq!(levels, [Level::Informational, Level::Critical, Level::Critical]);
    }

    #[test]
    fn a_refusal_is_low_and_our_own_fault_medium() {
        let levels = ["allowed", "denied", "failed"].map(|outcome| {
            let mut entry = record().entry;
            entry.outcome = outcome.into();
            level(&entry)
        });
        assert_eq!(levels, [Level::Informational, Level::Low, Level::Medium]);
    }
}

//! What opens an alert (audit §7). The rules that count come with the anomaly detection; these open at one happening.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// Distinct routes and networks that the evidence names.
const EVIDENCE_LIST: usize = 20;

/// A rule that opens an alert at its first happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertRule {
    /// A key was refused for scope.
    OutOfScope,
    /// The token of a rotated-away version was used after its end.
    RotatedKeyUsed,
    /// The token of a revoked key was used.
    RevokedKeyUsed,
    /// A live credential was reported as leaked.
    LeakedKey,
    /// A honeytoken was used.
    CanaryUsed,
    /// A live key stood in a URL.
    CredentialInUrl,
    /// A refresh token that was used before was used again.
    RefreshReuse,
    /// An authorization code that was redeemed was presented again, with everything that belongs to it.
    CodeReplay,
    /// A stored hash doesn't fit its token or isn't one of ours: somebody has changed the table.
    Integrity,
    /// Events were lost.
    AuditGap,
    /// What tells people doesn't reach them: an endpoint answers no more.
    WatchImpaired,
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl AlertRule {
    /// Version of the rules' wording and thresholds, kept in the evidence.
    pub const VERSION: u32 = 1;

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfScope => "out_of_scope",
            Self::RotatedKeyUsed => "rotated_key_used",
            Self::RevokedKeyUsed => "revoked_key_used",
            Self::LeakedKey => "leaked_key",
            Self::CanaryUsed => "canary_used",
            Self::CredentialInUrl => "credential_in_url",
            Self::RefreshReuse => "refresh_reuse",
            Self::CodeReplay => "code_replay",
            Self::Integrity => "integrity",
            Self::AuditGap => "audit_gap",
            Self::WatchImpaired => "watch_impaired",
        }
    }

    /// The severity at a count of happenings.
    #[must_use]
    pub const fn severity(self, count: i64) -> Severity {
        match self {
            Self::OutOfScope if count < 100 => Severity::Medium,
            Self::OutOfScope | Self::RotatedKeyUsed | Self::RefreshReuse | Self::CodeReplay | Self::WatchImpaired => {
                Severity::High
            }
            Self::RevokedKeyUsed | Self::CredentialInUrl => Severity::Medium,
            Self::LeakedKey | Self::CanaryUsed | Self::Integrity | Self::AuditGap => Severity::Critical,
        }
    }

    /// The criteria of SOC 2 (Trust Services Criteria, common criteria) to which it is evidence.
    #[must_use]
    pub const fn controls(self) -> &'static [&'static str] {
        match self {
            Self::OutOfScope | Self::RotatedKeyUsed | Self::RevokedKeyUsed | Self::RefreshReuse | Self::CodeReplay => {
                &["CC6.1", "CC7.2"]
            }
            Self::LeakedKey | Self::CanaryUsed | Self::CredentialInUrl => &["CC6.1", "CC7.3", "CC7.4"],
            Self::Integrity => &["CC7.2", "CC7.3"],
            Self::AuditGap | Self::WatchImpaired => &["CC7.2", "A1.2"],
        }
    }

    /// What an auditor asks for: the rule as it was, what was observed, first and last, routes and sources. Builds on the
    /// evidence that an open alert already holds.
    #[must_use]
    pub fn evidence(
        self,
        before: Option<&Value>,
        facts: &Map<String, Value>,
        count: i64,
        (first, last): (DateTime<Utc>, DateTime<Utc>),
        routes: &[String],
        sources: &[String],
    ) -> Value {
        let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let held = |name: &str| before.and_then(|evidence| evidence.get(name));
        let mut evidence = facts.clone();
        let mut put = |name: &str, value: Value| evidence.insert(name.to_owned(), value);
        put("rule_version", json!(Self::VERSION));
        put("threshold", json!(1));
        put("window_seconds", json!(0));
        put("observed", json!(count));
        put("peak", json!(count));
        put("first_seen_at", held("first_seen_at").cloned().unwrap_or_else(|| json!(text(first))));
        put("last_seen_at", json!(text(last)));
        put("routes", merged(held("routes"), routes));
        put("sources", merged(held("sources"), sources));
        put("deliveries", held("deliveries").cloned().unwrap_or_else(|| json!([])));
        put("control", json!(self.controls()));
        Value::Object(evidence)
    }
}

fn merged(held: Option<&Value>, fresh: &[String]) -> Value {
    let mut all: Vec<Value> = held.and_then(Value::as_array).cloned().unwrap_or_default();
    for text in fresh {
        if all.len() < EVIDENCE_LIST && !all.iter().any(|known| known.as_str() == Some(text)) {
            all.push(json!(text));
        }
    }
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_refusals_for_scope_are_of_high_severity() {
        let severities = [1, 99, 100].map(|count| AlertRule::OutOfScope.severity(count));
        assert_eq!(severities, [Severity::Medium, Severity::Medium, Severity::High]);
    }
}

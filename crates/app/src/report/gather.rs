//! From what the tables tell to what stands in a report.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use statuspulse_audit::{
    Action,
    redact::redact,
    report::{Period, Release},
    verify,
};
use statuspulse_keys::{Creator, Status, lifespan::LifespanCaps};
use statuspulse_store::{
    keys::ListedKey,
    organizations::Organization,
    report::{self as store, Asked, Facts, Part},
};
use url::Url;

use super::{
    LISTED, LONG_DAYS,
    content::{
        AccessPart, Acknowledged, Actor, Alert, Alerts, Change, Count, Endpoint, FORMAT, Failed, Key, Keys, List,
        LongLived, Person, Report, Resolved, Rotation, SignIns, Subject, Summary, Trail, Version, Webhooks,
    },
    controls,
    figures::{median_minutes, minutes_between},
    owner,
};
use crate::{app::App, maintenance::KEEP_EVENTS};

/// Families of actions that change who may do what.
const FAMILIES: [&str; 6] = ["key.", "user.", "member.", "app.", "settings.", "webhook."];
/// Those beside the families.
const OTHERS: [Action; 3] = [Action::OauthAuthorize, Action::OauthRevoke, Action::AuditErase];
/// Those of the families that change nothing.
const QUESTIONS: [Action; 3] = [Action::KeyExplain, Action::WebhookTest, Action::WebhookRetry];

/// Who made a report, when and with what.
pub(super) struct Made {
    pub(super) at: DateTime<Utc>,
    pub(super) by: statuspulse_audit::Actor,
    pub(super) with: Release,
}

pub(super) fn asked(organization: &Organization, period: Period, now: DateTime<Utc>) -> Asked {
    let changes = || Action::ALL.iter().filter(|action| is_change(**action));
    let words = |actions: &mut dyn Iterator<Item = &Action>| actions.map(|action| action.as_str().to_owned()).collect();
    Asked {
        organization: organization.id,
        from: period.from,
        to: period.to,
        now,
        caps: organization.settings.caps,
        long_days: LONG_DAYS.cast_signed(),
        listed: LISTED.try_into().unwrap_or(i64::MAX),
        changes: words(&mut changes()),
        of_service: words(&mut changes().chain([&Action::SessionLogin])),
    }
}

fn is_change(action: Action) -> bool {
    let is_of_family = FAMILIES.iter().any(|family| action.as_str().starts_with(family));
    is_of_family && !QUESTIONS.contains(&action) || OTHERS.contains(&action)
}

pub(super) fn report(
    app: &App,
    organization: &Organization,
    period: Period,
    made: Made,
    facts: Facts,
    (verified, drained): (verify::Report, bool),
) -> Report {
    let caps = organization.settings.caps;
    let notes = notes(app, period, made.at, &facts);
    let keys = list(facts.keys, |(listed, email)| key(app, &listed, email, &caps, period, made.at));
    let long_lived = long_lived(facts.long_lived);
    let access = access(facts.people, facts.counts, facts.changes);
    let alerts = alerts(facts.alerts, &facts.alert_times);
    let service_alerts = self::alerts(facts.service_alerts, &facts.service_alert_times);
    let webhooks = webhooks(facts.endpoints, facts.failed, made.at);
    let rotations = list(facts.rotations, rotation);
    let summary = summary(&keys, &rotations, &long_lived, &access, [&alerts, &service_alerts], &webhooks, &verified);
    Report {
        format: FORMAT,
        organization: owner(organization),
        period,
        made_at: made.at,
        made_by: Actor { kind: made.by.kind().to_owned(), id: made.by.id(), email: None },
        made_with: made.with,
        list_limit: LISTED,
        notes,
        controls: controls::mapping(),
        summary,
        keys: Keys { as_of: made.at, list: keys },
        rotations,
        long_lived,
        access,
        alerts,
        service_alerts,
        webhooks,
        trail: Trail { report: verified, drained },
    }
}

fn list<Row, Item>(part: Part<Row>, read: impl FnMut(Row) -> Item) -> List<Item> {
    let items: Vec<Item> = part.items.into_iter().map(read).collect();
    List { total: part.total, listed: items.len(), items }
}

fn notes(app: &App, period: Period, now: DateTime<Utc>, facts: &Facts) -> Vec<String> {
    let mut notes = vec![
        "Keys, members, endpoints and the outcome of alerts are shown as they stood when the report was made; the tables keep no \
         earlier state. Every change since is in the audit trail."
            .to_owned(),
    ];
    let mut add = |is_so: bool, text: String| {
        if is_so {
            notes.push(text);
        }
    };
    let deliveries_from = now - KEEP_EVENTS;
    let days = KEEP_EVENTS.num_days();
    add(
        period.from < deliveries_from,
        format!(
            "Deliveries of webhooks are kept for {days} days: those of the period that are older are not in this report."
        ),
    );
    let keep = chrono::Duration::from_std(app.audit.keep_changes).unwrap_or(chrono::Duration::MAX);
    add(
        now.checked_sub_signed(keep).is_some_and(|kept_from| period.from < kept_from),
        format!(
            "Changes stay in the audit trail for {} days: those of the period that are older are in the archive, not in this report.",
            keep.num_days()
        ),
    );
    let cut = [
        facts.keys.total,
        facts.rotations.total,
        facts.long_lived.versions.total,
        facts.changes.total,
        facts.alerts.total,
        facts.service_alerts.total,
        facts.failed.total,
    ];
    add(
        cut.iter().any(|total| usize::try_from(*total).is_ok_and(|total| total > LISTED)),
        format!("A list shows its first {LISTED} entries; the total stands above it, and figures count all of them."),
    );
    notes
}

fn summary(
    keys: &List<Key>,
    rotations: &List<Rotation>,
    long_lived: &LongLived,
    access: &AccessPart,
    [alerts, service_alerts]: [&Alerts; 2],
    webhooks: &Webhooks,
    verified: &verify::Report,
) -> Summary {
    let active = || keys.items.iter().filter(|key| key.status == Status::Active.as_str() && !key.canary);
    let delivered: u64 =
        webhooks.endpoints.iter().map(|endpoint| endpoint.succeeded + endpoint.failed + endpoint.pending).sum();
    let of_organization = access.counts.iter().any(|count| !count.of_service);
    Summary {
        nothing_happened: !of_organization && rotations.total == 0 && alerts.list.total == 0 && delivered == 0,
        keys: keys.total,
        keys_active: active().count() as u64,
        keys_without_allowlist: active().filter(|key| key.allowlist == "none").count() as u64,
        rotations: rotations.total,
        keys_beyond_90_days: long_lived.beyond_limit,
        changes: access.changes.total,
        sign_ins: access.sign_ins.succeeded,
        sign_in_failures: access.sign_ins.failed,
        alerts: alerts.list.total,
        alerts_open: alerts.open,
        service_alerts: service_alerts.list.total,
        deliveries_failed: webhooks.failed.total,
        trail: verified.verdict,
    }
}

fn key(
    app: &App,
    listed: &ListedKey,
    email: Option<String>,
    caps: &LifespanCaps,
    period: Period,
    now: DateTime<Utc>,
) -> Key {
    let (key, current) = (&listed.key, &listed.current);
    let (kind, id) = match &key.created_by {
        Creator::User(id) => ("user", id.to_string()),
        Creator::Operator(name) => ("operator", name.clone()),
    };
    let networks = key.allowlist.as_ref().map(statuspulse_policy::Allowlist::entries).unwrap_or_default();
    Key {
        id: key.id.as_uuid(),
        name: key.name.clone(),
        environment: key.environment.as_str(),
        hint: current.hint.clone(),
        scopes: app.catalog.load().names(key.scopes).into_iter().map(str::to_owned).collect(),
        created_at: key.created_at,
        created_by: Actor { kind: kind.to_owned(), id: Some(id), email },
        age_days: (period.to - key.created_at).num_days(),
        expires_at: caps.effective_end(key.environment, current.created_at, current.expires_at),
        status: key.status(current, caps, now).as_str(),
        revoked_at: key.revoked_at,
        version: key.current_version,
        rotations: key.current_version - 1,
        allowlist: match (&key.allowlist, key.allow_any) {
            (None, _) => "none",
            (Some(_), true) => "allow_any",
            (Some(_), false) => "own",
        },
        allowed_cidrs: networks.iter().map(ToString::to_string).collect(),
        last_used_at: key.last_used_at,
        canary: key.canary,
    }
}

fn rotation(row: store::Rotation) -> Rotation {
    Rotation {
        key_id: row.key_id,
        key_name: row.key_name,
        environment: row.environment,
        version: row.version,
        at: row.at,
        how: if row.picked_up { "picked_up" } else { "rotated" },
        previous_valid_until: row.previous_valid_until,
    }
}

fn long_lived(part: store::LongLived) -> LongLived {
    let list = list(part.versions, |row| Version {
        key_id: row.key_id,
        key_name: row.key_name,
        days: (row.ends_at - row.created_at).num_days(),
        is_allowed: row.environment == "staging",
        environment: row.environment,
        version: row.version,
        created_at: row.created_at,
        ends_at: row.ends_at,
    });
    LongLived { limit_days: LONG_DAYS, beyond_limit: part.beyond, list }
}

fn access(
    people: Vec<(statuspulse_store::users::User, statuspulse_policy::Role)>,
    counts: Vec<store::Count>,
    changes: Part<store::Change>,
) -> AccessPart {
    let login = Action::SessionLogin.as_str();
    let logins = |of_service: bool, allowed: bool| {
        let of_kind = counts.iter().filter(|count| {
            count.action == login && count.of_service == of_service && (count.outcome == "allowed") == allowed
        });
        of_kind.map(|count| count.number.unsigned_abs()).sum()
    };
    AccessPart {
        people: people
            .into_iter()
            .map(|(user, role)| Person {
                id: user.id.as_uuid(),
                email: user.email,
                name: user.name,
                role: role.as_str(),
                disabled_at: user.disabled_at,
            })
            .collect(),
        sign_ins: SignIns {
            succeeded: logins(false, true),
            failed: logins(false, false),
            failed_for_unknown_accounts: logins(true, false),
        },
        changes: list(changes, change),
        counts: counts
            .into_iter()
            .map(|count| Count {
                action: count.action,
                outcome: count.outcome,
                of_service: count.of_service,
                number: count.number.unsigned_abs(),
            })
            .collect(),
    }
}

fn change(row: store::Change) -> Change {
    let mut detail = match row.detail {
        Value::Object(detail) => detail,
        _ => Map::new(),
    };
    // How long an answer took is no evidence.
    detail.remove("latency_us");
    let names = [row.key_name, row.app_name, row.user_email, None, None];
    let kinds =
        [("key", "key_id"), ("app", "app_id"), ("user", "user_id"), ("grant", "grant_id"), ("webhook", "webhook_id")];
    let subject = kinds.into_iter().zip(names).find_map(|((kind, field), name)| {
        let id = detail.get(field)?.as_str()?.to_owned();
        Some(Subject { kind: kind.to_owned(), id, name })
    });
    Change {
        event_id: row.id,
        at: row.occurred_at,
        action: row.action,
        outcome: row.outcome,
        reason: row.reason,
        actor: Actor { kind: row.actor_kind, id: row.actor_id, email: row.actor_email },
        subject,
        of_service: row.of_service,
        detail,
    }
}

fn alerts(part: Part<store::Alert>, times: &[store::AlertTimes]) -> Alerts {
    let resolved = times.iter().filter(|times| times.is_resolved).count() as u64;
    Alerts {
        open: part.total.saturating_sub(resolved),
        acknowledged: times.iter().filter(|times| times.to_acknowledge.is_some()).count() as u64,
        resolved,
        median_minutes_to_acknowledge: median_minutes(times.iter().filter_map(|times| times.to_acknowledge)),
        median_minutes_to_resolve: median_minutes(times.iter().filter_map(|times| times.to_resolve)),
        list: list(part, alert),
    }
}

fn alert(row: store::Alert) -> Alert {
    let said = |name: &str| row.resolution.as_ref().and_then(|resolution| resolution.get(name));
    let text = |name: &str| said(name).and_then(Value::as_str).map(str::to_owned);
    let closer = said("by").and_then(|by| match by {
        Value::Object(by) => ["email", "id", "kind"].iter().find_map(|name| by.get(*name)?.as_str()).map(str::to_owned),
        other => other.as_str().map(str::to_owned),
    });
    let resolved = row.resolved_at.map(|at| Resolved {
        how: text("kind"),
        by: row.resolved_by_email.clone().or(closer),
        at,
        minutes: minutes_between(row.opened_at, at),
        // People write here, and what people write may hold a secret.
        note: text("note").map(|note| redact(&note).into_owned()),
    });
    let controls = row.controls.as_ref().and_then(Value::as_array).into_iter().flatten();
    Alert {
        controls: controls.filter_map(Value::as_str).map(str::to_owned).collect(),
        acknowledged: row.acknowledged_at.map(|at| Acknowledged {
            by: row.acknowledged_by,
            at,
            minutes: minutes_between(row.opened_at, at),
        }),
        resolved,
        id: row.id,
        rule: row.rule,
        severity: row.severity,
        subject: Subject { kind: row.subject_kind, id: row.subject, name: row.subject_name },
        status: row.status,
        count: row.count,
        opened_at: row.opened_at,
        last_seen_at: row.last_seen_at,
    }
}

fn webhooks(endpoints: Vec<store::Endpoint>, failed: Part<store::Failed>, now: DateTime<Utc>) -> Webhooks {
    let endpoints: Vec<Endpoint> = endpoints
        .into_iter()
        .map(|row| Endpoint {
            id: row.id,
            origin: origin(&row.url),
            kind: row.kind,
            status: row.status,
            disabled_reason: row.disabled_reason,
            succeeded: row.succeeded.unsigned_abs(),
            failed: row.failed.unsigned_abs(),
            pending: row.pending.unsigned_abs(),
        })
        .collect();
    let failed = list(failed, |row| Failed {
        id: row.id,
        origin: endpoints
            .iter()
            .find(|endpoint| endpoint.id == row.endpoint_id)
            .map(|endpoint| endpoint.origin.clone()),
        endpoint_id: row.endpoint_id,
        event_type: row.event_type,
        at: row.created_at,
        attempts: row.attempts,
        last_attempt_at: row.last_attempt_at,
        response_status: row.response_status,
        error: row.error,
    });
    Webhooks { complete_from: now - KEEP_EVENTS, endpoints, failed }
}

/// Scheme and host: who knows the path of some addresses can write there.
fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "unknown".to_owned(), |url| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_asks_is_no_change() {
        let actions =
            [Action::KeyRevoke, Action::SettingsUpdate, Action::OauthRevoke, Action::KeyExplain, Action::ApiCall];
        assert_eq!(actions.map(is_change), [true, true, true, false, false]);
    }

    #[test]
    fn of_an_address_only_scheme_and_host_are_shown() {
        let shown = ["https://hooks.example.test/services/T0/B0/secret?x=1", "https://u:p@a.test:8443/", "nonsense"];
        assert_eq!(shown.map(origin), ["https://hooks.example.test", "https://a.test:8443", "unknown"]);
    }
}

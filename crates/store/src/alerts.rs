//! Alerts: one per organization, rule and subject while it is not resolved.

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension as _, QueryableByName, sql_query,
    sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::{
    AlertRule, Severity,
    anomaly::{Incident, Observed, Resolution, Status, incident::REOPENS_AFTER},
};
use statuspulse_policy::{AlertId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros};

pub mod life;
pub mod read;
pub mod settings;

pub use read::Alert;

/// Happenings of one rule about one subject.
#[derive(Debug, Clone)]
pub struct Happening {
    /// The rule.
    pub rule: AlertRule,
    /// Whose.
    pub organization: Option<OrganizationId>,
    /// What the subject is: `key`, `grant`, `app`, `webhook`, `network`, `instance`, `trail`.
    pub subject_kind: &'static str,
    /// Id of the subject.
    pub subject: String,
    /// How many, when, where and from where.
    pub observed: Observed,
}

impl Happening {
    /// One, of which nothing else is known.
    pub fn new(
        rule: AlertRule,
        organization: Option<OrganizationId>,
        (subject_kind, subject): (&'static str, impl ToString),
        at: DateTime<Utc>,
    ) -> Self {
        Self { rule, organization, subject_kind, subject: subject.to_string(), observed: Observed::at(at) }
    }

    /// Adds what else is known: an id or a number.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.observed.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Adds where it happened, and from which network.
    #[must_use]
    pub fn at_place(mut self, route: Option<&str>, source: Option<String>) -> Self {
        self.observed.routes.extend(route.map(str::to_owned));
        self.observed.sources.extend(source);
        self
    }

    /// Names its event in the audit trail.
    #[must_use]
    pub fn of_event(mut self, event: Uuid) -> Self {
        self.observed.events.push(event);
        self
    }
}

/// What came of a happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// It has opened an alert.
    Opened,
    /// It belongs to one that is not resolved, and was added.
    Continued,
    /// It belongs to one that a person has resolved while its cause went on.
    Covered,
}

#[derive(QueryableByName)]
struct Unresolved {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    severity: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Jsonb)]
    evidence: Value,
}

#[derive(QueryableByName)]
struct Ended {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    opened_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    busy_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    resolved_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
}

/// Opens an alert, or adds to the one that is not resolved. The unique index makes one of many at once; call it in a
/// transaction.
///
/// # Errors
/// When the database can't be reached.
pub async fn raise(conn: &mut Conn, id: AlertId, happening: &Happening) -> Result<Raised, StoreError> {
    // Between the statements somebody else may open or resolve the alert; then the next round finds what is there by then.
    loop {
        if proceed(conn, happening).await? {
            return Ok(Raised::Continued);
        }
        if cover(conn, happening).await? {
            return Ok(Raised::Covered);
        }
        if open(conn, id, happening).await? {
            return Ok(Raised::Opened);
        }
    }
}

/// Adds to the one that is not resolved, if there is one.
async fn proceed(conn: &mut Conn, happening: &Happening) -> Result<bool, StoreError> {
    let (rule, observed) = (happening.rule, &happening.observed);
    let held: Option<Unresolved> = sql_query(
        "SELECT id, severity, count, evidence FROM alerts
         WHERE coalesce(organization_id, '00000000-0000-0000-0000-000000000000')
                   = coalesce($1, '00000000-0000-0000-0000-000000000000')
           AND rule = $2 AND subject = $3 AND status <> 'resolved' FOR NO KEY UPDATE",
    )
    .bind::<Nullable<SqlUuid>, _>(happening.organization.map(OrganizationId::as_uuid))
    .bind::<Text, _>(rule.as_str())
    .bind::<Text, _>(&happening.subject)
    .get_result(conn)
    .await
    .optional()?;
    let Some(held) = held else { return Ok(false) };
    let severity = Severity::from_word(&held.severity);
    let severity = severity.ok_or_else(|| StoreError::corrupt("alerts", "severity", held.id))?;
    let count = rule.counted(held.count, observed.count);
    sql_query(
        "UPDATE alerts SET count = $2, last_seen_at = GREATEST(last_seen_at, $3), severity = $4, evidence = $5,
             busy_at = GREATEST(coalesce(busy_at, last_seen_at), $3)
         WHERE id = $1",
    )
    .bind::<SqlUuid, _>(held.id)
    .bind::<BigInt, _>(count)
    .bind::<Timestamptz, _>(micros(observed.last_at))
    .bind::<Text, _>(severity.max(rule.severity(count)).as_str())
    .bind::<Jsonb, _>(observed.evidence(rule, Some(&held.evidence), count))
    .execute(conn)
    .await?;
    Ok(true)
}

/// Whether the newest one was resolved by a person and still covers the happening: then only the time moves on at which its
/// cause was last seen.
async fn cover(conn: &mut Conn, happening: &Happening) -> Result<bool, StoreError> {
    let newest: Option<Ended> = sql_query(
        "SELECT id, opened_at, coalesce(busy_at, last_seen_at) AS busy_at, resolved_at, resolution ->> 'kind' AS kind
         FROM alerts
         WHERE rule = $2 AND subject = $3 AND status = 'resolved' AND resolved_at > $4
           AND coalesce(organization_id, '00000000-0000-0000-0000-000000000000')
                   = coalesce($1, '00000000-0000-0000-0000-000000000000')
         ORDER BY resolved_at DESC, id DESC LIMIT 1",
    )
    .bind::<Nullable<SqlUuid>, _>(happening.organization.map(OrganizationId::as_uuid))
    .bind::<Text, _>(happening.rule.as_str())
    .bind::<Text, _>(&happening.subject)
    .bind::<Timestamptz, _>(micros(happening.observed.first_at) - REOPENS_AFTER)
    .get_result(conn)
    .await
    .optional()?;
    let Some(ended) = newest else { return Ok(false) };
    let kind = ended.kind.as_deref().and_then(Resolution::from_word);
    let kind = kind.ok_or_else(|| StoreError::corrupt("alerts", "resolution", ended.id))?;
    let incident = Incident {
        rule: happening.rule,
        status: Status::Resolved,
        opened_at: ended.opened_at,
        busy_at: ended.busy_at,
        resolved: Some((kind, ended.resolved_at)),
    };
    if !incident.covers(happening.observed.first_at) {
        return Ok(false);
    }
    sql_query("UPDATE alerts SET busy_at = GREATEST(coalesce(busy_at, last_seen_at), $2) WHERE id = $1")
        .bind::<SqlUuid, _>(ended.id)
        .bind::<Timestamptz, _>(micros(happening.observed.last_at))
        .execute(conn)
        .await?;
    Ok(true)
}

/// Opens one, unless somebody else has at this moment.
async fn open(conn: &mut Conn, id: AlertId, happening: &Happening) -> Result<bool, StoreError> {
    let (rule, observed) = (happening.rule, &happening.observed);
    let opened = sql_query(
        "INSERT INTO alerts (id, organization_id, rule, subject_kind, subject, severity, status, opened_at,
                             last_seen_at, busy_at, count, evidence)
         VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, $8, $8, $9, $10)
         ON CONFLICT (coalesce(organization_id, '00000000-0000-0000-0000-000000000000'), rule, subject)
             WHERE status <> 'resolved' DO NOTHING",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Nullable<SqlUuid>, _>(happening.organization.map(OrganizationId::as_uuid))
    .bind::<Text, _>(rule.as_str())
    .bind::<Text, _>(happening.subject_kind)
    .bind::<Text, _>(&happening.subject)
    .bind::<Text, _>(rule.severity(observed.count).as_str())
    .bind::<Timestamptz, _>(micros(observed.first_at))
    .bind::<Timestamptz, _>(micros(observed.last_at))
    .bind::<BigInt, _>(observed.count)
    .bind::<Jsonb, _>(observed.evidence(rule, None, observed.count))
    .execute(conn)
    .await?;
    Ok(opened == 1)
}

//! Alerts: one per organization, rule and subject while it is not resolved.

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension as _, QueryableByName, sql_query,
    sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::{AlertRule, anomaly::Observed};
use statuspulse_policy::{AlertId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros};

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

#[derive(QueryableByName)]
struct OpenAlert {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Jsonb)]
    evidence: Value,
}

/// Opens an alert, or adds to the one that is open; answers whether it was opened. The unique index makes one of many at
/// once; call it in a transaction.
///
/// # Errors
/// When the database can't be reached.
pub async fn raise(conn: &mut Conn, id: AlertId, happening: &Happening) -> Result<bool, StoreError> {
    let organization = happening.organization.map(OrganizationId::as_uuid);
    let observed = &happening.observed;
    // Between the two statements an alert can be resolved by someone else; then the next round opens a new one.
    loop {
        let opened = sql_query(
            "INSERT INTO alerts (id, organization_id, rule, subject_kind, subject, severity, status, opened_at,
                                 last_seen_at, count, evidence)
             VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, $8, $9, $10)
             ON CONFLICT (coalesce(organization_id, '00000000-0000-0000-0000-000000000000'), rule, subject)
                 WHERE status <> 'resolved' DO NOTHING",
        )
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<Nullable<SqlUuid>, _>(organization)
        .bind::<Text, _>(happening.rule.as_str())
        .bind::<Text, _>(happening.subject_kind)
        .bind::<Text, _>(&happening.subject)
        .bind::<Text, _>(happening.rule.severity(observed.count).as_str())
        .bind::<Timestamptz, _>(micros(observed.first_at))
        .bind::<Timestamptz, _>(micros(observed.last_at))
        .bind::<BigInt, _>(observed.count)
        .bind::<Jsonb, _>(observed.evidence(happening.rule, None, observed.count))
        .execute(conn)
        .await?;
        if opened == 1 {
            return Ok(true);
        }
        let open: Option<OpenAlert> = sql_query(
            "SELECT id, count, evidence FROM alerts
             WHERE coalesce(organization_id, '00000000-0000-0000-0000-000000000000')
                       = coalesce($1, '00000000-0000-0000-0000-000000000000')
               AND rule = $2 AND subject = $3 AND status <> 'resolved' FOR UPDATE",
        )
        .bind::<Nullable<SqlUuid>, _>(organization)
        .bind::<Text, _>(happening.rule.as_str())
        .bind::<Text, _>(&happening.subject)
        .get_result(conn)
        .await
        .optional()?;
        let Some(open) = open else { continue };
        let count = happening.rule.counted(open.count, observed.count);
        let evidence = observed.evidence(happening.rule, Some(&open.evidence), count);
        sql_query(
            "UPDATE alerts SET count = $2, last_seen_at = GREATEST(last_seen_at, $3), severity = $4, evidence = $5
             WHERE id = $1",
        )
        .bind::<SqlUuid, _>(open.id)
        .bind::<BigInt, _>(count)
        .bind::<Timestamptz, _>(micros(observed.last_at))
        .bind::<Text, _>(happening.rule.severity(count).as_str())
        .bind::<Jsonb, _>(evidence)
        .execute(conn)
        .await?;
        return Ok(false);
    }
}

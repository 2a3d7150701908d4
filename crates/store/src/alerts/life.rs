//! What becomes of alerts. Each step is guarded by where the alert is: of two at once one finds it taken, and says so.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::json;
use statuspulse_audit::{
    AlertRule, Severity,
    anomaly::{
        Resolution,
        incident::{escalates_at, quiet},
    },
};
use statuspulse_keys::Creator;
use statuspulse_policy::AlertId;
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    rows::{creator_words, micros},
};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

fn ids(rows: Vec<Id>) -> Vec<AlertId> {
    rows.into_iter().map(|row| AlertId::from_uuid(row.id)).collect()
}

/// Notes who took an alert; `false` when it is resolved.
///
/// # Errors
/// When the database can't be reached.
pub async fn acknowledge(conn: &mut Conn, id: AlertId, by: &Creator, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let (user, operator) = match by {
        Creator::User(id) => (Some(id.as_uuid()), None),
        Creator::Operator(name) => (None, Some(name)),
    };
    let taken = sql_query(
        "UPDATE alerts SET status = 'acknowledged', acknowledged_at = $2, acknowledged_by = $3, acknowledged_operator = $4
         WHERE id = $1 AND status <> 'resolved'",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(micros(now))
    .bind::<Nullable<SqlUuid>, _>(user)
    .bind::<Nullable<Text>, _>(operator)
    .execute(conn)
    .await?;
    Ok(taken == 1)
}

/// Closes an alert for a person; `false` when it is resolved already.
///
/// # Errors
/// When the database can't be reached.
pub async fn resolve(
    conn: &mut Conn,
    id: AlertId,
    by: &Creator,
    note: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (kind, by) = creator_words(by);
    let resolution = json!({"kind": Resolution::Manual.as_str(), "by_kind": kind, "by": by, "note": note});
    let closed = sql_query(
        "UPDATE alerts SET status = 'resolved', resolved_at = $2, resolution = $3 WHERE id = $1 AND status <> 'resolved'",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(micros(now))
    .bind::<Jsonb, _>(resolution)
    .execute(conn)
    .await?;
    Ok(closed == 1)
}

/// Alerts whose cause has ceased for as long as their rule asks, those first that have for longest.
///
/// # Errors
/// When the database can't be reached.
pub async fn calm(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<AlertId>, StoreError> {
    let (rules, since): (Vec<_>, Vec<_>) =
        AlertRule::ALL.iter().map(|rule| (rule.as_str(), micros(now) - quiet(*rule))).unzip();
    let rows = sql_query(
        "SELECT a.id FROM alerts a JOIN unnest($1, $2) AS r (rule, since) ON r.rule = a.rule
         WHERE a.status <> 'resolved' AND coalesce(a.busy_at, a.last_seen_at) <= r.since
         ORDER BY coalesce(a.busy_at, a.last_seen_at), a.id LIMIT $3",
    )
    .bind::<Array<Text>, _>(rules)
    .bind::<Array<Timestamptz>, _>(since)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(ids(rows))
}

/// Closes an alert by itself; `false` when it is resolved already, or its cause was seen again meanwhile.
///
/// # Errors
/// When the database can't be reached.
pub async fn resolve_calm(
    conn: &mut Conn,
    id: AlertId,
    rule: AlertRule,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let closed = sql_query(
        "UPDATE alerts SET status = 'resolved', resolved_at = $2, resolution = $3
         WHERE id = $1 AND status <> 'resolved' AND coalesce(busy_at, last_seen_at) <= $4",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(micros(now))
    .bind::<Jsonb, _>(json!({"kind": Resolution::Automatic.as_str()}))
    .bind::<Timestamptz, _>(micros(now) - quiet(rule))
    .execute(conn)
    .await?;
    Ok(closed == 1)
}

/// Notes that the cause of alerts goes on although nothing is added to them.
///
/// # Errors
/// When the database can't be reached.
pub async fn go_on(conn: &mut Conn, rule: AlertRule, subjects: &[Uuid], at: DateTime<Utc>) -> Result<(), StoreError> {
    sql_query(
        "UPDATE alerts SET busy_at = GREATEST(busy_at, last_seen_at, $3)
         WHERE rule = $1 AND subject = ANY($2) AND status <> 'resolved'",
    )
    .bind::<Text, _>(rule.as_str())
    .bind::<Array<Text>, _>(subjects.iter().map(Uuid::to_string).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(micros(at))
    .execute(conn)
    .await?;
    Ok(())
}

/// The subjects of a rule, keys or grants, with an alert that is not resolved: those that [`go_on`] is about.
///
/// # Errors
/// When the database can't be reached.
pub async fn unresolved(conn: &mut Conn, rule: AlertRule) -> Result<Vec<Uuid>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        subject: String,
    }
    let rows: Vec<Row> = sql_query("SELECT DISTINCT subject FROM alerts WHERE rule = $1 AND status <> 'resolved'")
        .bind::<Text, _>(rule.as_str())
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(|row| row.subject.parse().ok()).collect())
}

/// Notes what the opening of an alert has done to its key.
///
/// # Errors
/// When the database can't be reached.
pub async fn note_action(conn: &mut Conn, id: AlertId, action: &str) -> Result<(), StoreError> {
    sql_query("UPDATE alerts SET action_taken = $2 WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<Text, _>(action)
        .execute(conn)
        .await?;
    Ok(())
}

/// Alerts that nobody has taken and of which people are to be told again.
///
/// # Errors
/// When the database can't be reached.
pub async fn escalation_due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<AlertId>, StoreError> {
    let now = micros(now);
    let (mut severities, mut times, mut opened) = (Vec::new(), Vec::new(), Vec::new());
    for severity in Severity::ALL {
        // How long an alert must have been open to be told for that time.
        let waits = (0..).map_while(|told| Some((told, escalates_at(severity, now, told)? - now)));
        for (told, wait) in waits {
            severities.push(severity.as_str());
            times.push(told);
            opened.push(now - wait);
        }
    }
    let rows = sql_query(
        "SELECT a.id FROM alerts a
         JOIN unnest($1, $2, $3) AS e (severity, told, opened) ON e.severity = a.severity AND e.told = a.escalations
         WHERE a.status = 'open' AND a.opened_at <= e.opened ORDER BY a.opened_at, a.id LIMIT $4",
    )
    .bind::<Array<Text>, _>(severities)
    .bind::<Array<SmallInt>, _>(times)
    .bind::<Array<Timestamptz>, _>(opened)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(ids(rows))
}

/// Notes that people were told again; `false` when somebody else has told them, or somebody has taken it.
///
/// # Errors
/// When the database can't be reached.
pub async fn escalate(
    conn: &mut Conn,
    id: AlertId,
    (before, after): (i16, i16),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let told = sql_query(
        "UPDATE alerts SET escalations = $3, escalated_at = $4 WHERE id = $1 AND escalations = $2 AND status = 'open'",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<SmallInt, _>(before)
    .bind::<SmallInt, _>(after)
    .bind::<Timestamptz, _>(micros(now))
    .execute(conn)
    .await?;
    Ok(told == 1)
}

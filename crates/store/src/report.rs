//! What a report for an audit reads: one organization, one period, as of one snapshot of the database.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_keys::{key::Creator, lifespan::LifespanCaps};
use statuspulse_policy::{Environment, OrganizationId, Role};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    keys::{self, KeyFilter, ListedKey},
    page::Position,
    users::{self, User},
};

/// Keys that are read at once.
const PAGE: i64 = 500;
/// Into so many slices a long period is cut.
const SLICES: i32 = 400;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whose.
    pub organization: OrganizationId,
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// Before this moment.
    pub to: DateTime<Utc>,
    /// Now.
    pub now: DateTime<Utc>,
    /// Longest lives of today.
    pub caps: LifespanCaps,
    /// Versions that live longer than so many days are listed.
    pub long_days: i32,
    /// Items of a list, at most.
    pub listed: i64,
    /// Actions of the organization that are listed one by one.
    pub changes: Vec<String>,
    /// Actions that belong to the service and to no organization: they are counted, and those of `changes` listed.
    pub of_service: Vec<String>,
}

/// A list that may be cut off.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// How many there are.
    pub total: u64,
    /// The first of them.
    pub items: Vec<T>,
}

/// Everything of a report that the tables tell.
#[derive(Debug)]
pub struct Facts {
    /// Keys that were made before the end, newest first, but for those that had ended before the period; with the address of
    /// the person who made each.
    pub keys: Part<(ListedKey, Option<String>)>,
    /// Members with their roles, by address.
    pub people: Vec<(User, Role)>,
    /// New versions, oldest first.
    pub rotations: Part<Rotation>,
    /// Versions in force in the period that live too long, oldest first.
    pub long_lived: LongLived,
    /// Changes and log-ins by action.
    pub counts: Vec<Count>,
    /// Changes, oldest first.
    pub changes: Part<Change>,
    /// Alerts that were opened, oldest first.
    pub alerts: Part<Alert>,
    /// How long each of these alerts took, as far as it got.
    pub alert_times: Vec<AlertTimes>,
    /// Alerts of the service.
    pub service_alerts: Part<Alert>,
    /// See `alert_times`.
    pub service_alert_times: Vec<AlertTimes>,
    /// Endpoints with what became of the period's deliveries.
    pub endpoints: Vec<Endpoint>,
    /// Deliveries that failed, oldest first.
    pub failed: Part<Failed>,
}

/// Reads everything, as of one moment.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn read(conn: &mut Conn, asked: &Asked) -> Result<Facts, StoreError> {
    conn.build_transaction()
        .read_only()
        .repeatable_read()
        .run(async |conn| {
            let counts = counts(conn, asked).await?;
            Ok(Facts {
                keys: inventory(conn, asked).await?,
                people: users::of_organization(conn, asked.organization).await?,
                rotations: rotations(conn, asked).await?,
                long_lived: long_lived(conn, asked).await?,
                changes: Part { total: listed_of(&counts, asked), items: changes(conn, asked).await? },
                counts,
                alerts: alerts(conn, asked, Some(asked.organization)).await?,
                alert_times: alert_times(conn, asked, Some(asked.organization)).await?,
                service_alerts: alerts(conn, asked, None).await?,
                service_alert_times: alert_times(conn, asked, None).await?,
                endpoints: endpoints(conn, asked).await?,
                failed: failed(conn, asked).await?,
            })
        })
        .await
}

async fn inventory(conn: &mut Conn, asked: &Asked) -> Result<Part<(ListedKey, Option<String>)>, StoreError> {
    let mut found = Part { total: 0, items: Vec::new() };
    let (filter, mut after) = (KeyFilter::default(), None);
    loop {
        let page = keys::list(conn, asked.organization, &filter, &asked.caps, asked.now, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(Position { created_at: last.key.created_at, id: last.key.id.as_uuid() });
        let of_period: Vec<ListedKey> = page.into_iter().filter(|listed| is_of_period(listed, asked)).collect();
        let makers: Vec<Uuid> = of_period
            .iter()
            .filter_map(|listed| match &listed.key.created_by {
                Creator::User(id) => Some(id.as_uuid()),
                Creator::Operator(_) => None,
            })
            .collect();
        let people = if makers.is_empty() { Vec::new() } else { users::by_ids(conn, &makers).await? };
        for listed in of_period {
            found.total += 1;
            if i64::try_from(found.items.len()).is_ok_and(|items| items < asked.listed) {
                let email = match &listed.key.created_by {
                    Creator::User(id) => people.iter().find(|user| user.id == *id).map(|user| user.email.clone()),
                    Creator::Operator(_) => None,
                };
                found.items.push((listed, email));
            }
        }
    }
    Ok(found)
}

fn is_of_period(listed: &ListedKey, asked: &Asked) -> bool {
    let (key, current) = (&listed.key, &listed.current);
    let end = asked.caps.effective_end(key.environment, current.created_at, current.expires_at);
    let end = key.revoked_at.map_or(end, |revoked| revoked.min(end));
    key.created_at < asked.to && end >= asked.from
}

/// Versions that live too long.
#[derive(Debug)]
pub struct LongLived {
    /// Those of all environments.
    pub versions: Part<Version>,
    /// How many of them are not in staging, which alone may have such.
    pub beyond: u64,
}

/// A row with the number of all rows beside it.
trait Numbered {
    fn total(&self) -> i64;
}

fn part<Row: Numbered>(items: Vec<Row>) -> Part<Row> {
    let total = items.as_slice().first().map_or(0, |row| row.total().unsigned_abs());
    Part { total, items }
}

macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $sql:ty => $kind:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, QueryableByName)]
        pub struct $name {
            $($(#[$field_doc])* #[diesel(sql_type = $sql)] pub $field: $kind,)+
            #[diesel(sql_type = BigInt)]
            total: i64,
        }
        impl Numbered for $name {
            fn total(&self) -> i64 {
                self.total
            }
        }
    };
}

row! {
    /// A version that took the place of the one before.
    Rotation {
        /// The key.
        key_id: SqlUuid => Uuid,
        /// Its name.
        key_name: Text => String,
        /// Its environment.
        environment: Text => String,
        /// Number of the new version.
        version: Integer => i32,
        /// When it took over.
        at: Timestamptz => DateTime<Utc>,
        /// Whether the holder of the key picked it up; else somebody rotated it.
        picked_up: Bool => bool,
        /// Since when the version before is refused, or until when it is accepted.
        previous_valid_until: Nullable<Timestamptz> => Option<DateTime<Utc>>,
    }
}

async fn rotations(conn: &mut Conn, asked: &Asked) -> Result<Part<Rotation>, StoreError> {
    let rows = sql_query(
        "SELECT v.key_id, k.name AS key_name, k.environment, v.version, coalesce(v.claimed_at, v.created_at) AS at,
                v.claimed_at IS NOT NULL AS picked_up, p.valid_until AS previous_valid_until, count(*) OVER () AS total
         FROM key_versions v
         JOIN keys k ON k.id = v.key_id AND v.version <= k.current_version
         LEFT JOIN key_versions p ON p.key_id = v.key_id AND p.version = v.version - 1
         WHERE k.organization_id = $1 AND v.version > 1
           AND coalesce(v.claimed_at, v.created_at) >= $2 AND coalesce(v.claimed_at, v.created_at) < $3
         ORDER BY at, v.key_id, v.version LIMIT $4",
    )
    .bind::<SqlUuid, _>(asked.organization.as_uuid())
    .bind::<Timestamptz, _>(asked.from)
    .bind::<Timestamptz, _>(asked.to)
    .bind::<BigInt, _>(asked.listed)
    .load(conn)
    .await?;
    Ok(part(rows))
}

row! {
    /// A version with its life.
    Version {
        /// The key.
        key_id: SqlUuid => Uuid,
        /// Its name.
        key_name: Text => String,
        /// Its environment.
        environment: Text => String,
        /// Its number.
        version: Integer => i32,
        /// When it was made.
        created_at: Timestamptz => DateTime<Utc>,
        /// When it ends or has ended.
        ends_at: Timestamptz => DateTime<Utc>,
        /// How many of all are not in staging.
        beyond: BigInt => i64,
    }
}

/// Canaries are left out: they are never accepted.
async fn long_lived(conn: &mut Conn, asked: &Asked) -> Result<LongLived, StoreError> {
    let days = |environment| asked.caps.days(environment).cast_signed();
    let rows: Vec<Version> = sql_query(
        "WITH lives AS (
             SELECT v.key_id, k.name AS key_name, k.environment, v.version, v.created_at,
                    LEAST(v.valid_until, v.expires_at, coalesce(k.revoked_at, 'infinity'),
                          v.created_at + make_interval(secs => 86400 *
                              CASE k.environment WHEN 'production' THEN $4 WHEN 'staging' THEN $5 ELSE $6 END)) AS ends_at
             FROM key_versions v JOIN keys k ON k.id = v.key_id AND v.version <= k.current_version
             WHERE k.organization_id = $1 AND NOT k.canary AND v.created_at < $3
         )
         SELECT *, count(*) OVER () AS total, count(*) FILTER (WHERE environment <> 'staging') OVER () AS beyond
         FROM lives
         WHERE ends_at >= $2 AND ends_at > created_at + make_interval(secs => 86400 * $7)
         ORDER BY created_at, key_id, version LIMIT $8",
    )
    .bind::<SqlUuid, _>(asked.organization.as_uuid())
    .bind::<Timestamptz, _>(asked.from)
    .bind::<Timestamptz, _>(asked.to)
    .bind::<Integer, _>(days(Environment::Production))
    .bind::<Integer, _>(days(Environment::Staging))
    .bind::<Integer, _>(days(Environment::Analytics))
    .bind::<Integer, _>(asked.long_days)
    .bind::<BigInt, _>(asked.listed)
    .load(conn)
    .await?;
    let beyond = rows.as_slice().first().map_or(0, |row| row.beyond.unsigned_abs());
    Ok(LongLived { versions: part(rows), beyond })
}

/// How often something happened.
#[derive(Debug, Clone, QueryableByName)]
pub struct Count {
    /// What.
    #[diesel(sql_type = Text)]
    pub action: String,
    /// How it ended.
    #[diesel(sql_type = Text)]
    pub outcome: String,
    /// Whether it belongs to the service and to no organization.
    #[diesel(sql_type = Bool)]
    pub of_service: bool,
    /// How often.
    #[diesel(sql_type = BigInt)]
    pub number: i64,
}

/// Said of the action too, so that the index of everything but calls serves.
const CHANGED: &str = "occurred_at >= $2 AND occurred_at < $3 AND class = 1 AND action <> 'api.call'
    AND (organization_id = $1 OR organization_id IS NULL AND action = ANY($4))";

/// In slices of the period, each of which is read well within the time that a statement may take.
async fn counts(conn: &mut Conn, asked: &Asked) -> Result<Vec<Count>, StoreError> {
    let query = format!(
        "SELECT action, outcome, organization_id IS NULL AS of_service, count(*) AS number FROM audit_events
         WHERE {CHANGED} GROUP BY 1, 2, 3"
    );
    let slice = ((asked.to - asked.from) / SLICES).max(Duration::days(1));
    let mut numbers: BTreeMap<(bool, String, String), i64> = BTreeMap::new();
    let mut from = asked.from;
    while from < asked.to {
        let to = asked.to.min(from + slice);
        let rows: Vec<Count> = sql_query(&query)
            .bind::<SqlUuid, _>(asked.organization.as_uuid())
            .bind::<Timestamptz, _>(from)
            .bind::<Timestamptz, _>(to)
            .bind::<Array<Text>, _>(&asked.of_service)
            .load(conn)
            .await?;
        for row in rows {
            *numbers.entry((row.of_service, row.action, row.outcome)).or_default() += row.number;
        }
        from = to;
    }
    let count = |((of_service, action, outcome), number)| Count { action, outcome, of_service, number };
    Ok(numbers.into_iter().map(count).collect())
}

/// How many of the counted happenings are listed one by one.
fn listed_of(counts: &[Count], asked: &Asked) -> u64 {
    let listed = counts.iter().filter(|count| asked.changes.contains(&count.action));
    listed.map(|count| count.number.unsigned_abs()).sum()
}

/// A change, as the trail tells it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Change {
    /// Id of the event.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
    /// What.
    #[diesel(sql_type = Text)]
    pub action: String,
    /// How it ended.
    #[diesel(sql_type = Text)]
    pub outcome: String,
    /// Why it was refused.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// Whether it belongs to the service and to no organization.
    #[diesel(sql_type = Bool)]
    pub of_service: bool,
    /// Who.
    #[diesel(sql_type = Text)]
    pub actor_kind: String,
    /// Whose id.
    #[diesel(sql_type = Nullable<Text>)]
    pub actor_id: Option<String>,
    /// The address of a person.
    #[diesel(sql_type = Nullable<Text>)]
    pub actor_email: Option<String>,
    /// Ids, names of fields and numbers.
    #[diesel(sql_type = Jsonb)]
    pub detail: Value,
    /// Name of the key that it is about.
    #[diesel(sql_type = Nullable<Text>)]
    pub key_name: Option<String>,
    /// Name of the app that it is about.
    #[diesel(sql_type = Nullable<Text>)]
    pub app_name: Option<String>,
    /// Address of the person whom it is about.
    #[diesel(sql_type = Nullable<Text>)]
    pub user_email: Option<String>,
}

async fn changes(conn: &mut Conn, asked: &Asked) -> Result<Vec<Change>, StoreError> {
    // Ids of the trail are texts: what is none of ours must not fail the report.
    let query = format!(
        "WITH listed AS (
             SELECT id, stream, sequence, occurred_at, action, outcome, reason, organization_id IS NULL AS of_service,
                    actor_kind, actor_id, detail
             FROM audit_events WHERE {CHANGED} AND action = ANY($5)
             ORDER BY occurred_at, stream, sequence LIMIT $6
         )
         SELECT l.*, actor.email AS actor_email, k.name AS key_name, a.name AS app_name, person.email AS user_email
         FROM listed l
         LEFT JOIN users actor ON l.actor_kind = 'user' AND actor.id::text = l.actor_id
         LEFT JOIN keys k ON k.id::text = l.detail ->> 'key_id' AND k.organization_id = $1
         LEFT JOIN oauth_apps a ON a.id::text = l.detail ->> 'app_id'
         LEFT JOIN users person ON person.id::text = l.detail ->> 'user_id'
         ORDER BY l.occurred_at, l.stream, l.sequence"
    );
    let rows = sql_query(query)
        .bind::<SqlUuid, _>(asked.organization.as_uuid())
        .bind::<Timestamptz, _>(asked.from)
        .bind::<Timestamptz, _>(asked.to)
        .bind::<Array<Text>, _>(&asked.of_service)
        .bind::<Array<Text>, _>(&asked.changes)
        .bind::<BigInt, _>(asked.listed)
        .load(conn)
        .await?;
    Ok(rows)
}

row! {
    /// An alert as it stands now.
    Alert {
        /// Identity.
        id: SqlUuid => Uuid,
        /// The rule that opened it.
        rule: Text => String,
        /// How bad.
        severity: Text => String,
        /// What the subject is.
        subject_kind: Text => String,
        /// Its id.
        subject: Text => String,
        /// Its name, where it is a key.
        subject_name: Nullable<Text> => Option<String>,
        /// open, acknowledged or resolved.
        status: Text => String,
        /// First happening.
        opened_at: Timestamptz => DateTime<Utc>,
        /// Last happening.
        last_seen_at: Timestamptz => DateTime<Utc>,
        /// Happenings.
        count: BigInt => i64,
        /// Criteria to which it is evidence: a list of texts.
        controls: Nullable<Jsonb> => Option<Value>,
        /// When somebody took it.
        acknowledged_at: Nullable<Timestamptz> => Option<DateTime<Utc>>,
        /// Who: the address of a person, or the id.
        acknowledged_by: Nullable<Text> => Option<String>,
        /// When it was closed.
        resolved_at: Nullable<Timestamptz> => Option<DateTime<Utc>>,
        /// How: an object with `kind`, `by`, `at` and `note`.
        resolution: Nullable<Jsonb> => Option<Value>,
        /// The address of the person who closed it.
        resolved_by_email: Nullable<Text> => Option<String>,
    }
}

async fn alerts(
    conn: &mut Conn,
    asked: &Asked,
    organization: Option<OrganizationId>,
) -> Result<Part<Alert>, StoreError> {
    let rows = sql_query(
        "SELECT a.id, a.rule, a.severity, a.subject_kind, a.subject, k.name AS subject_name, a.status, a.opened_at,
                a.last_seen_at, a.count, a.evidence -> 'control' AS controls, a.acknowledged_at,
                coalesce(taker.email, a.acknowledged_by::text) AS acknowledged_by, a.resolved_at, a.resolution,
                closer.email AS resolved_by_email, count(*) OVER () AS total
         FROM alerts a
         LEFT JOIN keys k ON k.id::text = a.subject AND k.organization_id = a.organization_id
         LEFT JOIN users taker ON taker.id = a.acknowledged_by
         LEFT JOIN users closer ON closer.id::text = coalesce(a.resolution -> 'by' ->> 'id', a.resolution ->> 'by')
         WHERE a.organization_id IS NOT DISTINCT FROM $1 AND a.opened_at >= $2 AND a.opened_at < $3
         ORDER BY a.opened_at, a.id LIMIT $4",
    )
    .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
    .bind::<Timestamptz, _>(asked.from)
    .bind::<Timestamptz, _>(asked.to)
    .bind::<BigInt, _>(asked.listed)
    .load(conn)
    .await?;
    Ok(part(rows))
}

/// How long an alert took.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct AlertTimes {
    /// Whether it is closed.
    #[diesel(sql_type = Bool)]
    pub is_resolved: bool,
    /// Seconds until somebody took it.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub to_acknowledge: Option<i64>,
    /// Seconds until it was closed.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub to_resolve: Option<i64>,
}

async fn alert_times(
    conn: &mut Conn,
    asked: &Asked,
    organization: Option<OrganizationId>,
) -> Result<Vec<AlertTimes>, StoreError> {
    let rows = sql_query(
        "SELECT status = 'resolved' AS is_resolved,
                extract(epoch FROM acknowledged_at - opened_at)::bigint AS to_acknowledge,
                extract(epoch FROM resolved_at - opened_at)::bigint AS to_resolve
         FROM alerts WHERE organization_id IS NOT DISTINCT FROM $1 AND opened_at >= $2 AND opened_at < $3",
    )
    .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
    .bind::<Timestamptz, _>(asked.from)
    .bind::<Timestamptz, _>(asked.to)
    .load(conn)
    .await?;
    Ok(rows)
}

/// An endpoint, and what became of the period's deliveries to it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Endpoint {
    /// Identity.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// Where to, as it was given: it may hold a secret.
    #[diesel(sql_type = Text)]
    pub url: String,
    /// standard or slack.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// active or disabled, now.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// Why it is disabled.
    #[diesel(sql_type = Nullable<Text>)]
    pub disabled_reason: Option<String>,
    /// Deliveries that arrived.
    #[diesel(sql_type = BigInt)]
    pub succeeded: i64,
    /// Deliveries that were given up.
    #[diesel(sql_type = BigInt)]
    pub failed: i64,
    /// Deliveries that are still tried.
    #[diesel(sql_type = BigInt)]
    pub pending: i64,
}

async fn endpoints(conn: &mut Conn, asked: &Asked) -> Result<Vec<Endpoint>, StoreError> {
    let rows = sql_query(
        "SELECT e.id, e.url, e.kind, e.status, e.disabled_reason,
                count(d.id) FILTER (WHERE d.status = 'succeeded') AS succeeded,
                count(d.id) FILTER (WHERE d.status = 'failed') AS failed,
                count(d.id) FILTER (WHERE d.status = 'pending') AS pending
         FROM webhook_endpoints e
         LEFT JOIN webhook_deliveries d ON d.endpoint_id = e.id AND d.created_at >= $2 AND d.created_at < $3
         WHERE e.organization_id = $1 AND e.created_at < $3 GROUP BY e.id ORDER BY e.created_at, e.id",
    )
    .bind::<SqlUuid, _>(asked.organization.as_uuid())
    .bind::<Timestamptz, _>(asked.from)
    .bind::<Timestamptz, _>(asked.to)
    .load(conn)
    .await?;
    Ok(rows)
}

row! {
    /// A delivery that was given up.
    Failed {
        /// Identity.
        id: SqlUuid => Uuid,
        /// Where to.
        endpoint_id: SqlUuid => Uuid,
        /// What.
        event_type: Text => String,
        /// When it happened.
        created_at: Timestamptz => DateTime<Utc>,
        /// Attempts.
        attempts: Integer => i32,
        /// When the last attempt began.
        last_attempt_at: Nullable<Timestamptz> => Option<DateTime<Utc>>,
        /// Status that was answered.
        response_status: Nullable<SmallInt> => Option<i16>,
        /// Why it failed, as a stable word.
        error: Nullable<Text> => Option<String>,
    }
}

async fn failed(conn: &mut Conn, asked: &Asked) -> Result<Part<Failed>, StoreError> {
    let rows = sql_query(
        "SELECT d.id, d.endpoint_id, e.type AS event_type, d.created_at, d.attempts, d.last_attempt_at,
                d.response_status, d.error, count(*) OVER () AS total
         FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id
         WHERE d.organization_id = $1 AND d.status = 'failed' AND d.created_at >= $2 AND d.created_at < $3
         ORDER BY d.created_at, d.id LIMIT $4",
    )
    .bind::<SqlUuid, _>(asked.organization.as_uuid())
    .bind::<Timestamptz, _>(asked.from)
    .bind::<Timestamptz, _>(asked.to)
    .bind::<BigInt, _>(asked.listed)
    .load(conn)
    .await?;
    Ok(part(rows))
}

//! Notices of a client secret's end, each once.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_policy::{AppId, AppSecretId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros};

/// A client secret whose end is near.
#[derive(Debug, Clone)]
pub struct EndingSecret {
    /// The secret.
    pub id: AppSecretId,
    /// What may be shown of it.
    pub last4: String,
    /// Its name.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Its app.
    pub app: AppId,
    /// The app's public id.
    pub client_id: String,
    /// The app's name.
    pub app_name: String,
    /// The app's publisher.
    pub organization: OrganizationId,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    last4: String,
    #[diesel(sql_type = Nullable<Text>)]
    label: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = SqlUuid)]
    app_id: Uuid,
    #[diesel(sql_type = Text)]
    client_id: String,
    #[diesel(sql_type = Text)]
    app_name: String,
    #[diesel(sql_type = SqlUuid)]
    organization_id: Uuid,
}

/// Live secrets of live apps that end within a week and whose notice has not gone out.
///
/// # Errors
/// When the database can't be reached.
pub async fn secrets_due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<EndingSecret>, StoreError> {
    let rows: Vec<Row> = sql_query(
        "SELECT * FROM (
             SELECT s.id, s.last4, s.label, s.created_at, s.expires_at, s.app_id, a.client_id, a.name AS app_name,
                    a.organization_id, CASE WHEN s.expires_at <= $1 + make_interval(secs => 86400) THEN 1 ELSE 7 END AS threshold
             FROM oauth_app_secrets s JOIN oauth_apps a ON a.id = s.app_id
             WHERE s.revoked_at IS NULL AND a.deleted_at IS NULL
               AND s.expires_at > $1 AND s.expires_at <= $1 + make_interval(secs => 7 * 86400)
         ) AS near
         WHERE make_interval(secs => 86400 * threshold) < expires_at - created_at
           AND NOT EXISTS (SELECT 1 FROM oauth_secret_notices n
                           WHERE n.secret_id = near.id AND n.threshold_days = near.threshold)
         ORDER BY expires_at, id LIMIT $2",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| EndingSecret {
            id: AppSecretId::from_uuid(row.id),
            last4: row.last4,
            label: row.label,
            created_at: row.created_at,
            expires_at: row.expires_at,
            app: AppId::from_uuid(row.app_id),
            client_id: row.client_id,
            app_name: row.app_name,
            organization: OrganizationId::from_uuid(row.organization_id),
        })
        .collect())
}

/// Notes a notice; `false` when it had gone out before.
///
/// # Errors
/// When the database can't be reached.
pub async fn note_secret(
    conn: &mut Conn,
    secret: AppSecretId,
    threshold_days: i16,
    skipped: bool,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let noted = sql_query(
        "INSERT INTO oauth_secret_notices (secret_id, threshold_days, sent_at, skipped) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(secret.as_uuid())
    .bind::<SmallInt, _>(threshold_days)
    .bind::<Timestamptz, _>(micros(now))
    .bind::<Bool, _>(skipped)
    .execute(conn)
    .await?;
    Ok(noted == 1)
}

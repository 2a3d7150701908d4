//! Where organizations and their keys depart from the rules of alerts. A key's own setting takes the place of its
//! organization's as a whole; where neither is, the rule says.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_audit::{AlertRule, anomaly::AlertAction};
use statuspulse_policy::{KeyId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros};

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Whose.
    pub organization: OrganizationId,
    /// Of which rule.
    pub rule: AlertRule,
    /// For one key alone.
    pub key: Option<KeyId>,
    /// Opens at more (rates) or as many (happenings); none for the rule's own.
    pub threshold: Option<i64>,
    /// What the opening does to the key.
    pub action: AlertAction,
    /// Last change.
    pub updated_at: DateTime<Utc>,
    /// Who made it.
    pub updated_by: String,
}

/// The setting that counts for a key, or with none for the organization: the key's own, else the organization's.
#[must_use]
pub fn in_force(
    all: &[Setting],
    organization: OrganizationId,
    rule: AlertRule,
    key: Option<KeyId>,
) -> Option<&Setting> {
    let of = |key: Option<KeyId>| {
        all.iter().find(|held| held.organization == organization && held.rule == rule && held.key == key)
    };
    key.and_then(|key| of(Some(key))).or_else(|| of(None))
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    organization_id: Uuid,
    #[diesel(sql_type = Text)]
    rule: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    key_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    threshold: Option<i64>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Nullable<Integer>)]
    action_limit: Option<i32>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    updated_by: String,
}

impl TryFrom<Row> for Setting {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("alert_settings", column, row.organization_id);
        let action = AlertAction::from_words(&row.action, row.action_limit.map(i64::from));
        Ok(Self {
            organization: OrganizationId::from_uuid(row.organization_id),
            rule: AlertRule::from_word(&row.rule).ok_or_else(|| corrupt("rule"))?,
            key: row.key_id.map(KeyId::from_uuid),
            threshold: row.threshold,
            action: action.ok_or_else(|| corrupt("action"))?,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
        })
    }
}

/// All settings, or those of one organization.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(conn: &mut Conn, organization: Option<OrganizationId>) -> Result<Vec<Setting>, StoreError> {
    let rows: Vec<Row> = sql_query(
        "SELECT * FROM alert_settings WHERE $1 IS NULL OR organization_id = $1
         ORDER BY organization_id, rule, key_id NULLS FIRST",
    )
    .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
    .load(conn)
    .await?;
    // Of a rule that only another release knows there is nothing to be said here.
    let known = rows.into_iter().filter(|row| AlertRule::from_word(&row.rule).is_some());
    known.map(Setting::try_from).collect()
}

/// Writes a setting, in the place of the one before.
///
/// # Errors
/// When the database can't be reached.
pub async fn upsert(conn: &mut Conn, setting: &Setting) -> Result<(), StoreError> {
    sql_query(
        "INSERT INTO alert_settings (organization_id, rule, key_id, threshold, action, action_limit, updated_at, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (organization_id, rule, coalesce(key_id, '00000000-0000-0000-0000-000000000000'))
             DO UPDATE SET threshold = excluded.threshold, action = excluded.action,
                 action_limit = excluded.action_limit, updated_at = excluded.updated_at, updated_by = excluded.updated_by",
    )
    .bind::<SqlUuid, _>(setting.organization.as_uuid())
    .bind::<Text, _>(setting.rule.as_str())
    .bind::<Nullable<SqlUuid>, _>(setting.key.map(|id| id.as_uuid()))
    .bind::<Nullable<BigInt>, _>(setting.threshold)
    .bind::<Text, _>(setting.action.as_str())
    .bind::<Nullable<Integer>, _>(setting.action.limit().and_then(|limit| i32::try_from(limit).ok()))
    .bind::<Timestamptz, _>(micros(setting.updated_at))
    .bind::<Text, _>(&setting.updated_by)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a setting away; `false` when there was none.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove(
    conn: &mut Conn,
    organization: OrganizationId,
    rule: AlertRule,
    key: Option<KeyId>,
) -> Result<bool, StoreError> {
    let removed = sql_query(
        "DELETE FROM alert_settings
         WHERE organization_id = $1 AND rule = $2 AND key_id IS NOT DISTINCT FROM $3",
    )
    .bind::<SqlUuid, _>(organization.as_uuid())
    .bind::<Text, _>(rule.as_str())
    .bind::<Nullable<SqlUuid>, _>(key.map(|id| id.as_uuid()))
    .execute(conn)
    .await?;
    Ok(removed == 1)
}

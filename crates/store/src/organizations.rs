//! Organizations and their settings.

use chrono::{DateTime, Utc};
use diesel::{
    AsChangeset, BoolExpressionMethods as _, ExpressionMethods as _, Insertable, OptionalExtension as _, QueryDsl as _,
    Queryable, Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use ipnetwork::IpNetwork;
use statuspulse_keys::{
    directory::{OrganizationPolicy, ReusePolicy},
    lifespan::LifespanCaps,
};
use statuspulse_policy::{Allowlist, OrganizationId, ScopeSet};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    rows::{self, micros},
    schema::organizations,
};

/// An organization with its settings.
#[derive(Debug, Clone)]
pub struct Organization {
    /// Identity.
    pub id: OrganizationId,
    /// Name in URLs.
    pub slug: String,
    /// Name for people.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Settings.
    pub settings: Settings,
    /// Place in the change feed.
    pub sequence: i64,
}

/// What an organization can set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Longest lifespans.
    pub caps: LifespanCaps,
    /// Keys unused for this many days are disabled.
    pub unused_key_days: Option<u32>,
    /// What developers may grant; none means the catalog's default.
    pub developer_scopes: Option<ScopeSet>,
    /// What the use of a rotated-away token leads to.
    pub reuse_policy: ReusePolicy,
    /// Networks to which every key is held.
    pub allowlist: Option<Allowlist>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = organizations)]
pub(crate) struct OrganizationRow {
    id: Uuid,
    slug: String,
    name: String,
    created_at: DateTime<Utc>,
    max_lifespan_production_days: Option<i32>,
    max_lifespan_staging_days: Option<i32>,
    max_lifespan_analytics_days: Option<i32>,
    unused_key_days: Option<i32>,
    developer_scopes: Option<i64>,
    reuse_policy: String,
    allowed_cidrs: Option<Vec<IpNetwork>>,
    seq: i64,
}

#[derive(AsChangeset)]
#[diesel(table_name = organizations, treat_none_as_null = true)]
struct SettingsChange {
    max_lifespan_production_days: Option<i32>,
    max_lifespan_staging_days: Option<i32>,
    max_lifespan_analytics_days: Option<i32>,
    unused_key_days: Option<i32>,
    developer_scopes: Option<i64>,
    reuse_policy: String,
    allowed_cidrs: Option<Vec<IpNetwork>>,
    seq: i64,
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = StoreError;

    fn try_from(row: OrganizationRow) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("organizations", column, row.id);
        let days = |stored: Option<i32>, default: u32, column| match stored {
            None => Ok(default),
            Some(days) => u32::try_from(days).map_err(|_| corrupt(column)),
        };
        let usual = LifespanCaps::default();
        let settings = Settings {
            caps: LifespanCaps {
                production: days(row.max_lifespan_production_days, usual.production, "max_lifespan_production_days")?,
                staging: days(row.max_lifespan_staging_days, usual.staging, "max_lifespan_staging_days")?,
                analytics: days(row.max_lifespan_analytics_days, usual.analytics, "max_lifespan_analytics_days")?,
            },
            unused_key_days: row
                .unused_key_days
                .map(u32::try_from)
                .transpose()
                .map_err(|_| corrupt("unused_key_days"))?,
            developer_scopes: row.developer_scopes.map(|bits| ScopeSet::from_bits(bits.cast_unsigned())),
            reuse_policy: ReusePolicy::from_word(&row.reuse_policy).ok_or_else(|| corrupt("reuse_policy"))?,
            allowlist: rows::allowlist(row.allowed_cidrs, "organizations", row.id)?,
        };
        Ok(Self {
            id: OrganizationId::from_uuid(row.id),
            slug: row.slug,
            name: row.name,
            created_at: row.created_at,
            settings,
            sequence: row.seq,
        })
    }
}

pub(crate) fn policy(row: OrganizationRow) -> Result<OrganizationPolicy, StoreError> {
    let organization = Organization::try_from(row)?;
    Ok(OrganizationPolicy {
        id: organization.id,
        slug: organization.slug,
        allowlist: organization.settings.allowlist,
        caps: organization.settings.caps,
        reuse_policy: organization.settings.reuse_policy,
        sequence: organization.sequence,
    })
}

/// Writes a new organization with the default settings.
///
/// # Errors
/// [`StoreError::Duplicate`] of `organizations_slug_key` when the slug is taken.
pub async fn insert(
    conn: &mut Conn,
    id: OrganizationId,
    slug: &str,
    name: &str,
    now: DateTime<Utc>,
    sequence: i64,
) -> Result<(), StoreError> {
    let row = OrganizationRow {
        id: id.as_uuid(),
        slug: slug.to_owned(),
        name: name.to_owned(),
        created_at: micros(now),
        max_lifespan_production_days: None,
        max_lifespan_staging_days: None,
        max_lifespan_analytics_days: None,
        unused_key_days: None,
        developer_scopes: None,
        reuse_policy: ReusePolicy::Alert.as_str().to_owned(),
        allowed_cidrs: None,
        seq: sequence,
    };
    diesel::insert_into(organizations::table).values(row).execute(conn).await?;
    Ok(())
}

/// All organizations, by slug.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(conn: &mut Conn) -> Result<Vec<Organization>, StoreError> {
    let rows: Vec<OrganizationRow> =
        organizations::table.order(organizations::slug).select(OrganizationRow::as_select()).load(conn).await?;
    rows.into_iter().map(Organization::try_from).collect()
}

/// An organization by its name in URLs.
///
/// # Errors
/// When the database can't be reached.
pub async fn by_slug(conn: &mut Conn, slug: &str) -> Result<Option<Organization>, StoreError> {
    let row: Option<OrganizationRow> = organizations::table
        .filter(organizations::slug.eq(slug))
        .select(OrganizationRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(Organization::try_from).transpose()
}

/// An organization by its id.
///
/// # Errors
/// When the database can't be reached.
pub async fn by_id(conn: &mut Conn, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
    let row: Option<OrganizationRow> = organizations::table
        .filter(organizations::id.eq(id.as_uuid()))
        .select(OrganizationRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(Organization::try_from).transpose()
}

/// What of an organization bears on calls.
///
/// # Errors
/// When the database can't be reached.
pub async fn policy_of(conn: &mut Conn, id: OrganizationId) -> Result<Option<OrganizationPolicy>, StoreError> {
    let row: Option<OrganizationRow> = organizations::table
        .filter(organizations::id.eq(id.as_uuid()))
        .select(OrganizationRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(policy).transpose()
}

/// Locks an organization until the end of the transaction. Changes of its settings, and everything that counts its keys,
/// take turns here.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(conn: &mut Conn, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
    let row: Option<OrganizationRow> = organizations::table
        .filter(organizations::id.eq(id.as_uuid()))
        .select(OrganizationRow::as_select())
        .for_no_key_update()
        .first(conn)
        .await
        .optional()?;
    row.map(Organization::try_from).transpose()
}

/// Writes changed settings, if the row is still the one that was read.
///
/// # Errors
/// When the database can't be reached.
pub async fn update_settings(
    conn: &mut Conn,
    id: OrganizationId,
    settings: &Settings,
    seen: i64,
    sequence: i64,
) -> Result<bool, StoreError> {
    let usual = LifespanCaps::default();
    let days = |chosen: u32, usual: u32| (chosen != usual).then_some(chosen.cast_signed());
    let change = SettingsChange {
        max_lifespan_production_days: days(settings.caps.production, usual.production),
        max_lifespan_staging_days: days(settings.caps.staging, usual.staging),
        max_lifespan_analytics_days: days(settings.caps.analytics, usual.analytics),
        unused_key_days: settings.unused_key_days.map(u32::cast_signed),
        developer_scopes: settings.developer_scopes.map(|scopes| scopes.bits().cast_signed()),
        reuse_policy: settings.reuse_policy.as_str().to_owned(),
        allowed_cidrs: rows::networks(settings.allowlist.as_ref()),
        seq: sequence,
    };
    let changed = diesel::update(
        organizations::table.filter(organizations::id.eq(id.as_uuid()).and(organizations::seq.eq(seen))),
    )
    .set(change)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

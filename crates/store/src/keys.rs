//! Keys and their versions.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Duration, Utc};
use diesel::{
    AsChangeset, BoolExpressionMethods as _, ExpressionMethods as _, Insertable, JoinOnDsl as _,
    OptionalExtension as _, QueryDsl as _, Queryable, Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use ipnetwork::IpNetwork;
use serde_json::Value;
use statuspulse_keys::{
    digest::{HASH_SCHEME, LookupId, SecretHash},
    directory::KeySnapshot,
    key::{Key, KeyVersion, VersionState},
};
use statuspulse_policy::{KeyId, KeyVersionId, OrganizationId, ScopeSet};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    rows::{self, host, micros},
    schema::{key_versions, keys},
};

mod history;
mod idle;
mod list;
mod schedule;
mod usage;

pub use history::{find_key, versions_before};
pub use idle::{IdleNotice, idle_due, idle_notice, note_idle};
pub use list::{KeyFilter, ListedKey, count_alive, list, lock_all};
pub use schedule::{Notice, end_notices, note_end, notices_due, slots_due};
pub use usage::{Usage, write_usage};

/// Index that refuses a second version with the same look-up digest.
pub const LOOKUP_INDEX: &str = "key_versions_lookup_id_key";

#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = keys, treat_none_as_null = true)]
pub(crate) struct KeyRow {
    pub(crate) id: Uuid,
    organization_id: Uuid,
    environment: String,
    name: String,
    scopes: i64,
    allowed_cidrs: Option<Vec<IpNetwork>>,
    allow_any: bool,
    allowlist_notes: Value,
    rate_limit_per_minute: Option<i32>,
    lifespan_seconds: i32,
    auto_rotate: bool,
    successor_public_key: Option<String>,
    canary: bool,
    current_version: i32,
    created_at: DateTime<Utc>,
    created_by: String,
    created_by_kind: String,
    disabled_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revoke_reason: Option<String>,
    last_used_at: Option<DateTime<Utc>>,
    last_used_ips: Vec<IpNetwork>,
    seq: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = key_versions)]
pub(crate) struct VersionRow {
    id: Uuid,
    organization_id: Uuid,
    key_id: Uuid,
    version: i32,
    state: String,
    lookup_id: Option<Vec<u8>>,
    pepper_version: i16,
    secret_hash: Option<String>,
    hash_scheme: String,
    hint: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    valid_until: DateTime<Utc>,
    claimed_at: Option<DateTime<Utc>>,
    seq: i64,
}

impl TryFrom<KeyRow> for Key {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("keys", column, row.id);
        let created_by = rows::creator(&row.created_by_kind, row.created_by);
        let limit = row.rate_limit_per_minute.map(u32::try_from).transpose();
        Ok(Self {
            id: KeyId::from_uuid(row.id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            environment: row.environment.parse().map_err(|_| corrupt("environment"))?,
            name: row.name,
            scopes: ScopeSet::from_bits(row.scopes.cast_unsigned()),
            allowlist: rows::allowlist(row.allowed_cidrs, "keys", row.id)?,
            allow_any: row.allow_any,
            allowlist_notes: notes_from(row.allowlist_notes).ok_or_else(|| corrupt("allowlist_notes"))?,
            rate_limit_per_minute: limit.map_err(|_| corrupt("rate_limit_per_minute"))?,
            lifespan: Duration::seconds(i64::from(row.lifespan_seconds)),
            auto_rotate: row.auto_rotate,
            successor_public_key: row.successor_public_key,
            canary: row.canary,
            current_version: row.current_version,
            created_at: row.created_at,
            created_by: created_by.ok_or_else(|| corrupt("created_by"))?,
            disabled_at: row.disabled_at,
            revoked_at: row.revoked_at,
            revoke_reason: row.revoke_reason,
            last_used_at: row.last_used_at,
            last_used_ips: row.last_used_ips.iter().map(IpNetwork::ip).collect(),
            sequence: row.seq,
        })
    }
}

impl From<&Key> for KeyRow {
    fn from(key: &Key) -> Self {
        let (created_by_kind, created_by) = rows::creator_words(&key.created_by);
        Self {
            id: key.id.as_uuid(),
            organization_id: key.organization_id.as_uuid(),
            environment: key.environment.as_str().to_owned(),
            name: key.name.clone(),
            scopes: key.scopes.bits().cast_signed(),
            allowed_cidrs: rows::networks(key.allowlist.as_ref()),
            allow_any: key.allow_any,
            allowlist_notes: key.allowlist_notes.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect(),
            rate_limit_per_minute: key.rate_limit_per_minute.map(u32::cast_signed),
            // At most 365 days, which fit.
            lifespan_seconds: i32::try_from(key.lifespan.num_seconds()).unwrap_or(i32::MAX),
            auto_rotate: key.auto_rotate,
            successor_public_key: key.successor_public_key.clone(),
            canary: key.canary,
            current_version: key.current_version,
            created_at: micros(key.created_at),
            created_by,
            created_by_kind: created_by_kind.to_owned(),
            disabled_at: key.disabled_at.map(micros),
            revoked_at: key.revoked_at.map(micros),
            revoke_reason: key.revoke_reason.clone(),
            last_used_at: key.last_used_at.map(micros),
            last_used_ips: key.last_used_ips.iter().copied().map(host).collect(),
            seq: key.sequence,
        }
    }
}

impl VersionRow {
    fn new(key: &Key, version: &KeyVersion) -> Self {
        let hash = version.secret_hash.as_ref().and_then(|hash| hash.as_ref().ok());
        Self {
            id: version.id.as_uuid(),
            organization_id: key.organization_id.as_uuid(),
            key_id: key.id.as_uuid(),
            version: version.number,
            state: version.state.as_str().to_owned(),
            lookup_id: version.lookup_id.map(|id| id.as_bytes().to_vec()),
            pepper_version: version.pepper_version,
            secret_hash: hash.map(|hash| hash.as_str().to_owned()),
            hash_scheme: HASH_SCHEME.to_owned(),
            hint: version.hint.clone(),
            created_at: micros(version.created_at),
            expires_at: micros(version.expires_at),
            valid_until: micros(version.valid_until),
            claimed_at: version.claimed_at.map(micros),
            seq: key.sequence,
        }
    }
}

impl TryFrom<VersionRow> for KeyVersion {
    type Error = StoreError;

    fn try_from(row: VersionRow) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("key_versions", column, row.id);
        let lookup_id = row.lookup_id.map(|bytes| bytes.try_into().map(LookupId::from_bytes)).transpose();
        let scheme_known = row.hash_scheme == HASH_SCHEME;
        Ok(Self {
            id: KeyVersionId::from_uuid(row.id),
            number: row.version,
            state: VersionState::from_word(&row.state).ok_or_else(|| corrupt("state"))?,
            lookup_id: lookup_id.map_err(|_| corrupt("lookup_id"))?,
            pepper_version: row.pepper_version,
            // A broken hash must not keep the row from being read: the key is refused and an alert opened at its use.
            secret_hash: row.secret_hash.map(|stored| {
                if scheme_known { SecretHash::parse(&stored) } else { Err(statuspulse_keys::digest::BrokenHash) }
            }),
            hint: row.hint,
            created_at: row.created_at,
            expires_at: row.expires_at,
            valid_until: row.valid_until,
            claimed_at: row.claimed_at,
        })
    }
}

fn notes_from(stored: Value) -> Option<BTreeMap<String, String>> {
    serde_json::from_value(stored).ok()
}

/// Writes a key with its first version.
///
/// # Errors
/// [`StoreError::Duplicate`] of [`LOOKUP_INDEX`] when the token exists already, which is for the caller to try again
/// with another one.
pub async fn insert(conn: &mut Conn, key: &Key, version: &KeyVersion) -> Result<(), StoreError> {
    diesel::insert_into(keys::table).values(KeyRow::from(key)).execute(conn).await?;
    insert_version(conn, key, version).await
}

/// Writes a version of a key.
///
/// # Errors
/// As [`insert`].
pub async fn insert_version(conn: &mut Conn, key: &Key, version: &KeyVersion) -> Result<(), StoreError> {
    diesel::insert_into(key_versions::table).values(VersionRow::new(key, version)).execute(conn).await?;
    Ok(())
}

/// Makes a slot for a successor: a version without a secret, or with a sealed one. `false` when there is one already,
/// however many instances come at once.
///
/// # Errors
/// As [`insert`].
pub async fn insert_slot(conn: &mut Conn, key: &Key, slot: &KeyVersion) -> Result<bool, StoreError> {
    let made = diesel::insert_into(key_versions::table)
        .values(VersionRow::new(key, slot))
        .on_conflict((key_versions::key_id, key_versions::version))
        .do_nothing()
        .execute(conn)
        .await?;
    Ok(made == 1)
}

/// Puts a secret into a slot: from here on it is a version like any other. `false` when the slot is gone.
///
/// # Errors
/// As [`insert`].
pub async fn fill_slot(
    conn: &mut Conn,
    slot: &KeyVersion,
    version: &KeyVersion,
    sequence: i64,
) -> Result<bool, StoreError> {
    let hash = version.secret_hash.as_ref().and_then(|hash| hash.as_ref().ok()).map(|hash| hash.as_str().to_owned());
    let waiting = key_versions::table
        .filter(key_versions::id.eq(slot.id.as_uuid()).and(key_versions::state.eq(VersionState::Pending.as_str())));
    let filled = diesel::update(waiting)
        .set((
            key_versions::state.eq(version.state.as_str()),
            key_versions::lookup_id.eq(version.lookup_id.map(|id| id.as_bytes().to_vec())),
            key_versions::pepper_version.eq(version.pepper_version),
            key_versions::secret_hash.eq(hash),
            key_versions::hint.eq(&version.hint),
            key_versions::created_at.eq(micros(version.created_at)),
            key_versions::expires_at.eq(micros(version.expires_at)),
            key_versions::valid_until.eq(micros(version.valid_until)),
            key_versions::claimed_at.eq(version.claimed_at.map(micros)),
            key_versions::seq.eq(sequence),
        ))
        .execute(conn)
        .await?;
    Ok(filled == 1)
}

/// Takes a key's slot away, if it has one.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove_slot(conn: &mut Conn, key: KeyId) -> Result<bool, StoreError> {
    let waiting = key_versions::table
        .filter(key_versions::key_id.eq(key.as_uuid()).and(key_versions::state.eq(VersionState::Pending.as_str())));
    Ok(diesel::delete(waiting).execute(conn).await? > 0)
}

/// What stands beside the current versions of keys: slots, and predecessors that are still accepted.
///
/// # Errors
/// When the database can't be reached.
pub async fn beside_current(
    conn: &mut Conn,
    ids: &[KeyId],
    now: DateTime<Utc>,
) -> Result<HashMap<KeyId, Vec<KeyVersion>>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let superseded = key_versions::state.eq("superseded").and(key_versions::valid_until.gt(now));
    let rows: Vec<VersionRow> = key_versions::table
        .filter(key_versions::key_id.eq_any(ids).and(key_versions::state.eq("pending").or(superseded)))
        .select(VersionRow::as_select())
        .load(conn)
        .await?;
    let mut beside: HashMap<KeyId, Vec<KeyVersion>> = HashMap::new();
    for row in rows {
        beside.entry(KeyId::from_uuid(row.key_id)).or_default().push(row.try_into()?);
    }
    Ok(beside)
}

/// A key with all of its versions. `organization` bounds where it is looked for; none looks everywhere (operators).
///
/// # Errors
/// When the database can't be reached.
pub async fn find(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: KeyId,
) -> Result<Option<KeySnapshot>, StoreError> {
    let row: Option<KeyRow> =
        keys::table.find(id.as_uuid()).select(KeyRow::as_select()).first(conn).await.optional()?;
    one_snapshot(conn, organization, row).await
}

/// As [`find`], and locks the key until the end of the transaction: changes of one key take turns here.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: KeyId,
) -> Result<Option<KeySnapshot>, StoreError> {
    let row: Option<KeyRow> =
        keys::table.find(id.as_uuid()).select(KeyRow::as_select()).for_no_key_update().first(conn).await.optional()?;
    one_snapshot(conn, organization, row).await
}

async fn one_snapshot(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    row: Option<KeyRow>,
) -> Result<Option<KeySnapshot>, StoreError> {
    let row = row.filter(|row| organization.is_none_or(|wanted| wanted.as_uuid() == row.organization_id));
    Ok(snapshots(conn, row.into_iter().collect(), None).await?.pop())
}

/// The key whose version has one of these look-up digests, with all of its versions.
///
/// # Errors
/// When the database can't be reached.
pub async fn find_by_lookup(conn: &mut Conn, lookups: &[LookupId]) -> Result<Option<KeySnapshot>, StoreError> {
    let digests: Vec<&[u8]> = lookups.iter().map(|lookup| lookup.as_bytes().as_slice()).collect();
    let row: Option<KeyRow> = keys::table
        .inner_join(key_versions::table.on(key_versions::key_id.eq(keys::id)))
        .filter(key_versions::lookup_id.eq_any(digests))
        .select(KeyRow::as_select())
        .first(conn)
        .await
        .optional()?;
    one_snapshot(conn, None, row).await
}

pub(crate) async fn snapshots(
    conn: &mut Conn,
    rows: Vec<KeyRow>,
    ended_after: Option<DateTime<Utc>>,
) -> Result<Vec<KeySnapshot>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut query = key_versions::table
        .filter(key_versions::key_id.eq_any(ids))
        .order((key_versions::key_id, key_versions::version))
        .select(VersionRow::as_select())
        .into_boxed();
    if let Some(moment) = ended_after {
        query = query.filter(key_versions::valid_until.gt(moment).or(key_versions::state.eq("pending")));
    }
    let mut versions: HashMap<Uuid, Vec<KeyVersion>> = HashMap::new();
    for row in query.load::<VersionRow>(conn).await? {
        versions.entry(row.key_id).or_default().push(row.try_into()?);
    }
    rows.into_iter()
        .map(|row| {
            let versions = versions.remove(&row.id).unwrap_or_default();
            Ok(KeySnapshot { key: row.try_into()?, versions })
        })
        .collect()
}

/// A key that can't be read, with its number in the feed.
#[derive(Debug, Clone, Copy)]
pub struct Unreadable {
    /// The key.
    pub key: KeyId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Its number.
    pub sequence: i64,
}

/// As [`snapshots`], one key at a time where they can't all be read: a row that somebody has broken must not keep the
/// changes of all others from being seen.
pub(crate) async fn readable_snapshots(
    conn: &mut Conn,
    rows: Vec<KeyRow>,
    ended_after: Option<DateTime<Utc>>,
) -> Result<(Vec<KeySnapshot>, Vec<Unreadable>), StoreError> {
    match snapshots(conn, rows.clone(), ended_after).await {
        Err(StoreError::CorruptRow { .. }) => {}
        read => return Ok((read?, Vec::new())),
    }
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        let key = KeyId::from_uuid(row.id);
        let about = Unreadable { key, organization: OrganizationId::from_uuid(row.organization_id), sequence: row.seq };
        match snapshots(conn, vec![row], ended_after).await {
            Ok(snapshot) => readable.extend(snapshot),
            Err(StoreError::CorruptRow { table, column, id }) => {
                tracing::error!(table, column, id, "a row can't be read; its key is refused");
                unreadable.push(about);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((readable, unreadable))
}

/// Writes a changed key, if its row is still the one that was read. The caller has put the new number of the feed into
/// `key.sequence`; `seen` is the one that was read.
///
/// # Errors
/// When the database can't be reached.
pub async fn update(conn: &mut Conn, key: &Key, seen: i64) -> Result<bool, StoreError> {
    let mut row = KeyRow::from(key);
    // Written by calls, not by changes: what was read here may be older than what the table holds.
    let used: Option<(Option<DateTime<Utc>>, Vec<IpNetwork>)> =
        keys::table.find(row.id).select((keys::last_used_at, keys::last_used_ips)).first(conn).await.optional()?;
    (row.last_used_at, row.last_used_ips) = used.unwrap_or_default();
    let changed =
        diesel::update(keys::table.filter(keys::id.eq(row.id).and(keys::seq.eq(seen)))).set(&row).execute(conn).await?;
    Ok(changed == 1)
}

/// Writes the state and the end of a version, if it is still in the state that was read.
///
/// # Errors
/// When the database can't be reached.
pub async fn end_version(
    conn: &mut Conn,
    version: &KeyVersion,
    seen: VersionState,
    sequence: i64,
) -> Result<bool, StoreError> {
    let changed = diesel::update(
        key_versions::table
            .filter(key_versions::id.eq(version.id.as_uuid()).and(key_versions::state.eq(seen.as_str()))),
    )
    .set((
        key_versions::state.eq(version.state.as_str()),
        key_versions::expires_at.eq(micros(version.expires_at)),
        key_versions::valid_until.eq(micros(version.valid_until)),
        key_versions::seq.eq(sequence),
    ))
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Puts a version under another pepper, if it is still under the one that was read.
///
/// # Errors
/// When the database can't be reached.
pub async fn reindex(
    conn: &mut Conn,
    version: KeyVersionId,
    old_pepper: i16,
    lookup: &LookupId,
    pepper: i16,
    sequence: i64,
) -> Result<bool, StoreError> {
    let changed = diesel::update(
        key_versions::table
            .filter(key_versions::id.eq(version.as_uuid()).and(key_versions::pepper_version.eq(old_pepper))),
    )
    .set((
        key_versions::lookup_id.eq(lookup.as_bytes().as_slice()),
        key_versions::pepper_version.eq(pepper),
        key_versions::seq.eq(sequence),
    ))
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Stamps a key with a new number of the feed, so that instances read it again.
///
/// # Errors
/// When the database can't be reached.
pub async fn stamp(conn: &mut Conn, id: KeyId, sequence: i64) -> Result<(), StoreError> {
    diesel::update(keys::table.find(id.as_uuid())).set(keys::seq.eq(sequence)).execute(conn).await?;
    Ok(())
}

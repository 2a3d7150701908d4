//! Keys of signed access tokens, sealed.

use chrono::{DateTime, Utc};
use diesel::{
    AsChangeset, ExpressionMethods as _, Insertable, QueryDsl as _, Queryable, Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use statuspulse_oauth::jwks::Times;

use crate::{Conn, error::StoreError, rows::micros, schema::oauth_signing_keys};

/// A signing key.
#[derive(Clone)]
pub struct SigningKey {
    /// Its name in headers and in the set: the RFC 7638 thumbprint.
    pub kid: String,
    /// Coordinate x, base64url.
    pub x: String,
    /// Coordinate y, base64url.
    pub y: String,
    /// PKCS #8, sealed.
    pub private_sealed: Vec<u8>,
    /// Version of the master key that seals it.
    pub key_version: i16,
    /// When it is published and signs.
    pub times: Times,
    /// Place in the change feed.
    pub sequence: i64,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SigningKey({})", self.kid)
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = oauth_signing_keys)]
struct SigningKeyRow {
    kid: String,
    public_x: String,
    public_y: String,
    private_sealed: Vec<u8>,
    key_version: i16,
    publish_at: DateTime<Utc>,
    sign_from: DateTime<Utc>,
    sign_until: DateTime<Utc>,
    publish_until: DateTime<Utc>,
    seq: i64,
}

/// Writes a new key, or the changed times of one.
///
/// # Errors
/// When the database can't be reached.
pub async fn write(conn: &mut Conn, key: &SigningKey) -> Result<(), StoreError> {
    let row = || SigningKeyRow {
        kid: key.kid.clone(),
        public_x: key.x.clone(),
        public_y: key.y.clone(),
        private_sealed: key.private_sealed.clone(),
        key_version: key.key_version,
        publish_at: micros(key.times.publish_at),
        sign_from: micros(key.times.sign_from),
        sign_until: micros(key.times.sign_until),
        publish_until: micros(key.times.publish_until),
        seq: key.sequence,
    };
    diesel::insert_into(oauth_signing_keys::table)
        .values(row())
        .on_conflict(oauth_signing_keys::kid)
        .do_update()
        .set(row())
        .execute(conn)
        .await?;
    Ok(())
}

/// All keys that are not gone for good, oldest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn all(conn: &mut Conn) -> Result<Vec<SigningKey>, StoreError> {
    let rows: Vec<SigningKeyRow> = oauth_signing_keys::table
        .order((oauth_signing_keys::sign_from, oauth_signing_keys::kid))
        .select(SigningKeyRow::as_select())
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| SigningKey {
            kid: row.kid,
            x: row.public_x,
            y: row.public_y,
            private_sealed: row.private_sealed,
            key_version: row.key_version,
            times: Times {
                publish_at: row.publish_at,
                sign_from: row.sign_from,
                sign_until: row.sign_until,
                publish_until: row.publish_until,
            },
            sequence: row.seq,
        })
        .collect())
}

/// Whether one of them changed after a number of the feed.
///
/// # Errors
/// When the database can't be reached.
pub(crate) async fn changed_after(conn: &mut Conn, after: i64) -> Result<bool, StoreError> {
    let count: i64 =
        oauth_signing_keys::table.filter(oauth_signing_keys::seq.gt(after)).count().get_result(conn).await?;
    Ok(count > 0)
}

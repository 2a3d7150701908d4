//! The keys that sign checkpoints: made here, kept sealed in the database, the same on every instance.

use statuspulse_audit::{PublicKey, SigningKey};
use statuspulse_keys::MasterKey;
use statuspulse_store::{
    Conn,
    audit::checkpoints::{self, SigningKeyRow},
};
use zeroize::Zeroizing;

use crate::{
    app::App,
    error::AppError,
    signing::{open, seal},
};

/// A key with its public half as the table has it.
pub struct Key {
    /// The public half.
    pub public: PublicKey,
    /// The secret half; none where this instance lacks the master key that seals it.
    pub(super) signing: Option<SigningKey>,
    /// Whether it is the one that signs.
    pub in_force: bool,
}

impl Key {
    /// Whether this instance has the master key under which the secret half is sealed.
    #[must_use]
    pub const fn can_sign(&self) -> bool {
        self.signing.is_some()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("public", &self.public).field("in_force", &self.in_force).finish_non_exhaustive()
    }
}

/// All keys, oldest first. Whose secret half can't be opened, or doesn't fit the public one, is not one of ours: somebody
/// has changed the table.
///
/// # Errors
/// 503, or 500 for a key that is not one of ours.
pub async fn all(app: &App, conn: &mut Conn) -> Result<Vec<Key>, AppError> {
    let mut keys = Vec::new();
    for row in checkpoints::keys(conn).await? {
        let foreign = || AppError::internal(format!("the audit signing key `{}` is not one of ours", row.key_id));
        let public: [u8; 32] = row.public_key.as_slice().try_into().map_err(|_| foreign())?;
        let public = PublicKey::from_bytes(&public).map_err(|_| foreign())?;
        let master =
            u8::try_from(row.master_version).ok().and_then(|_| app.secrets.masters().version(row.master_version));
        let signing = match master {
            Some(master) => {
                let seed =
                    open(&sealing(master, &row.key_id), row.key_id.as_bytes(), &row.sealed).map_err(|_| foreign())?;
                let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| foreign())?;
                let key = SigningKey::from_seed(&Zeroizing::new(seed));
                if key.public_key() != public {
                    return Err(foreign());
                }
                Some(key)
            }
            None => None,
        };
        keys.push(Key { public, signing, in_force: row.replaced_at.is_none() });
    }
    Ok(keys)
}

/// The key that signs; made where there is none yet.
///
/// # Errors
/// 503, or 500 where this instance lacks the master key that seals it.
pub(crate) async fn in_force(app: &App, conn: &mut Conn) -> Result<SigningKey, AppError> {
    for _ in 0..2 {
        if let Some(key) = all(app, conn).await?.into_iter().rfind(|key| key.in_force) {
            return key
                .signing
                .ok_or_else(|| AppError::internal("the audit signing key is sealed under another master key"));
        }
        let (row, _) = make(app)?;
        // Another instance may be faster; then its key counts.
        checkpoints::add_key(conn, &row, None).await?;
    }
    Err(AppError::internal("no audit signing key can be made"))
}

/// A new key, sealed.
pub(super) fn make(app: &App) -> Result<(SigningKeyRow, SigningKey), AppError> {
    let master = app.secrets.settled_master().ok_or_else(|| AppError::internal("no master key"))?;
    let seed = Zeroizing::new(app.env.random::<32>()?);
    let key = SigningKey::from_seed(&seed);
    let key_id = key.public_key().key_id().to_string();
    let row = SigningKeyRow {
        sealed: seal(app, &sealing(master, &key_id), key_id.as_bytes(), seed.as_slice())?,
        public_key: key.public_key().to_bytes().to_vec(),
        master_version: master.version(),
        created_at: app.env.now(),
        replaced_at: None,
        key_id,
    };
    Ok((row, key))
}

fn sealing(master: &MasterKey, key_id: &str) -> Zeroizing<[u8; 32]> {
    master.derive("audit-signing-key", key_id.as_bytes())
}

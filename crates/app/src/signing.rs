//! The keys of signed access tokens: made here, kept sealed in the database, the same on every instance.

use std::{fmt, ops::Deref, sync::Arc};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use statuspulse_audit::{Action, Class};
use statuspulse_keys::MasterKey;
use statuspulse_oauth::{
    jwks::{self, Times},
    jwt::{self, Claims},
};
use statuspulse_policy::Code;
use statuspulse_store::{
    AsyncConnection as _, Conn, feed,
    oauth::signing_keys::{self, SigningKey},
};
use zeroize::Zeroizing;

use crate::{app::App, caller::Caller, error::AppError};

const NONCE: usize = 12;
/// A longer text is no token of ours.
const LONGEST: usize = 4_096;

/// A key as it is used.
struct Loaded {
    kid: String,
    times: Times,
    public: Value,
    verifying: DecodingKey,
    /// None where this instance lacks the master key that seals it.
    signing: Option<EncodingKey>,
}

/// The keys that are known here, oldest first, as of a number of the change feed.
#[derive(Default)]
struct Keys {
    list: Vec<Loaded>,
    sequence: i64,
}

impl Deref for Keys {
    type Target = [Loaded];

    fn deref(&self) -> &[Loaded] {
        &self.list
    }
}

/// The keys of signed access tokens that are known here.
#[derive(Default)]
pub struct Signing(ArcSwap<Keys>);

impl fmt::Debug for Signing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signing({} keys)", self.0.load().len())
    }
}

impl Signing {
    /// Puts keys in force, unless newer ones are: who has just written some may be slower than the feed.
    pub(crate) fn set(&self, app: &App, keys: Vec<SigningKey>) {
        let sequence = keys.iter().map(|key| key.sequence).max().unwrap_or_default();
        let load = |key: SigningKey| match load(app, &key) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                tracing::error!(kid = %key.kid, %error, "a signing key can't be read");
                None
            }
        };
        let fresh = Arc::new(Keys { list: keys.into_iter().filter_map(load).collect(), sequence });
        self.0.rcu(|held| if held.sequence > sequence { Arc::clone(held) } else { Arc::clone(&fresh) });
    }

    /// Forgets everything: the feed has gone back, so no number means anything any more.
    pub(crate) fn forget(&self) {
        self.0.store(Arc::default());
    }

    /// The public keys that are published now (RFC 7517 §5).
    #[must_use]
    pub fn published(&self, now: DateTime<Utc>) -> Vec<Value> {
        self.0.load().iter().filter(|key| key.times.is_published(now)).map(|key| key.public.clone()).collect()
    }

    /// Signs claims.
    ///
    /// # Errors
    /// None when no key signs now.
    pub fn sign(&self, claims: &Claims, now: DateTime<Utc>) -> Result<Option<Zeroizing<String>>, AppError> {
        let keys = self.0.load();
        let times: Vec<Times> = keys.iter().map(|key| key.times).collect();
        let Some(key) = jwks::signer(&times, now).and_then(|place| keys.get(place)) else { return Ok(None) };
        let Some(signing) = &key.signing else {
            return Err(AppError::internal("the signing key is sealed under a master key that isn't here"));
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(jwt::TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        let token = jsonwebtoken::encode(&header, claims, signing).map_err(AppError::internal)?;
        Ok(Some(Zeroizing::new(token)))
    }

    /// Reads a token of ours: type, algorithm, key, signature, issuer, times.
    ///
    /// # Errors
    /// [`Code::Malformed`], [`Code::Unknown`] or [`Code::Expired`].
    pub fn read(&self, token: &str, issuer: &str, now: DateTime<Utc>) -> Result<Claims, Code> {
        if token.len() > LONGEST || !jwt::has_outline(token) {
            return Err(Code::Malformed);
        }
        let claims = self.claims(token, now)?;
        if claims.hold(issuer, now) {
            Ok(claims)
        } else if claims.iss == issuer && claims.exp <= now.timestamp() {
            Err(Code::Expired)
        } else {
            Err(Code::Unknown)
        }
    }

    /// The id of a token that was signed here, whatever it says of issuer and time.
    #[must_use]
    pub fn id_of(&self, token: &str, now: DateTime<Utc>) -> Option<String> {
        let small = token.len() <= LONGEST && jwt::has_outline(token);
        small.then(|| self.claims(token, now).ok().map(|claims| claims.jti)).flatten()
    }

    /// The claims under a good signature: type, algorithm, key.
    fn claims(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, Code> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Code::Malformed)?;
        // RFC 8725 §3.1, §3.11: the algorithm is ours to choose, and another kind of token is no access token.
        if header.alg != Algorithm::ES256 || header.typ.as_deref() != Some(jwt::TYPE) {
            return Err(Code::Malformed);
        }
        let keys = self.0.load();
        let kid = header.kid.ok_or(Code::Unknown)?;
        let key = keys.iter().find(|key| key.kid == kid && key.times.is_published(now)).ok_or(Code::Unknown)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        // The library goes by the system's clock and grants a minute; whoever asks judges the times by our own.
        let read = jsonwebtoken::decode::<Claims>(token, &key.verifying, &validation);
        Ok(read.map_err(|_| Code::Unknown)?.claims)
    }
}

/// Proves at start that signing and checking work here: with the wrong set of features the library panics at its first use.
///
/// # Errors
/// A defect of the build.
pub(crate) fn self_test(now: DateTime<Utc>) -> Result<(), AppError> {
    let made = make()?;
    let claims = Claims {
        iss: "self-test".into(),
        sub: String::new(),
        aud: jwt::Audience::new(&[]),
        exp: now.timestamp() + 1,
        iat: now.timestamp(),
        jti: String::new(),
        client_id: String::new(),
        scope: String::new(),
    };
    let signing = Signing::default();
    let key = Loaded {
        public: jwks::public_member(&made.kid, &made.x, &made.y),
        verifying: DecodingKey::from_ec_components(&made.x, &made.y).map_err(AppError::internal)?,
        signing: Some(EncodingKey::from_ec_der(&made.private)),
        times: Times::starting(now, now),
        kid: made.kid,
    };
    signing.0.store(Arc::new(Keys { list: vec![key], sequence: 0 }));
    let token = signing.sign(&claims, now)?.ok_or_else(|| AppError::internal("nothing was signed"))?;
    match signing.read(&token, "self-test", now) {
        Ok(read) if read == claims => Ok(()),
        _ => Err(AppError::internal("signed tokens can't be read back")),
    }
}

/// A fresh key pair.
struct Made {
    kid: String,
    x: String,
    y: String,
    private: Zeroizing<Vec<u8>>,
}

fn make() -> Result<Made, AppError> {
    let failed = |_| AppError::internal("a signing key could not be made");
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).map_err(failed)?;
    let private = Zeroizing::new(document.as_ref().to_vec());
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private)
        .map_err(|_| AppError::internal("a signing key could not be read back"))?;
    // SEC 1 §2.3.3: 0x04, then the two coordinates.
    let (x, y) = pair
        .public_key()
        .as_ref()
        .split_first()
        .map(|(_, both)| both.split_at(both.len() / 2))
        .ok_or_else(|| AppError::internal("a public key without coordinates"))?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    // RFC 7638 §3: the required members in lexical order, without blanks.
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    Ok(Made { kid: URL_SAFE_NO_PAD.encode(Sha256::digest(members)), x, y, private })
}

fn sealing_key(secret: &[u8; 32]) -> Result<LessSafeKey, AppError> {
    let key = UnboundKey::new(&AES_256_GCM, secret).map_err(|_| AppError::internal("no sealing key"))?;
    Ok(LessSafeKey::new(key))
}

/// Seals bytes under a key that serves for nothing else: nonce, then ciphertext and tag. `context` is bound to them.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn seal(app: &App, secret: &[u8; 32], context: &[u8], plain: &[u8]) -> Result<Vec<u8>, AppError> {
    let nonce = app.env.random::<NONCE>()?;
    let mut sealed = Zeroizing::new(plain.to_vec());
    sealing_key(secret)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut *sealed)
        .map_err(|_| AppError::internal("sealing failed"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`seal`] sealed.
///
/// # Errors
/// When it was sealed under another key or context, or was changed.
pub(crate) fn open(secret: &[u8; 32], context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AppError> {
    let broken = || AppError::internal("what was sealed can't be opened");
    let (nonce, rest) = sealed.split_at_checked(NONCE).ok_or_else(broken)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
    let mut text = Zeroizing::new(rest.to_vec());
    let length = sealing_key(secret)?.open_in_place(nonce, Aad::from(context), &mut text).map_err(|_| broken())?.len();
    text.truncate(length);
    Ok(text)
}

fn key_of(master: &MasterKey, kid: &str) -> Zeroizing<[u8; 32]> {
    master.derive("oauth-signing-key", kid.as_bytes())
}

fn load(app: &App, key: &SigningKey) -> Result<Loaded, AppError> {
    let signing = match app.secrets.masters().version(key.key_version) {
        Some(master) => {
            let private = open(&key_of(master, &key.kid), key.kid.as_bytes(), &key.private_sealed)?;
            Some(EncodingKey::from_ec_der(&private))
        }
        None => None,
    };
    Ok(Loaded {
        kid: key.kid.clone(),
        times: key.times,
        public: jwks::public_member(&key.kid, &key.x, &key.y),
        verifying: DecodingKey::from_ec_components(&key.x, &key.y).map_err(AppError::internal)?,
        signing,
    })
}

fn sealed(app: &App, times: Times, sequence: i64) -> Result<SigningKey, AppError> {
    let master = app.secrets.settled_master().ok_or_else(|| AppError::internal("no master key"))?;
    let made = make()?;
    let private_sealed = seal(app, &key_of(master, &made.kid), made.kid.as_bytes(), &made.private)?;
    let Made { kid, x, y, .. } = made;
    Ok(SigningKey { kid, x, y, private_sealed, key_version: master.version(), times, sequence })
}

/// Makes the key that is due, if one is. Instances that come at the same time take turns on the feed, and the second one
/// finds it made.
///
/// # Errors
/// 503.
pub async fn ensure(app: &App) -> Result<(), AppError> {
    let now = app.env.now();
    let known: Vec<Times> = app.signing.0.load().iter().map(|key| key.times).collect();
    if jwks::due(&known, now).is_none() {
        return Ok(());
    }
    let mut conn = app.conn().await?;
    let keys = conn
        .transaction(async |conn| {
            // Taken first here: it is what makes the instances take turns.
            let sequence = feed::next(conn).await?;
            let mut keys = signing_keys::all(conn).await?;
            let held: Vec<Times> = keys.iter().map(|key| key.times).collect();
            if let Some(times) = jwks::due(&held, now) {
                let key = sealed(app, times, sequence)?;
                signing_keys::write(conn, &key).await?;
                keys.push(key);
            }
            Ok::<_, AppError>(keys)
        })
        .await?;
    app.signing.set(app, keys);
    Ok(())
}

/// Changes the signing key at once: the present one signs no more and stays published until its tokens have ended.
/// Answers the id of the new one.
///
/// # Errors
/// 503.
pub async fn rotate(app: &App, caller: &Caller) -> Result<String, AppError> {
    let now = app.env.now();
    let event = caller.event(app, Class::A, Action::SigningKeyRotate, None)?;
    let mut conn = app.conn().await?;
    let (keys, kid) = conn
        .transaction(async |conn| {
            let sequence = feed::next(conn).await?;
            end_current(conn, now, sequence).await?;
            let key = sealed(app, Times::starting(now, now), sequence)?;
            signing_keys::write(conn, &key).await?;
            app.recorder.record(conn, event.with("kid", key.kid.clone())).await?;
            Ok::<_, AppError>((signing_keys::all(conn).await?, key.kid))
        })
        .await?;
    caller.mark_recorded();
    app.signing.set(app, keys);
    app.replica.catch_up().await;
    Ok(kid)
}

/// Keys that sign now stop; one that waits for its turn is never going to get it.
async fn end_current(conn: &mut Conn, now: DateTime<Utc>, sequence: i64) -> Result<(), AppError> {
    for mut key in signing_keys::all(conn).await? {
        if key.times.sign_until > now {
            key.times = key.times.ending(now.max(key.times.publish_at));
            key.times.sign_from = key.times.sign_from.min(key.times.sign_until);
            key.sequence = sequence;
            signing_keys::write(conn, &key).await?;
        }
    }
    Ok(())
}

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use statuspulse_audit::{Action, Class, EventType};
use statuspulse_keys::{Key, KeyVersion, Prefix, SecretHash, Token, VersionState, lifespan, token::ENTROPY_BYTES};
use statuspulse_policy::{Environment, KeyId, KeyVersionId};
use statuspulse_store::{
    AsyncConnection as _, Conn, feed,
    idempotency::{self, Delivered, RequestName},
    keys, organizations,
};
use zeroize::Zeroizing;

use super::{
    Issued, KEY_LIMIT, allowlist_for, allowlist_warnings, check_key_name, check_rate_limit, check_recipient,
    environment_of, facts, notes_for, scopes_for, view,
};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::{AppError, FieldError},
    maintenance::IDEMPOTENCY,
    webhooks::News,
};

/// What a new key is asked to be, as it comes from outside.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateKey {
    /// 1 to 100 characters.
    pub name: String,
    /// `production`, `staging` or `analytics`.
    pub environment: String,
    /// Scopes by name; this or a preset.
    pub scopes: Option<Vec<String>>,
    /// A preset by name.
    pub preset: Option<String>,
    /// 1 to 50 networks; none means any address.
    pub allowed_cidrs: Option<Vec<String>>,
    /// Days to live; none means the maximum.
    pub expires_in_days: Option<i64>,
    /// Whether a successor is prepared before the end.
    pub auto_rotate: bool,
    /// Accepted calls a minute; none means no limit.
    pub rate_limit_per_minute: Option<i64>,
    /// Recipient of sealed successors.
    pub successor_public_key: Option<String>,
    /// Notes by network.
    pub allowlist_notes: BTreeMap<String, String>,
    /// Whether wide networks are meant.
    pub allow_any: bool,
    /// Honeytoken.
    pub canary: bool,
}

/// Creates a key. The token is in the answer and nowhere else.
///
/// # Errors
/// 422 by field, 403 `scope_not_grantable` or `role_not_sufficient`, 422 `key_limit_reached`, 409 `already_delivered` for
/// a repeated idempotency key, 503 when the hashing queue is full.
pub async fn create(
    app: &App,
    caller: &Caller,
    access: &Access,
    input: CreateKey,
    idempotency_key: Option<&str>,
) -> Result<Issued, AppError> {
    access.require_writer()?;
    let request = Request::new(caller, access, idempotency_key, &("create", &input))?;
    // First of all: what was carried out stays so, whatever the rules are by now.
    request.refuse_repeat(app).await?;
    let draft = judge(app, access, input)?;
    access.require_grantable(app, draft.scopes)?;
    loop {
        let id = KeyId::from_uuid(app.env.id()?);
        let secret = NewSecret::make(app, draft.environment).await?;
        let key = draft.key(app, caller, access, id);
        let version = secret.version(app, 1, key.created_at, key.created_at + key.lifespan)?;
        match write(app, caller, access, key, version, &request).await {
            Err(AppError::Conflict { code: TOKEN_TAKEN, .. }) => {}
            Err(error) => return Err(error),
            Ok(view) => {
                caller.mark_recorded();
                app.replica.catch_up().await;
                let warnings = allowlist_warnings(view.key.environment, view.key.allowlist.as_ref());
                return Ok(Issued { view, token: secret.token, warnings });
            }
        }
    }
}

/// Never on the wire: two tokens with the same digest, which nobody has ever seen, make another try.
pub(super) const TOKEN_TAKEN: &str = "token_taken";

async fn write(
    app: &App,
    caller: &Caller,
    access: &Access,
    mut key: Key,
    mut version: KeyVersion,
    request: &Request<'_>,
) -> Result<super::KeyView, AppError> {
    let now = key.created_at;
    let event = caller
        .event(app, Class::A, Action::KeyCreate, Some(access.organization.id))?
        .with("key_id", key.id.to_string())
        .with("environment", key.environment.as_str())
        .with("scopes", json!(app.catalog.load().names(key.scopes)))
        .with("restricted", key.allowlist.is_some())
        .with("expires_at", json!(version.expires_at))
        .with("canary", key.canary);
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        // Creations of one organization take turns here, so that the limit is counted and not guessed, and today's caps
        // are those that hold at the commit.
        let organization =
            organizations::lock(conn, access.organization.id).await?.ok_or(AppError::NotFound("organization"))?;
        request.judge_repeat(app, conn).await?;
        // Rights and caps as they are now, not as they were when the request came in.
        let today = Access { organization, right: access.right };
        today.require_grantable(app, key.scopes)?;
        let organization = &today.organization;
        let caps = organization.settings.caps;
        if keys::count_alive(conn, organization.id, &caps, now).await? >= KEY_LIMIT {
            return Err(AppError::field(
                "environment",
                "key_limit_reached",
                format!("an organization has at most {KEY_LIMIT} live keys; revoke some that nobody uses"),
            ));
        }
        key.lifespan = key.lifespan.min(caps.lifespan(key.environment));
        version.expires_at = now + key.lifespan;
        version.valid_until = version.expires_at;
        app.recorder.record(conn, event).await?;
        News::of_key(EventType::KeyCreated, &key, &version, version.expires_at).tell(app, conn).await?;
        key.sequence = feed::next(conn).await?;
        match keys::insert(conn, &key, &version).await {
            Err(error) if error.is_duplicate_of(keys::LOOKUP_INDEX) => {
                return Err(AppError::conflict(TOKEN_TAKEN, "the token exists"));
            }
            other => other?,
        }
        request.deliver(app, conn, key.id, 1).await?;
        let snapshot = keys::find(conn, Some(organization.id), key.id).await?.ok_or(AppError::NotFound("key"))?;
        view(conn, access, snapshot, now).await
    })
    .await
}

/// What was asked, read and judged.
struct Draft {
    environment: Environment,
    scopes: statuspulse_policy::ScopeSet,
    allowlist: Option<statuspulse_policy::Allowlist>,
    notes: BTreeMap<String, String>,
    lifespan: chrono::Duration,
    rate_limit: Option<u32>,
    input: CreateKey,
}

fn judge(app: &App, access: &Access, mut input: CreateKey) -> Result<Draft, AppError> {
    let mut errors = Errors::default();
    errors.check(check_key_name(&input.name));
    let environment = errors.check(environment_of(&input.environment));
    // What is wrong in any environment is told without one, too.
    let scopes = errors.check(scopes_for(app, environment, input.scopes.as_deref(), input.preset.as_deref()));
    let allowlist = errors.check(allowlist_for(access, input.allowed_cidrs.as_deref(), input.allow_any));
    let notes = allowlist.as_ref().and_then(|list| {
        errors.check(notes_for("allowlist_notes", list.as_ref(), std::mem::take(&mut input.allowlist_notes)))
    });
    let caps = access.organization.settings.caps;
    let out_of_bounds = |detail: String| AppError::field("expires_in_days", "out_of_bounds", detail);
    let lifespan = match environment {
        Some(environment) => {
            let chosen = caps.choose(environment, input.expires_in_days);
            errors.check(chosen.map_err(|error| out_of_bounds(error.to_string())))
        }
        None => {
            let judged = lifespan::judge_anywhere(input.expires_in_days);
            errors.check(judged.map_err(|error| out_of_bounds(error.to_string())));
            None
        }
    };
    let rate_limit = errors.check(check_rate_limit(input.rate_limit_per_minute));
    errors.check(check_recipient(access, input.successor_public_key.as_deref()));
    errors.finish()?;
    let (Some(environment), Some(scopes), Some(allowlist), Some(notes), Some(lifespan), Some(rate_limit)) =
        (environment, scopes, allowlist, notes, lifespan, rate_limit)
    else {
        return Err(AppError::internal("a field was refused without an error"));
    };
    Ok(Draft { environment, scopes, allowlist, notes, lifespan, rate_limit, input })
}

impl Draft {
    fn key(&self, app: &App, caller: &Caller, access: &Access, id: KeyId) -> Key {
        Key {
            id,
            organization_id: access.organization.id,
            environment: self.environment,
            name: self.input.name.clone(),
            scopes: self.scopes,
            allowlist: self.allowlist.clone(),
            allow_any: self.input.allow_any,
            allowlist_notes: self.notes.clone(),
            rate_limit_per_minute: self.rate_limit,
            lifespan: self.lifespan,
            auto_rotate: self.input.auto_rotate,
            successor_public_key: self.input.successor_public_key.clone(),
            canary: self.input.canary,
            current_version: 1,
            created_at: app.env.now(),
            created_by: caller.principal.creator(),
            disabled_at: None,
            revoked_at: None,
            revoke_reason: None,
            last_used_at: None,
            last_used_ips: Vec::new(),
            sequence: 0,
        }
    }
}

/// Collects the errors of all fields, so that a caller sees them at once. What is no error of a field ends the collection.
#[derive(Default)]
pub(super) struct Errors {
    fields: Vec<FieldError>,
    other: Option<AppError>,
}

impl Errors {
    pub(super) fn check<T>(&mut self, judged: Result<T, AppError>) -> Option<T> {
        match judged {
            Ok(value) => return Some(value),
            Err(AppError::Invalid(fields)) => self.fields.extend(fields),
            Err(error) => {
                self.other.get_or_insert(error);
            }
        }
        None
    }

    pub(super) fn finish(self) -> Result<(), AppError> {
        match (self.other, self.fields) {
            (Some(error), _) => Err(error),
            (None, fields) if fields.is_empty() => Ok(()),
            (None, fields) => Err(AppError::Invalid(fields)),
        }
    }
}

/// A token with everything that is stored of it. Made before the transaction opens: bcrypt takes tens of milliseconds.
pub(super) struct NewSecret {
    pub(super) token: Token,
    hash: SecretHash,
}

impl NewSecret {
    pub(super) async fn make(app: &App, environment: Environment) -> Result<Self, AppError> {
        let entropy = Zeroizing::new(app.env.random::<ENTROPY_BYTES>()?);
        let token = Token::from_entropy(Prefix::for_environment(environment), &entropy);
        let copy = Token::parse(token.expose()).map_err(AppError::internal)?;
        let (cost, salt) = (app.bcrypt_cost, app.env.random::<16>()?);
        let hash = app.gate.run(move || SecretHash::make(&copy, cost, salt)).await?.map_err(AppError::internal)?;
        Ok(Self { token, hash })
    }

    pub(super) fn version(
        &self,
        app: &App,
        number: i32,
        created_at: chrono::DateTime<chrono::Utc>,
        expires_at: chrono::DateTime<chrono::Utc>,
    ) -> Result<KeyVersion, AppError> {
        let pepper = app.secrets.current_pepper().ok_or_else(|| AppError::internal("no pepper is in force"))?;
        Ok(KeyVersion {
            id: KeyVersionId::from_uuid(app.env.id()?),
            number,
            state: VersionState::Live,
            lookup_id: Some(pepper.lookup_id(&self.token)),
            pepper_version: pepper.version(),
            secret_hash: Some(Ok(self.hash.clone())),
            hint: self.token.hint(),
            created_at,
            expires_at,
            valid_until: expires_at,
            claimed_at: None,
        })
    }
}

/// A request that makes a token, with its idempotency key, if it has one.
pub(super) struct Request<'a> {
    access: &'a Access,
    caller: String,
    /// Digest of the idempotency key: people put secrets into headers, too.
    key: Option<String>,
    digest: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        caller: &Caller,
        access: &'a Access,
        key: Option<&str>,
        asked: &impl Serialize,
    ) -> Result<Self, AppError> {
        let visible = |key: &str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_some_and(|key| !visible(key)) {
            let detail = "an idempotency key has 1 to 255 visible ASCII characters";
            return Err(AppError::field("Idempotency-Key", "invalid_idempotency_key", detail));
        }
        let asked = serde_json::to_vec(asked).map_err(AppError::internal)?;
        let key = key.map(|key| URL_SAFE_NO_PAD.encode(Sha256::digest(key)));
        Ok(Self { access, caller: caller.name(), key, digest: Sha256::digest(asked).to_vec() })
    }

    fn name(&self) -> Option<RequestName<'_>> {
        let organization = self.access.organization.id;
        self.key.as_deref().map(|key| RequestName { organization, caller: &self.caller, key })
    }

    /// Refuses a repeat before any work is done for it.
    pub(super) async fn refuse_repeat(&self, app: &App) -> Result<(), AppError> {
        if self.key.is_none() {
            return Ok(());
        }
        let mut conn = app.conn().await?;
        self.judge_repeat(app, &mut conn).await
    }

    /// The same within a transaction, where the lock on what is changed makes identical requests take turns.
    pub(super) async fn judge_repeat(&self, app: &App, conn: &mut Conn) -> Result<(), AppError> {
        let Some(name) = self.name() else { return Ok(()) };
        let Some(earlier) = idempotency::find(conn, name, app.env.now() - IDEMPOTENCY).await? else {
            return Ok(());
        };
        if earlier.request_digest != self.digest {
            let detail = "this idempotency key was used for another request; use a new one";
            return Err(AppError::field("Idempotency-Key", "idempotency_key_reused", detail));
        }
        Err(AppError::Conflict {
            code: "already_delivered",
            detail: "this request was carried out and its token shown once; rotate the key if the token is lost".into(),
            facts: facts([("key_id", json!(earlier.key.to_string())), ("version", json!(earlier.version))]),
        })
    }

    /// Remembers what was made, in its transaction; of two identical requests at once the second one is refused here.
    pub(super) async fn deliver(&self, app: &App, conn: &mut Conn, key: KeyId, version: i32) -> Result<(), AppError> {
        let Some(name) = self.name() else { return Ok(()) };
        let now = app.env.now();
        let delivered = Delivered { request_digest: self.digest.clone(), key, version };
        if idempotency::insert(conn, name, &delivered, now, now - IDEMPOTENCY).await? {
            Ok(())
        } else {
            self.judge_repeat(app, conn).await?;
            Err(AppError::Unavailable { cause: "an idempotency key was forgotten at this moment".into() })
        }
    }
}

//! The token endpoint: codes, refresh tokens and the client itself are traded for tokens.

use std::sync::Arc;

use chrono::Duration;
use serde_json::json;
use statuspulse_audit::{Action, AlertRule, Event, EventType};
use statuspulse_oauth::{
    Field, Form, Grant, GrantStatus, OpaqueToken, Resources, TokenDigest, TokenError, TokenErrorCode, TokenFormat,
    TokenKind,
    code::{self, Redemption},
    grant::ACCESS_SECONDS,
    jwt::{Audience, Claims},
    refresh::{self, Refresh, RefreshRecord},
    scope_request,
    token::TOKEN_ENTROPY,
    token_request::{CodeRequest, Endpoint, GrantType, RefreshRequest, TokenRequest},
};
use statuspulse_policy::{GrantId, ScopeSet};
use statuspulse_store::{
    AsyncConnection as _, Conn,
    alerts::Happening,
    feed,
    oauth::{
        apps, codes, grants,
        tokens::{self, AccessRecord},
    },
};
use zeroize::Zeroizing;

use super::{
    Circumstances, Refusal,
    client::{Client, authenticate, named, refuse},
    event, known, note_in, refused, scope_names,
};
use crate::{app::App, error::AppError, recorder, replica::HeldToken, signing, webhooks::News};

/// An access token on its way to the client.
pub enum AccessToken {
    /// Random.
    Opaque(OpaqueToken),
    /// Signed.
    Signed(Zeroizing<String>),
}

impl AccessToken {
    /// The whole secret, for the one answer that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Opaque(token) => token.expose(),
            Self::Signed(token) => token,
        }
    }
}

/// What a client gets. Neither `Debug` nor `Serialize`: the answer's form is the binary's business.
pub struct IssuedTokens {
    /// Access token.
    pub access: AccessToken,
    /// Seconds for which it lives.
    pub expires_in: i64,
    /// Refresh token; none for a client that acts for itself.
    pub refresh: Option<OpaqueToken>,
    /// Scopes, separated by blanks.
    pub scope: String,
}

/// Trades what a request presents for tokens. Whatever comes of it has its event when this returns.
///
/// # Errors
/// [`Refusal`].
pub async fn exchange(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
    endpoint: Endpoint,
) -> Result<IssuedTokens, Refusal> {
    let asked = form.one("grant_type").ok().flatten();
    let refreshes = endpoint == Endpoint::Refresh || asked == Some(Field::Text(GrantType::RefreshToken.as_str()));
    let action = if refreshes { Action::OauthRefresh } else { Action::OauthToken };
    let request = match TokenRequest::parse(form, endpoint) {
        Ok(request) => request,
        Err(error) => {
            let named = named(app, authorization, form);
            return Err(refuse(app, circumstances, action, named.as_deref(), error).await);
        }
    };
    let client = authenticate(app, circumstances, authorization, form, action).await?;
    if client.app.token_format == TokenFormat::Jwt {
        // Before a connection is in hand, since making a key takes one too, and the feed's lock.
        signing::ensure(app).await?;
    }
    let exchange = Exchange { app, circumstances, form, client: &client, action };
    let ended = match request {
        TokenRequest::Code(request) => exchange.redeem(&request).await?,
        TokenRequest::Refresh(request) => exchange.refresh(&request).await?,
        TokenRequest::ClientCredentials => exchange.for_itself().await?,
    };
    tokio::spawn(touch(Arc::clone(app), client));
    match ended {
        Ended::Issued(issued) => {
            circumstances.caller.mark_recorded();
            app.replica.oauth.hold(issued.held);
            Ok(issued.tokens)
        }
        Ended::Refused(error) => Err(Refusal::Error(error)),
        Ended::Revoked(error) => {
            app.replica.catch_up().await;
            Err(Refusal::Error(error))
        }
    }
}

/// Notes the use of app and secret, at most once a minute, behind the answer; the next use makes up for a note that gets
/// lost.
pub(super) async fn touch(app: Arc<App>, client: Client) {
    let now = app.env.now();
    let lately = |at: Option<chrono::DateTime<chrono::Utc>>| at.is_some_and(|at| now - at < Duration::minutes(1));
    let secret = client.app.secrets.iter().find(|secret| Some(secret.id) == client.secret);
    if lately(client.app.last_used_at) && secret.is_none_or(|secret| lately(secret.last_used_at)) {
        return;
    }
    let noted = async { apps::touch(&mut *app.pool.get().await?, client.app.id, client.secret, now).await };
    if let Err(error) = noted.await {
        tracing::warn!(%error, "the last use of an app could not be written");
    }
}

/// How an exchange ends; each has its event in the transaction.
enum Ended {
    Issued(Box<Issued>),
    /// Nothing was changed.
    Refused(TokenError),
    /// The grant was ended.
    Revoked(TokenError),
}

struct Issued {
    tokens: IssuedTokens,
    held: HeldToken,
}

struct Exchange<'a> {
    app: &'a Arc<App>,
    circumstances: &'a Circumstances<'a>,
    form: &'a Form,
    client: &'a Client,
    action: Action,
}

impl Exchange<'_> {
    fn event(&self, grant: Option<&Grant>) -> Result<Event, AppError> {
        let event = event(self.app, self.circumstances.caller, self.action, Some(&self.client.app), grant)?;
        Ok(self.client.sign(event))
    }

    /// The event of a refusal, in the transaction that changes nothing else.
    async fn refused(&self, conn: &mut Conn, grant: Option<&Grant>, error: TokenError) -> Result<Ended, AppError> {
        let event = refused(self.event(grant)?, error.reason, error.code.http_status());
        note_in(self.app, self.circumstances.caller, conn, event).await?;
        Ok(Ended::Refused(error))
    }

    async fn redeem(&self, request: &CodeRequest) -> Result<Ended, AppError> {
        let mut conn = self.app.conn().await?;
        let Some(presented) = &request.code else {
            return self.refused(&mut conn, None, TokenError::grant("code_malformed")).await;
        };
        let digests = self.app.secrets.token_digests(presented);
        conn.transaction(async |conn| self.redeem_in(conn, request, &digests).await).await
    }

    async fn redeem_in(
        &self,
        conn: &mut Conn,
        request: &CodeRequest,
        digests: &[TokenDigest],
    ) -> Result<Ended, AppError> {
        let Some((_, seen)) = codes::find(conn, digests).await? else {
            return self.refused(conn, None, TokenError::grant("code_unknown")).await;
        };
        // Everything that happens to a grant takes turns here; what was read before may be old by now.
        let standing = grants::lock(conn, seen.grant_id).await?;
        let (Some(standing), Some((digest, code))) = (standing, codes::find(conn, digests).await?) else {
            return self.refused(conn, None, TokenError::grant("code_unknown")).await;
        };
        let now = self.app.env.now();
        let catalog = self.app.catalog.load_full();
        let known = known(&catalog, self.circumstances.public_url);
        let grant = &standing.grant;
        let oauth_app = &self.client.app;
        match code::redeem(request, self.form, oauth_app, &code, borrowed(&standing), &known, now) {
            Redemption::Refuse { error, first_difference } => {
                // A stranger's code is none of this app's business, and neither is its grant.
                let grant = Some(grant).filter(|_| code.app_id == oauth_app.id);
                let mut event = refused(self.event(grant)?, error.reason, error.code.http_status());
                if let Some(at) = first_difference {
                    event = event.with("first_difference", at);
                }
                note_in(self.app, self.circumstances.caller, conn, event).await?;
                Ok(Ended::Refused(error))
            }
            Redemption::Issue { scopes, resources } => {
                // These two statements decide, also between processes; the lock only makes them cheap to lose.
                if !codes::redeem(conn, &digest, now).await? {
                    return self.replayed(conn, grant).await;
                }
                if !grants::activate(conn, grant.id).await? {
                    return Err(AppError::internal("a grant that was locked has ended"));
                }
                let first = self.new_refresh(conn, grant, 0, None).await?;
                let issued = self.issue(conn, grant, scopes, resources, Some(first)).await?;
                Ok(Ended::Issued(Box::new(issued)))
            }
            Redemption::Replay => self.replayed(conn, grant).await,
        }
    }

    async fn replayed(&self, conn: &mut Conn, grant: &Grant) -> Result<Ended, AppError> {
        self.end_grant(conn, grant, "code_replayed", AlertRule::CodeReplay).await
    }

    async fn refresh(&self, request: &RefreshRequest) -> Result<Ended, AppError> {
        let mut conn = self.app.conn().await?;
        let Some(presented) = &request.token else {
            return self.refused(&mut conn, None, TokenError::grant("refresh_token_malformed")).await;
        };
        let digests = self.app.secrets.token_digests(presented);
        conn.transaction(async |conn| self.refresh_in(conn, presented, &digests).await).await
    }

    async fn refresh_in(
        &self,
        conn: &mut Conn,
        presented: &OpaqueToken,
        digests: &[TokenDigest],
    ) -> Result<Ended, AppError> {
        let Some((_, seen)) = tokens::find_refresh(conn, digests).await? else {
            return self.refused(conn, None, TokenError::grant("refresh_token_unknown")).await;
        };
        let standing = grants::lock(conn, seen.grant_id).await?;
        let (Some(standing), Some((digest, token))) = (standing, tokens::find_refresh(conn, digests).await?) else {
            return self.refused(conn, None, TokenError::grant("refresh_token_unknown")).await;
        };
        let now = self.app.env.now();
        let catalog = self.app.catalog.load_full();
        let known = known(&catalog, self.circumstances.public_url);
        let grant = &standing.grant;
        let oauth_app = &self.client.app;
        match refresh::refresh(self.form, oauth_app, &token, borrowed(&standing), &catalog, &known, now) {
            Refresh::Refuse(error) => {
                let grant = Some(grant).filter(|grant| grant.app_id == oauth_app.id);
                self.refused(conn, grant, error).await
            }
            Refresh::Reuse => self.end_grant(conn, grant, "refresh_reuse_detected", AlertRule::RefreshReuse).await,
            Refresh::Rotate { scopes, resources } => {
                if !grants::rotate(conn, grant.id, token.generation, now).await? {
                    return Err(AppError::internal("a grant that was locked has moved on"));
                }
                let rotation = Rotation { presented, digest: &digest, token: &token };
                let next = self.new_refresh(conn, grant, token.generation + 1, Some(rotation)).await?;
                let issued = self.issue(conn, grant, scopes, resources, Some(next)).await?;
                Ok(Ended::Issued(Box::new(issued)))
            }
            Refresh::Retry { scopes, resources } => {
                let successor = unseal_successor(presented, &token)?;
                let mut issued = self.issue_quietly(conn, grant, scopes, resources).await?;
                issued.tokens.refresh = Some(successor);
                let mut event = self.event(Some(grant))?.with("scopes", scope_names(self.app, scopes));
                event.reason = Some("refresh_retry");
                note_in(self.app, self.circumstances.caller, conn, event).await?;
                Ok(Ended::Issued(Box::new(issued)))
            }
        }
    }

    async fn for_itself(&self) -> Result<Ended, AppError> {
        let mut conn = self.app.conn().await?;
        let oauth_app = &self.client.app;
        if oauth_app.kind != statuspulse_oauth::AppKind::Confidential {
            let error = TokenError::new(TokenErrorCode::UnauthorizedClient, "grant_type_not_allowed");
            return self.refused(&mut conn, None, error).await;
        }
        let catalog = self.app.catalog.load_full();
        let known = known(&catalog, self.circumstances.public_url);
        let asked = self.form.one("scope").ok().flatten();
        let scopes = match scope_request::requested(asked, &catalog, oauth_app.scopes, oauth_app.default_scopes) {
            Ok(scopes) => scopes,
            Err(why) => {
                let error = TokenError::new(TokenErrorCode::InvalidScope, why.as_str());
                return self.refused(&mut conn, None, error).await;
            }
        };
        let Ok(resources) = Resources::requested(self.form.all("resource"), &known) else {
            let error = TokenError::new(TokenErrorCode::InvalidTarget, "resource_unknown");
            return self.refused(&mut conn, None, error).await;
        };
        conn.transaction(async |conn| {
            let grant = self.own_grant(conn).await?;
            let issued = self.issue(conn, &grant, scopes, resources, None).await?;
            Ok(Ended::Issued(Box::new(issued)))
        })
        .await
    }

    /// The grant of an app that acts for itself: one at a time, made at its first token.
    async fn own_grant(&self, conn: &mut Conn) -> Result<Grant, AppError> {
        let oauth_app = &self.client.app;
        // Ended between the two statements, it is made again; that happens once, not for ever.
        for _ in 0..3 {
            if let Some(grant) = grants::own(conn, oauth_app.id).await? {
                return Ok(grant);
            }
            let grant = Grant {
                id: GrantId::from_uuid(self.app.env.id()?),
                user_id: None,
                organization_id: oauth_app.organization_id,
                app_id: oauth_app.id,
                scopes: oauth_app.scopes,
                resources: Resources::from_stored(vec![self.circumstances.public_url.to_owned()]),
                status: GrantStatus::Active,
                revoked_reason: None,
                revoked_at: None,
                generation: 0,
                created_at: self.app.env.now(),
                last_refresh_at: None,
                absolute_expires_at: None,
                last_used_at: None,
                last_used_ips: Vec::new(),
                sequence: 0,
            };
            if grants::insert(conn, &grant).await? {
                return Ok(grant);
            }
        }
        Err(AppError::Unavailable { cause: "an app's own grant keeps being ended".into() })
    }

    /// Ends a grant for what was done with one of its secrets: the event, the alert, the change.
    async fn end_grant(
        &self,
        conn: &mut Conn,
        grant: &Grant,
        reason: &'static str,
        rule: AlertRule,
    ) -> Result<Ended, AppError> {
        let now = self.app.env.now();
        let error = TokenError::grant(reason);
        if grant.status == GrantStatus::Revoked {
            // It has ended already, perhaps by the same replay a moment ago: there is nothing more to do.
            return self.refused(conn, Some(grant), error).await;
        }
        let mut event = refused(self.event(Some(grant))?, reason, error.code.http_status()).with("revoked", true);
        event.class = statuspulse_audit::Class::A;
        note_in(self.app, self.circumstances.caller, conn, event).await?;
        recorder::raise(self.app, conn, &self.happening(grant, rule)).await?;
        if rule == AlertRule::RefreshReuse {
            let oauth_app = &self.client.app;
            News::new(EventType::RefreshReuseDetected, grant.organization_id)
                .with("grant_id", json!(grant.id.to_string()))
                .with("user_id", json!(grant.user_id.map(|id| id.to_string())))
                .with(
                    "app",
                    json!({
                        "id": oauth_app.id.to_string(),
                        "client_id": oauth_app.client_id.to_string(),
                        "name": oauth_app.name,
                    }),
                )
                .tell(self.app, conn)
                .await?;
        }
        let sequence = feed::next(conn).await?;
        grants::revoke(conn, &[grant.id], reason, now, sequence).await?;
        Ok(Ended::Revoked(error))
    }

    fn happening(&self, grant: &Grant, rule: AlertRule) -> Happening {
        let caller = self.circumstances.caller;
        let now = self.app.env.now();
        let source = self.circumstances.client.ip().and_then(crate::verify::network_of);
        Happening::new(rule, Some(grant.organization_id), ("grant", grant.id), now)
            .with("app_id", self.client.app.id.to_string())
            .with("request_id", json!(caller.origin.request_id.map(|id| id.to_string())))
            .at_place(caller.origin.route.as_deref(), source)
    }

    /// Writes the next refresh token of a grant; where one is traded for it, that one is marked as used.
    async fn new_refresh(
        &self,
        conn: &mut Conn,
        grant: &Grant,
        generation: i64,
        rotation: Option<Rotation<'_>>,
    ) -> Result<OpaqueToken, AppError> {
        let now = self.app.env.now();
        let token =
            OpaqueToken::from_entropy(TokenKind::Refresh, &Zeroizing::new(self.app.env.random::<TOKEN_ENTROPY>()?));
        if let Some(Rotation { presented, digest, token: used }) = rotation {
            let sealed = if self.client.app.refresh_retry_seconds > 0 {
                Some(seal_successor(self.app, presented, used, &token)?)
            } else {
                None
            };
            if !tokens::mark_rotated(conn, digest, used, now, sealed.as_deref()).await? {
                return Err(AppError::internal("a refresh token was used under the lock of its grant"));
            }
        }
        let record = RefreshRecord {
            grant_id: grant.id,
            generation,
            issued_at: now,
            idle_expires_at: RefreshRecord::idle_end(now),
            rotated_at: None,
            successor_sealed: None,
        };
        let key = self.app.secrets.digest_key().ok_or_else(|| AppError::internal("no digest key"))?;
        tokens::insert_refresh(conn, &key.token(&token), &record, grant.scopes).await?;
        Ok(token)
    }

    /// Writes an access token with the event of the exchange.
    async fn issue(
        &self,
        conn: &mut Conn,
        grant: &Grant,
        scopes: ScopeSet,
        resources: Resources,
        refresh: Option<OpaqueToken>,
    ) -> Result<Issued, AppError> {
        let event = self.event(Some(grant))?.with("scopes", scope_names(self.app, scopes));
        let mut issued = self.issue_quietly(conn, grant, scopes, resources).await?;
        issued.tokens.refresh = refresh;
        self.app.recorder.record(conn, event).await?;
        Ok(issued)
    }

    async fn issue_quietly(
        &self,
        conn: &mut Conn,
        grant: &Grant,
        scopes: ScopeSet,
        resources: Resources,
    ) -> Result<Issued, AppError> {
        let now = self.app.env.now();
        let scope = scope_request::text(&self.app.catalog.load(), scopes);
        let key = self.app.secrets.digest_key().ok_or_else(|| AppError::internal("no digest key"))?;
        let (access, digest, jti) = match self.client.app.token_format {
            TokenFormat::Opaque => {
                let entropy = Zeroizing::new(self.app.env.random::<TOKEN_ENTROPY>()?);
                let token = OpaqueToken::from_entropy(TokenKind::Access, &entropy);
                let digest = key.token(&token);
                (AccessToken::Opaque(token), digest, None)
            }
            TokenFormat::Jwt => {
                let id = self.app.env.id()?.to_string();
                let claims = self.claims(grant, &resources, &scope, &id);
                let signed = self.app.signing.sign(&claims, now)?;
                let signed = signed.ok_or_else(|| AppError::internal("no key signs now"))?;
                (AccessToken::Signed(signed), key.jwt(&id), Some(id))
            }
        };
        let record = AccessRecord {
            grant_id: grant.id,
            jti,
            scopes,
            audiences: resources,
            issued_at: now,
            expires_at: now + Duration::seconds(ACCESS_SECONDS),
            revoked_at: None,
        };
        tokens::insert_access(conn, &digest, &record).await?;
        let held = HeldToken::new(digest, record, grant);
        Ok(Issued { tokens: IssuedTokens { access, expires_in: ACCESS_SECONDS, refresh: None, scope }, held })
    }

    fn claims(&self, grant: &Grant, resources: &Resources, scope: &str, id: &str) -> Claims {
        let issued_at = self.app.env.now().timestamp();
        let client_id = self.client.app.client_id.to_string();
        Claims {
            iss: self.circumstances.public_url.to_owned(),
            sub: grant.user_id.map_or_else(|| client_id.clone(), |user| user.to_string()),
            aud: Audience::new(resources.as_slice()),
            exp: issued_at + ACCESS_SECONDS,
            iat: issued_at,
            jti: id.to_owned(),
            client_id,
            scope: scope.to_owned(),
        }
    }
}

fn borrowed(standing: &grants::Standing) -> code::Standing<'_> {
    code::Standing { grant: &standing.grant, person_remains: standing.person_remains }
}

/// A refresh token that is being traded.
struct Rotation<'a> {
    presented: &'a OpaqueToken,
    digest: &'a TokenDigest,
    token: &'a RefreshRecord,
}

/// The key of a successor comes from the token before it, which is nowhere in the database (oauth §5.4).
fn successor_key(presented: &OpaqueToken) -> Result<Zeroizing<[u8; 32]>, AppError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    hkdf::Hkdf::<sha2::Sha256>::new(None, presented.expose().as_bytes())
        .expand(b"oauth-refresh-successor", key.as_mut_slice())
        .map_err(|_| AppError::internal("no key for a successor"))?;
    Ok(key)
}

fn successor_context(token: &RefreshRecord) -> Vec<u8> {
    [token.grant_id.as_uuid().as_bytes().as_slice(), &token.generation.to_be_bytes()].concat()
}

fn seal_successor(
    app: &App,
    presented: &OpaqueToken,
    used: &RefreshRecord,
    successor: &OpaqueToken,
) -> Result<Vec<u8>, AppError> {
    let key = successor_key(presented)?;
    signing::seal(app, &key, &successor_context(used), successor.expose().as_bytes())
}

fn unseal_successor(presented: &OpaqueToken, used: &RefreshRecord) -> Result<OpaqueToken, AppError> {
    let sealed = used.successor_sealed.as_deref().unwrap_or_default();
    let plain = signing::open(&*successor_key(presented)?, &successor_context(used), sealed)?;
    let text = std::str::from_utf8(&plain).unwrap_or_default();
    OpaqueToken::parse_as(TokenKind::Refresh, text).ok_or_else(|| AppError::internal("a successor that is no token"))
}

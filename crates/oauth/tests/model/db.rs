//! What the store keeps, and how it applies a decision: the guard is judged when the row is written, not when it was read.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use statuspulse_keys::{Creator, MasterKey};
use statuspulse_oauth::{
    App, AppKind, AppSecret, AppStatus, Challenge, ClientId, ClientSecret, DigestKey, Form, Grant, GrantStatus,
    OpaqueToken, RedirectUri, Resources, TokenError, TokenFormat, TokenKind,
    authorize::CODE_SECONDS,
    client_auth,
    code::{self, CodeRecord, Redemption, Standing},
    grant::ACCESS_SECONDS,
    refresh::{self, Refresh, RefreshRecord},
    resource::Known,
    token_request::{Endpoint, TokenRequest},
};
use statuspulse_policy::{AppId, AppSecretId, Catalog, GrantId, OrganizationId, ScopeSet, UserId};
use uuid::Uuid;

pub(crate) const REDIRECT_URI: &str = "https://app.example/cb";
const KNOWN: Known<'static> = Known { public_url: "https://auth.example", audiences: &[] };

type Key = [u8; 32];

#[derive(Debug)]
pub(crate) struct AccessRecord {
    pub(crate) grant: usize,
    pub(crate) scopes: ScopeSet,
    pub(crate) expires_at: DateTime<Utc>,
}

/// A request to the token endpoint.
pub(crate) struct Request {
    pub(crate) authorization: Vec<u8>,
    pub(crate) body: String,
}

/// What was decided on what was read, before anything is written.
pub(crate) enum Decided {
    Redeem(Key, Redemption),
    /// With the generation of the grant that was read.
    Refresh(Key, i64, Refresh),
    Refused,
}

/// What came of a request.
pub(crate) enum Outcome {
    Issued { refresh: String, scopes: ScopeSet },
    Retried { refresh: String, scopes: ScopeSet },
    Killed,
    Refused,
}

#[derive(Debug)]
pub(crate) struct Db {
    /// The app of every grant, and another one.
    pub(crate) apps: [App; 2],
    pub(crate) grants: Vec<Grant>,
    pub(crate) codes: BTreeMap<Key, CodeRecord>,
    pub(crate) refresh_tokens: BTreeMap<Key, RefreshRecord>,
    pub(crate) access_tokens: BTreeMap<Key, AccessRecord>,
    pub(crate) person_remains: bool,
    minted: u64,
    key: DigestKey,
    catalog: CatalogBox,
}

/// Kept out of `Debug`, which tells whether anything has changed.
struct CatalogBox(Catalog);

impl std::fmt::Debug for CatalogBox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Catalog")
    }
}

pub(crate) fn secret_of(app: usize) -> ClientSecret {
    ClientSecret::from_entropy(&[u8::try_from(app).unwrap(); 32])
}

fn app(number: usize, key: &DigestKey, now: DateTime<Utc>) -> App {
    let byte = u8::try_from(number).unwrap();
    let secret = secret_of(number);
    let creator = Creator::Operator("root".to_owned());
    App {
        id: AppId::from_uuid(Uuid::from_u128(byte.into())),
        client_id: ClientId::from_entropy(&[byte; 16]),
        organization_id: OrganizationId::from_uuid(Uuid::nil()),
        name: "app".to_owned(),
        kind: AppKind::Confidential,
        require_state: true,
        require_pkce: false,
        token_format: TokenFormat::Opaque,
        scopes: ScopeSet::EMPTY,
        default_scopes: ScopeSet::EMPTY,
        refresh_retry_seconds: 0,
        allowlist: None,
        any_port_on_localhost: false,
        audiences: Vec::new(),
        status: AppStatus::Active,
        deleted_at: None,
        tokens_valid_from: now,
        created_by: creator.clone(),
        created_at: now,
        updated_at: now,
        last_used_at: None,
        redirect_uris: vec![RedirectUri::from_stored(REDIRECT_URI.to_owned())],
        secrets: vec![AppSecret {
            id: AppSecretId::from_uuid(Uuid::from_u128(byte.into())),
            digest: key.secret(secret.expose()),
            key_version: key.version(),
            last4: secret.last4().to_owned(),
            label: None,
            created_by: creator,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }],
        sequence: 0,
    }
}

impl Db {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        let key = DigestKey::derive(&MasterKey::new(1, [7; 32]));
        Self {
            apps: [app(0, &key, now), app(1, &key, now)],
            grants: Vec::new(),
            codes: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            access_tokens: BTreeMap::new(),
            person_remains: true,
            minted: 0,
            key,
            catalog: CatalogBox(Catalog::builtin().unwrap()),
        }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog.0
    }

    fn mint(&mut self, kind: TokenKind) -> OpaqueToken {
        let mut entropy = [0; 44];
        entropy[..8].copy_from_slice(&self.minted.to_be_bytes());
        self.minted += 1;
        OpaqueToken::from_entropy(kind, &entropy)
    }

    fn digest(&self, token: &OpaqueToken) -> Key {
        *self.key.token(token).as_bytes()
    }

    /// A person has said yes: a grant and its code.
    pub(crate) fn consent(&mut self, scopes: ScopeSet, challenge: Option<Challenge>, now: DateTime<Utc>) -> String {
        let id = GrantId::from_uuid(Uuid::from_u128(self.grants.len() as u128));
        let resources = Resources::from_stored(vec![KNOWN.public_url.to_owned()]);
        self.grants.push(Grant {
            id,
            user_id: Some(UserId::from_uuid(Uuid::nil())),
            organization_id: self.apps[0].organization_id,
            app_id: self.apps[0].id,
            scopes,
            resources: resources.clone(),
            status: GrantStatus::Pending,
            revoked_reason: None,
            revoked_at: None,
            generation: 0,
            created_at: now,
            last_refresh_at: None,
            absolute_expires_at: Some(Grant::absolute_end(now)),
            last_used_at: None,
            last_used_ips: Vec::new(),
            sequence: 0,
        });
        let record = CodeRecord {
            grant_id: id,
            app_id: self.apps[0].id,
            redirect_uri: REDIRECT_URI.to_owned(),
            challenge,
            scopes,
            resources,
            expires_at: now + Duration::seconds(CODE_SECONDS),
            redeemed_at: None,
        };
        let code = self.mint(TokenKind::Code);
        self.codes.insert(self.digest(&code), record);
        code.expose().to_owned()
    }

    fn place(id: GrantId) -> usize {
        usize::try_from(id.as_uuid().as_u128()).unwrap()
    }

    fn standing(&self, id: GrantId) -> Standing<'_> {
        Standing { grant: &self.grants[Self::place(id)], person_remains: self.person_remains }
    }

    pub(crate) fn decide(&self, request: &Request, now: DateTime<Utc>) -> Decided {
        self.try_decide(request, now).unwrap_or(Decided::Refused)
    }

    fn try_decide(&self, request: &Request, now: DateTime<Utc>) -> Result<Decided, TokenError> {
        let form = Form::parse(request.body.as_bytes());
        let asked = TokenRequest::parse(&form, Endpoint::Token)?;
        let claim = client_auth::read(&[&request.authorization], &form)?;
        let app = self.apps.iter().find(|app| Some(&app.client_id) == claim.parsed_client_id().as_ref());
        client_auth::authenticate(&claim, app, std::slice::from_ref(&self.key), now)?;
        let app = app.unwrap();
        let unknown = TokenError::grant("unknown");
        match asked {
            TokenRequest::Code(request) => {
                let key = self.digest(request.code.as_ref().ok_or(unknown)?);
                let code = self.codes.get(&key).ok_or(unknown)?;
                let standing = self.standing(code.grant_id);
                Ok(Decided::Redeem(key, code::redeem(&request, &form, app, code, standing, &KNOWN, now)))
            }
            TokenRequest::Refresh(request) => {
                let key = self.digest(request.token.as_ref().ok_or(unknown)?);
                let token = self.refresh_tokens.get(&key).ok_or(unknown)?;
                let standing = self.standing(token.grant_id);
                let judged = refresh::refresh(&form, app, token, standing, self.catalog(), &KNOWN, now);
                Ok(Decided::Refresh(key, standing.grant.generation, judged))
            }
            TokenRequest::ClientCredentials => Err(unknown),
        }
    }

    /// Applies a decision if its guard holds; decides again if somebody was faster.
    pub(crate) fn apply(&mut self, request: &Request, decided: Decided, now: DateTime<Utc>) -> Outcome {
        match decided {
            Decided::Redeem(key, Redemption::Issue { scopes, .. }) => {
                // UPDATE … SET redeemed_at = now() WHERE digest = $1 AND redeemed_at IS NULL
                let code = self.codes.get_mut(&key).unwrap();
                if code.redeemed_at.is_some() {
                    return self.again(request, now);
                }
                code.redeemed_at = Some(now);
                let grant = Self::place(code.grant_id);
                self.grants[grant].status = GrantStatus::Active;
                self.issue_access(grant, scopes, now);
                Outcome::Issued { refresh: self.issue_refresh(grant, now), scopes }
            }
            Decided::Redeem(key, Redemption::Replay) => self.revoke(Self::place(self.codes[&key].grant_id), now),
            Decided::Redeem(_, Redemption::Refuse { .. })
            | Decided::Refresh(_, _, Refresh::Refuse(_))
            | Decided::Refused => Outcome::Refused,
            Decided::Refresh(key, generation, judged) => self.apply_refresh(request, key, generation, judged, now),
        }
    }

    fn again(&mut self, request: &Request, now: DateTime<Utc>) -> Outcome {
        let decided = self.decide(request, now);
        self.apply(request, decided, now)
    }

    fn apply_refresh(
        &mut self,
        request: &Request,
        key: Key,
        read: i64,
        judged: Refresh,
        now: DateTime<Utc>,
    ) -> Outcome {
        let grant = Self::place(self.refresh_tokens[&key].grant_id);
        // UPDATE … SET generation = generation + 1 WHERE id = $1 AND generation = $2 AND status = 'active'
        if self.grants[grant].generation != read || self.grants[grant].status != GrantStatus::Active {
            return self.again(request, now);
        }
        match judged {
            Refresh::Rotate { scopes, .. } => {
                self.grants[grant].generation += 1;
                let successor = self.issue_refresh(grant, now);
                // The store also wipes the successors of older tokens; here they stay, so that the generation decides alone.
                let window = self.apps[0].refresh_retry_seconds;
                let used = self.refresh_tokens.get_mut(&key).unwrap();
                used.rotated_at = Some(now);
                used.successor_sealed = (window > 0).then(|| successor.clone().into_bytes());
                self.issue_access(grant, scopes, now);
                Outcome::Issued { refresh: successor, scopes }
            }
            Refresh::Retry { scopes, .. } => {
                let sealed = self.refresh_tokens[&key].successor_sealed.clone().unwrap();
                self.issue_access(grant, scopes, now);
                Outcome::Retried { refresh: String::from_utf8(sealed).unwrap(), scopes }
            }
            Refresh::Reuse => self.revoke(grant, now),
            Refresh::Refuse(_) => Outcome::Refused,
        }
    }

    fn issue_access(&mut self, grant: usize, scopes: ScopeSet, now: DateTime<Utc>) {
        let token = self.mint(TokenKind::Access);
        let record = AccessRecord { grant, scopes, expires_at: now + Duration::seconds(ACCESS_SECONDS) };
        self.access_tokens.insert(self.digest(&token), record);
    }

    fn issue_refresh(&mut self, grant: usize, now: DateTime<Utc>) -> String {
        let token = self.mint(TokenKind::Refresh);
        let record = RefreshRecord {
            grant_id: self.grants[grant].id,
            generation: self.grants[grant].generation,
            issued_at: now,
            idle_expires_at: RefreshRecord::idle_end(now),
            rotated_at: None,
            successor_sealed: None,
        };
        self.refresh_tokens.insert(self.digest(&token), record);
        token.expose().to_owned()
    }

    pub(crate) fn revoke(&mut self, grant: usize, now: DateTime<Utc>) -> Outcome {
        self.grants[grant].status = GrantStatus::Revoked;
        self.grants[grant].revoked_at = Some(now);
        Outcome::Killed
    }

    /// Whether anything of a grant may be used: the judgement of a resource server.
    fn is_live(&self, grant: usize, now: DateTime<Utc>) -> bool {
        let grant = &self.grants[grant];
        self.person_remains && grant.is_live(now) && self.apps[0].accepts_issued_at(grant.created_at)
    }

    /// The grants of the refresh tokens that would be rotated if they were presented, with what that would give.
    pub(crate) fn live_refresh_tokens(&self, now: DateTime<Utc>) -> Vec<(usize, ScopeSet)> {
        let form = Form::parse(b"");
        let judge = |token: &RefreshRecord| {
            let standing = self.standing(token.grant_id);
            match refresh::refresh(&form, &self.apps[0], token, standing, self.catalog(), &KNOWN, now) {
                Refresh::Rotate { scopes, .. } => Some((Self::place(token.grant_id), scopes)),
                _ => None,
            }
        };
        self.refresh_tokens.values().filter_map(judge).collect()
    }

    /// The grants of the access tokens that work, with what they may do.
    pub(crate) fn live_access_tokens(&self, now: DateTime<Utc>) -> Vec<(usize, ScopeSet)> {
        let lives = |token: &&AccessRecord| now < token.expires_at && self.is_live(token.grant, now);
        let may = |token: &AccessRecord| (token.grant, token.scopes.intersection(self.apps[0].scopes));
        self.access_tokens.values().filter(lives).map(may).collect()
    }
}

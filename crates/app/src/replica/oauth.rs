//! What of OAuth is held in memory: every app, the access tokens that were used here, and what has ended of late.
//!
//! Access tokens are many and live for two hours, so they don't travel with the feed: the first use of one costs a query,
//! and the entry never changes. What ends a token does travel, and is asked first at every use; it is held for as long
//! as a token of it could live. So a slow look-up that brings an entry from before its end can't bring the token back.

use std::{collections::HashSet, hash::BuildHasherDefault, sync::Arc};

use arc_swap::ArcSwap;
use chrono::{DateTime, Duration, Utc};
use papaya::HashMap;
use quick_cache::sync::Cache;
use statuspulse_keys::directory::IdentityHasher;
use statuspulse_oauth::{
    App as OauthApp, AppKind, Resources, TokenDigest, grant::ACCESS_SECONDS, redirect_uri::cors_origin,
};
use statuspulse_policy::{AppId, GrantId, OrganizationId, ScopeSet, UserId};
use statuspulse_store::oauth::tokens::AccessRecord;

/// Access tokens that are held, at most: some 60 MB. One that had to go costs a query at its next use.
const HELD: usize = 262_144;
/// What has ended is held for as long as one of its tokens could live, and the clocks of the instances be apart.
const ENDED_KEPT: Duration = Duration::seconds(ACCESS_SECONDS + 600);

/// An access token as it was issued.
#[derive(Debug)]
pub struct HeldToken {
    digest: TokenDigest,
    /// Its grant.
    pub grant_id: GrantId,
    /// Who decided; none for an app that acts for itself.
    pub user_id: Option<UserId>,
    /// For which organization.
    pub organization_id: OrganizationId,
    /// Whose token it is.
    pub app_id: AppId,
    /// What it may do.
    pub scopes: ScopeSet,
    /// For whom it is meant.
    pub audiences: Resources,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When what it comes from was decided: by the person, or by an app for itself as it asked. What an app was given before
    /// a suspension stays dead, also a token that was on its way when the app was suspended.
    pub decided_at: DateTime<Utc>,
    /// Ended from this instant on.
    pub expires_at: DateTime<Utc>,
    /// When it, or its grant, had been ended by the time it was read.
    ended_at: Option<DateTime<Utc>>,
}

impl HeldToken {
    /// What is held of a row.
    #[must_use]
    pub fn new(digest: TokenDigest, record: AccessRecord, grant: &statuspulse_oauth::Grant) -> Self {
        Self {
            digest,
            grant_id: record.grant_id,
            user_id: grant.user_id,
            organization_id: grant.organization_id,
            app_id: grant.app_id,
            scopes: record.scopes,
            audiences: record.audiences,
            issued_at: record.issued_at,
            decided_at: if grant.user_id.is_some() { grant.created_at } else { record.issued_at },
            expires_at: record.expires_at,
            ended_at: record.revoked_at.or(grant.revoked_at),
        }
    }
}

/// When something ended, and when that was heard here: how long it is held goes by our own clock.
#[derive(Debug, Clone, Copy)]
struct Ended {
    at: DateTime<Utc>,
    heard_at: DateTime<Utc>,
}

/// See the module's text.
#[derive(Debug)]
pub struct OauthDirectory {
    apps: HashMap<AppId, Arc<OauthApp>>,
    by_client_id: HashMap<String, AppId>,
    tokens: Cache<u128, Arc<HeldToken>>,
    ended_grants: HashMap<GrantId, Ended>,
    ended_tokens: HashMap<u128, Ended, BuildHasherDefault<IdentityHasher>>,
    origins: ArcSwap<HashSet<String>>,
}

impl OauthDirectory {
    pub(super) fn new() -> Self {
        Self {
            apps: HashMap::new(),
            by_client_id: HashMap::new(),
            tokens: Cache::new(HELD),
            ended_grants: HashMap::new(),
            ended_tokens: HashMap::default(),
            origins: ArcSwap::default(),
        }
    }

    /// An app by its id.
    #[must_use]
    pub fn app(&self, id: AppId) -> Option<Arc<OauthApp>> {
        self.apps.pin().get(&id).cloned()
    }

    /// An app by its public name.
    #[must_use]
    pub fn app_by_client_id(&self, client_id: &str) -> Option<Arc<OauthApp>> {
        let id = *self.by_client_id.pin().get(client_id)?;
        self.app(id)
    }

    /// Number of apps held.
    #[must_use]
    pub fn apps(&self) -> usize {
        self.apps.len()
    }

    /// Number of access tokens held.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Whether pages of an origin may call the token endpoint: those of the redirect URIs of active public apps.
    #[must_use]
    pub fn is_origin_of_public_app(&self, origin: &str) -> bool {
        self.origins.load().contains(origin)
    }

    /// An access token by its digest.
    #[must_use]
    pub fn token(&self, digest: &TokenDigest) -> Option<Arc<HeldToken>> {
        self.tokens.get(&map_key(digest)).filter(|held| held.digest.matches(digest))
    }

    /// Since when a token, or its grant, is ended by somebody.
    #[must_use]
    pub fn ended_at(&self, token: &HeldToken) -> Option<DateTime<Utc>> {
        let grant = self.ended_grants.pin().get(&token.grant_id).map(|ended| ended.at);
        let alone = || self.ended_tokens.pin().get(&map_key(&token.digest)).map(|ended| ended.at);
        token.ended_at.or(grant).or_else(alone)
    }

    /// Holds a token.
    pub fn hold(&self, token: HeldToken) -> Arc<HeldToken> {
        let token = Arc::new(token);
        self.tokens.insert(map_key(&token.digest), Arc::clone(&token));
        token
    }

    /// Puts an app in force, unless a newer state of it is.
    pub(super) fn apply_app(&self, app: OauthApp) {
        let apps = self.apps.pin();
        if apps.get(&app.id).is_some_and(|held| held.sequence >= app.sequence) {
            return;
        }
        self.by_client_id.pin().insert(app.client_id.as_str().to_owned(), app.id);
        apps.insert(app.id, Arc::new(app));
    }

    /// Finds out again whose pages may call the token endpoint, once apps have changed.
    pub(super) fn refresh_origins(&self) {
        let apps = self.apps.pin();
        let public = apps.values().filter(|app| app.kind == AppKind::Public && app.is_active());
        let origins = public.flat_map(|app| &app.redirect_uris).filter_map(|uri| cors_origin(uri.as_str())).collect();
        self.origins.store(Arc::new(origins));
    }

    pub(super) fn end_grant(&self, id: GrantId, at: DateTime<Utc>, now: DateTime<Utc>) {
        // It has ended, whatever the clock of who ended it says.
        self.ended_grants.pin().insert(id, Ended { at: at.min(now), heard_at: now });
    }

    pub(super) fn end_token(&self, digest: &TokenDigest, at: DateTime<Utc>, now: DateTime<Utc>) {
        self.ended_tokens.pin().insert(map_key(digest), Ended { at: at.min(now), heard_at: now });
    }

    /// Lets go of what can't matter any more.
    pub(super) fn forget_ended(&self, now: DateTime<Utc>) {
        let kept = |ended: &Ended| now - ended.heard_at < ENDED_KEPT;
        self.ended_grants.pin().retain(|_, ended| kept(ended));
        self.ended_tokens.pin().retain(|_, ended| kept(ended));
    }

    /// Forgets everything: the feed has gone back.
    pub(super) fn clear(&self) {
        self.apps.pin().clear();
        self.by_client_id.pin().clear();
        self.tokens.clear();
        self.ended_grants.pin().clear();
        self.ended_tokens.pin().clear();
        self.refresh_origins();
    }
}

/// The half of a digest that serves as key of the maps. It is uniform and keyed, so nobody can aim at collisions.
pub(crate) fn map_key(digest: &TokenDigest) -> u128 {
    let mut half = [0_u8; 16];
    half.copy_from_slice(digest.as_bytes().split_at(16).0);
    u128::from_ne_bytes(half)
}

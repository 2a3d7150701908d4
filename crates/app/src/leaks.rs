//! Leaked credentials (keys §10): whoever has found one may end it. Possession is the proof; who has the token could do
//! worse with it.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::json;
use statuspulse_audit::{Action, AlertRule, Class, EventType};
use statuspulse_keys::{LookupId, Token};
use statuspulse_oauth::{OpaqueToken, TokenDigest, TokenKind};
use statuspulse_policy::{KeyId, OrganizationId, State, counter_key};
use statuspulse_store::{
    AsyncConnection as _, Conn,
    alerts::{Happening, Raised},
    feed, keys,
    oauth::{grants, tokens},
};
use tokio::sync::{Semaphore, TryAcquireError};
use zeroize::Zeroizing;

use crate::{app::App, caller::Caller, error::AppError, keys::Switch, recorder, webhooks::News};

pub mod github;

/// Tokens of one report, at most.
pub const MOST: usize = 100;
/// Characters of one, at most; longer texts are nobody's.
const LONGEST: usize = 4_096;
/// Reports from one address in a minute.
const PER_ADDRESS: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Reports that are worked on at the same time, and that wait their turn; the next one is told to come again.
const AT_ONCE: usize = 4;
const WAITING: usize = 64;
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const REASON: &str = "leaked";

/// What keeps reports within bounds.
#[derive(Debug)]
pub(crate) struct Reports {
    per_address: DefaultKeyedRateLimiter<Option<IpAddr>>,
    waiting: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            per_address: RateLimiter::keyed(Quota::per_minute(PER_ADDRESS)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            working: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Reports {
    /// Forgets addresses that have not reported for a while.
    pub(crate) fn forget_idle(&self) {
        self.per_address.retain_recent();
        self.per_address.shrink_to_fit();
    }
}

/// A text that may be one of our secrets.
pub struct Reported(Zeroizing<String>);

impl Reported {
    /// Takes a text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for Reported {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Reported(…)")
    }
}

/// Takes a report; answers at once, whatever the tokens are. The work is done behind the answer, and tried again while the
/// database is away.
///
/// # Errors
/// 422 for too many or no tokens, 429 for too many reports from one address, 503 when too many reports wait.
pub fn report(app: &Arc<App>, caller: &Caller, list: Vec<Reported>) -> Result<(), AppError> {
    if !(1..=MOST).contains(&list.len()) {
        return Err(AppError::field("tokens", "out_of_bounds", "a report names 1 to 100 tokens"));
    }
    if app.leaks.per_address.check_key(&caller.origin.ip.map(counter_key)).is_err() {
        return Err(AppError::TooMany {
            code: "too_many_reports",
            detail: "at most 20 reports a minute from one address; wait and send the rest",
            retry_after: 3,
        });
    }
    accept(app, caller, list)
}

/// Takes a report over whose sender has proven who it is, or whose bounds were judged.
///
/// # Errors
/// 503 when too many reports wait.
pub fn accept(app: &Arc<App>, caller: &Caller, list: Vec<Reported>) -> Result<(), AppError> {
    let waiting = match Arc::clone(&app.leaks.waiting).try_acquire_owned() {
        Ok(permit) => permit,
        Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
            return Err(AppError::Unavailable { cause: "too many leak reports wait".into() });
        }
    };
    let (app, caller) = (Arc::clone(app), caller.clone());
    caller.mark_recorded();
    tokio::spawn(async move {
        let turn = app.leaks.working.acquire().await;
        work_persistently(&app, &caller, &list).await;
        drop((turn, waiting));
    });
    Ok(())
}

async fn work_persistently(app: &App, caller: &Caller, list: &[Reported]) {
    let mut pause = RETRY;
    loop {
        match work(app, caller, list).await {
            Ok(_) => return,
            // However long the database stays away: whoever reported was told that it is taken, and comes no second time.
            Err(AppError::Unavailable { .. }) => tokio::time::sleep(pause).await,
            Err(error) => return tracing::error!(%error, "a leak report can't be carried out"),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Carries a report out; answers how many live secrets it ended. Doing it twice does nothing more.
///
/// # Errors
/// 503.
pub async fn work(app: &App, caller: &Caller, list: &[Reported]) -> Result<usize, AppError> {
    let mut ended = 0;
    for Reported(text) in list.iter().filter(|reported| reported.0.len() <= LONGEST) {
        let mut conn = app.conn().await?;
        match end(app, caller, &mut conn, text).await {
            Ok(live) => ended += usize::from(live),
            Err(error @ AppError::Unavailable { .. }) => return Err(error),
            // One that can't be ended must not keep the others alive.
            Err(error) => tracing::error!(%error, "a leaked credential could not be ended"),
        }
    }
    let event = caller.event(app, Class::B, Action::KeyLeaked, None)?;
    let mut event = event.with("tokens", list.len()).with("ended", ended);
    event.status = Some(202);
    app.recorder.record(&mut *app.conn().await?, event).await?;
    if ended > 0 {
        app.replica.catch_up().await;
    }
    Ok(ended)
}

async fn end(app: &App, caller: &Caller, conn: &mut Conn, text: &str) -> Result<bool, AppError> {
    if let Ok(token) = Token::parse(text) {
        let mut lookups: Vec<LookupId> = Vec::new();
        app.secrets.lookups(&token, |_, lookup| -> Option<()> {
            lookups.push(lookup);
            None
        });
        drop(token);
        return conn.transaction(async |conn| end_key(app, conn, &lookups).await).await;
    }
    let Some(token) = OpaqueToken::parse(text) else {
        return end_signed(app, caller, conn, text).await;
    };
    let digests = app.secrets.token_digests(&token);
    match token.kind() {
        TokenKind::Access => conn.transaction(async |conn| end_access(app, conn, &digests).await).await,
        TokenKind::Refresh => conn.transaction(async |conn| end_refresh(app, conn, &digests).await).await,
        // It is dead in five minutes, and whoever presents it needs the verifier.
        TokenKind::Code => Ok(false),
    }
}

/// A signed access token is found by its id, whoever issued it under our keys.
async fn end_signed(app: &App, caller: &Caller, conn: &mut Conn, text: &str) -> Result<bool, AppError> {
    let Some(id) = app.signing.id_of(text, caller.arrived_at) else { return Ok(false) };
    let digests = app.secrets.jwt_digests(&id);
    conn.transaction(async |conn| end_access(app, conn, &digests).await).await
}

async fn end_key(app: &App, conn: &mut Conn, lookups: &[LookupId]) -> Result<bool, AppError> {
    let Some(seen) = keys::find_by_lookup(conn, lookups).await? else { return Ok(false) };
    let Some(mut snapshot) = keys::lock(conn, None, seen.key.id).await? else { return Ok(false) };
    let matching = |lookup: &LookupId| lookups.iter().any(|wanted| wanted.matches(lookup));
    let version = snapshot.versions.iter().find(|held| held.lookup_id.as_ref().is_some_and(matching));
    // Kept: a sealed successor leaves the snapshot when its key is revoked.
    let Some(version) = version.cloned() else { return Ok(false) };
    let organization = statuspulse_store::organizations::by_id(conn, snapshot.key.organization_id).await?;
    let Some(organization) = organization else { return Ok(false) };
    let grant = snapshot.key.grant(&version, &organization.settings.caps, None);
    let live = matches!(grant.state(app.env.now()), State::Active | State::Disabled);
    if !live {
        return Ok(false);
    }
    let (id, canary) = (snapshot.key.id, snapshot.key.canary);
    let opened = raise(app, conn, organization.id, "key", id.to_string()).await?;
    note(app, conn, organization.id, "key_id", id).await?;
    let news = News::of_key(EventType::KeyLeaked, &snapshot.key, &version, version.expires_at);
    let news = news.with("revoked", json!(!canary));
    if canary {
        // A honeytoken does its work by being found: it stays. Who reports it again and again must not flood its owners.
        if opened == Raised::Opened {
            news.tell(app, conn).await?;
        }
        return Ok(false);
    }
    news.tell(app, conn).await?;
    // The last thing: from the number of the feed on, every other change waits.
    let switch = Switch::Revoke(Some(REASON.to_owned()));
    crate::keys::switch_in(app, &Caller::system(app), conn, &mut snapshot, &switch).await?;
    Ok(true)
}

async fn note(
    app: &App,
    conn: &mut Conn,
    organization: OrganizationId,
    field: &str,
    id: KeyId,
) -> Result<(), AppError> {
    let event = Caller::system(app).event(app, Class::A, Action::KeyLeaked, Some(organization))?;
    Ok(app.recorder.record(conn, event.with(field, id.to_string())).await?)
}

async fn end_access(app: &App, conn: &mut Conn, digests: &[TokenDigest]) -> Result<bool, AppError> {
    let now = app.env.now();
    let Some((digest, token, grant)) = tokens::find_access(conn, digests).await? else { return Ok(false) };
    if token.revoked_at.is_some() || now >= token.expires_at || grant.revoked_at.is_some() {
        return Ok(false);
    }
    let event = Caller::system(app)
        .event(app, Class::A, Action::OauthRevoke, Some(grant.organization_id))?
        .with("grant_id", grant.id.to_string())
        .with("app_id", grant.app_id.to_string())
        .with("token", "access")
        .with("cause", REASON);
    app.recorder.record(conn, event).await?;
    raise(app, conn, grant.organization_id, "grant", grant.id.to_string()).await?;
    News::new(EventType::KeyLeaked, grant.organization_id)
        .with("grant", json!({"id": grant.id.to_string(), "app_id": grant.app_id.to_string(), "token": "access"}))
        .tell(app, conn)
        .await?;
    let sequence = feed::next(conn).await?;
    Ok(tokens::revoke_access(conn, &digest, now, sequence).await?)
}

async fn end_refresh(app: &App, conn: &mut Conn, digests: &[TokenDigest]) -> Result<bool, AppError> {
    let now = app.env.now();
    let Some((_, token)) = tokens::find_refresh(conn, digests).await? else { return Ok(false) };
    let Some(standing) = grants::lock(conn, token.grant_id).await? else { return Ok(false) };
    let grant = standing.grant;
    // One that was traded for another is dead already; who finds it must not end what its owner goes on using.
    let live = grant.is_live(now) && token.generation == grant.generation && now < token.idle_expires_at;
    if !live {
        return Ok(false);
    }
    let event = Caller::system(app)
        .event(app, Class::A, Action::OauthRevoke, Some(grant.organization_id))?
        .with("grant_id", grant.id.to_string())
        .with("app_id", grant.app_id.to_string())
        .with("token", "refresh")
        .with("cause", REASON);
    app.recorder.record(conn, event).await?;
    raise(app, conn, grant.organization_id, "grant", grant.id.to_string()).await?;
    News::new(EventType::KeyLeaked, grant.organization_id)
        .with("grant", json!({"id": grant.id.to_string(), "app_id": grant.app_id.to_string(), "token": "refresh"}))
        .tell(app, conn)
        .await?;
    let sequence = feed::next(conn).await?;
    Ok(grants::revoke(conn, &[grant.id], REASON, now, sequence).await? > 0)
}

async fn raise(
    app: &App,
    conn: &mut Conn,
    organization: OrganizationId,
    kind: &'static str,
    subject: String,
) -> Result<Raised, AppError> {
    let now = app.env.now();
    let happening = Happening::new(AlertRule::LeakedKey, Some(organization), (kind, subject), now);
    let happening = happening.with("cause", "leak_report");
    recorder::raise(app, conn, &happening).await
}

//! Grants as people see and end them.

use serde_json::json;
use statuspulse_audit::{Action, Class};
use statuspulse_policy::{AppId, GrantId, UserId};
use statuspulse_store::{
    AsyncConnection as _, Conn, feed,
    oauth::grants::{self, Ended, GrantFilter, ListedGrant},
    page::Position,
    users,
};

use crate::{
    app::App,
    caller::{Access, Caller},
    cursor,
    error::AppError,
};

/// Grants that one transaction ends, at most.
const BATCH: i64 = 500;
const DEFAULT_PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 200;

/// A page of grants.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub items: Vec<ListedGrant>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Whose grants are meant: exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All of an app.
    App(AppId),
    /// All of a person.
    User(UserId),
    /// One.
    Grant(GrantId),
}

impl Target {
    fn filter(self) -> GrantFilter {
        match self {
            Self::App(id) => GrantFilter { app: Some(id), ..GrantFilter::default() },
            Self::User(id) => GrantFilter { user: Some(id), ..GrantFilter::default() },
            Self::Grant(id) => GrantFilter { grant: Some(id), ..GrantFilter::default() },
        }
    }
}

/// What a person has authorized, newest first.
///
/// # Errors
/// 400 `invalid_cursor`, 422 for a page out of bounds, 503.
pub async fn of_person(app: &App, user: UserId, limit: Option<i64>, after: Option<&str>) -> Result<Page, AppError> {
    // A cursor belongs to somebody: here to the person instead of an organization.
    let list = cursor::List { name: "grants of a person", organization: owner(user), filters: "" };
    let filter = GrantFilter { user: Some(user), ..GrantFilter::default() };
    page(app, list, filter, limit, after).await
}

fn owner(user: UserId) -> statuspulse_policy::OrganizationId {
    statuspulse_policy::OrganizationId::from_uuid(user.as_uuid())
}

/// Grants for an organization, for operators: of an app, a person, or all.
///
/// # Errors
/// As [`of_person`].
pub async fn of_organization(
    app: &App,
    access: &Access,
    mut filter: GrantFilter,
    limit: Option<i64>,
    after: Option<&str>,
) -> Result<Page, AppError> {
    filter.organization = Some(access.organization.id);
    let filters = format!("{:?} {:?}", filter.app, filter.user);
    let list = cursor::List { name: "grants", organization: access.organization.id, filters: &filters };
    page(app, list, filter, limit, after).await
}

async fn page(
    app: &App,
    list: cursor::List<'_>,
    filter: GrantFilter,
    limit: Option<i64>,
    after: Option<&str>,
) -> Result<Page, AppError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(AppError::field("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    let after = after.map(|text| cursor::read(&app.secrets, &list, text)).transpose()?;
    let mut conn = app.conn().await?;
    let mut items = grants::list(&mut conn, filter, app.env.now(), after, limit + 1).await?;
    let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = items.last().filter(|_| more).map(|last| &last.grant);
    let next_cursor = last.map(|grant| {
        cursor::write(&app.secrets, &list, Position { created_at: grant.created_at, id: grant.id.as_uuid() })
    });
    Ok(Page { items, next_cursor })
}

/// Ends one of a person's own grants, and with it every decision about the same app that nobody has seen yet: otherwise it
/// would still count as remembered.
///
/// # Errors
/// 404, 503.
pub async fn revoke_own(app: &App, caller: &Caller, user: UserId, id: GrantId) -> Result<(), AppError> {
    let mut conn = app.conn().await?;
    let grant = grants::find(&mut conn, id).await?.filter(|grant| grant.user_id == Some(user));
    let grant = grant.filter(|grant| grant.is_live(app.env.now())).ok_or(AppError::NotFound("grant"))?;
    let unseen = grants::of_person(&mut conn, user, grant.app_id, grant.organization_id).await?;
    let unseen = unseen.into_iter().filter(|held| held.status == statuspulse_oauth::GrantStatus::Pending);
    let mut ids: Vec<GrantId> = std::iter::once(id).chain(unseen.map(|held| held.id)).collect();
    ids.sort_unstable();
    conn.transaction(async |conn| {
        let mut live = Vec::new();
        for id in ids {
            live.extend(grants::lock_live(conn, Target::Grant(id).filter(), app.env.now(), 1).await?);
        }
        end(app, caller, conn, &live, "revoked_by_user").await
    })
    .await?;
    caller.mark_recorded();
    app.replica.catch_up().await;
    Ok(())
}

/// Ends the grants of an app, a person, or one; answers how many. In an organization: those for the organization, and of
/// its own apps those for every organization.
///
/// # Errors
/// 403 for who is no owner or admin, 404, 503.
pub async fn revoke_in(app: &App, caller: &Caller, access: &Access, target: Target) -> Result<u64, AppError> {
    access.require_admin()?;
    let mut filter = target.filter();
    let mut conn = app.conn().await?;
    let organization = access.organization.id;
    match target {
        Target::App(id) => {
            let found = statuspulse_store::oauth::apps::find(&mut conn, None, id).await?;
            let found = found.ok_or(AppError::NotFound("app"))?;
            // The publisher may end everything of its app; everybody else what is for their own organization.
            if found.organization_id != organization {
                filter.organization = Some(organization);
                if grants::count(&mut conn, filter, app.env.now()).await? == 0 {
                    return Err(AppError::NotFound("app"));
                }
            }
        }
        Target::User(id) => {
            filter.organization = Some(organization);
            // Who has nothing to do with the organization isn't there for it.
            let member =
                users::memberships_of(&mut conn, id).await?.iter().any(|held| held.organization_id == organization);
            if !member && grants::count(&mut conn, filter, app.env.now()).await? == 0 {
                return Err(AppError::NotFound("user"));
            }
        }
        Target::Grant(id) => {
            let found = grants::find(&mut conn, id).await?.ok_or(AppError::NotFound("grant"))?;
            let own_app = statuspulse_store::oauth::apps::find(&mut conn, Some(organization), found.app_id).await?;
            if found.organization_id != organization && own_app.is_none() {
                return Err(AppError::NotFound("grant"));
            }
        }
    }
    drop(conn);
    revoke_all(app, caller, filter).await
}

/// The same for operators, who see every organization.
///
/// # Errors
/// 503.
pub async fn revoke(app: &App, caller: &Caller, target: Target) -> Result<u64, AppError> {
    revoke_all(app, caller, target.filter()).await
}

/// How many grants [`revoke`] would end.
///
/// # Errors
/// 503.
pub async fn count(app: &App, target: Target) -> Result<u64, AppError> {
    let mut conn = app.conn().await?;
    let count = grants::count(&mut conn, target.filter(), app.env.now()).await?;
    Ok(count.unsigned_abs())
}

async fn revoke_all(app: &App, caller: &Caller, filter: GrantFilter) -> Result<u64, AppError> {
    let mut ended = 0_u64;
    let mut conn = app.conn().await?;
    let outcome = loop {
        let batch = conn
            .transaction(async |conn| {
                let live = grants::lock_live(conn, filter, app.env.now(), BATCH).await?;
                end(app, caller, conn, &live, "revoked_by_admin").await
            })
            .await;
        match batch {
            // Until nothing is left: one that was decided while this went on ends too.
            Ok(0) => break Ok(ended),
            Ok(batch) => ended += batch as u64,
            Err(error) => break Err(error),
        }
    };
    // What was ended is ended, also where the rest failed.
    if ended > 0 {
        caller.mark_recorded();
        app.replica.catch_up().await;
    }
    outcome
}

/// Ends locked grants with one event each; the feed's number comes last.
pub(crate) async fn end(
    app: &App,
    caller: &Caller,
    conn: &mut Conn,
    live: &[Ended],
    reason: &str,
) -> Result<usize, AppError> {
    if live.is_empty() {
        return Ok(0);
    }
    let events: Result<Vec<_>, _> = live.iter().map(|grant| ended_event(app, caller, grant, reason)).collect();
    app.recorder.record_all(conn, events?).await?;
    let ids: Vec<GrantId> = live.iter().map(Ended::id).collect();
    let sequence = feed::next(conn).await?;
    Ok(grants::revoke(conn, &ids, reason, app.env.now(), sequence).await?)
}

fn ended_event(app: &App, caller: &Caller, grant: &Ended, reason: &str) -> Result<statuspulse_audit::Event, AppError> {
    let mut event = caller
        .event(app, Class::A, Action::OauthRevoke, Some(grant.organization()))?
        .with("grant_id", grant.id().to_string())
        .with("app_id", grant.app().to_string())
        .with("cause", json!(reason));
    if let Some(user) = grant.user() {
        event = event.with("user_id", user.to_string());
    }
    event.status = Some(200);
    Ok(event)
}

/// All grants of an app that is named by its id or client id.
///
/// # Errors
/// 404, 503.
pub async fn target_app(app: &App, text: &str) -> Result<Target, AppError> {
    Ok(Target::App(super::apps::named(app, text).await?.id))
}

/// One grant; it may have ended.
///
/// # Errors
/// 404, 503.
pub async fn target_grant(app: &App, id: GrantId) -> Result<Target, AppError> {
    let mut conn = app.conn().await?;
    let found = grants::find(&mut conn, id).await?.ok_or(AppError::NotFound("grant"))?;
    Ok(Target::Grant(found.id))
}

/// All grants of a person who is named by id or e-mail address.
///
/// # Errors
/// 404, 503.
pub async fn target_user(app: &App, text: &str) -> Result<Target, AppError> {
    let mut conn = app.conn().await?;
    let id = match text.parse::<UserId>() {
        Ok(id) => users::by_ids(&mut conn, &[id.as_uuid()]).await?.pop().map(|user| user.id),
        Err(_) => users::by_email(&mut conn, text).await?.map(|known| known.user.id),
    };
    id.map(Target::User).ok_or(AppError::NotFound("user"))
}

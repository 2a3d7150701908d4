//! Who belongs to an organization, in which role. Owners decide that, and operators.
//!
//! Every change takes turns under the lock of the organization, and counts its owners there: of two that would take the last
//! two owners away, the second one is refused. The caller's own role is judged under that lock once more.

use statuspulse_audit::{Action, Class, Event};
use statuspulse_policy::{OrganizationId, Role, ScopeSet, UserId};
use statuspulse_store::{
    AsyncConnection as _, Conn, StoreError, members,
    oauth::grants::{self as stored, Ended, GrantFilter},
    organizations::{self, Organization},
    page::Position,
    users,
};

pub use members::Member;

use crate::{
    app::App,
    caller::{Access, Caller, Principal, Right},
    cursor::{self, List},
    error::{AppError, FieldError},
    keys::refuse_secret,
    oauth::grants,
    passwords::{self, Password},
};

const DEFAULT_PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 200;
/// The longest name, in characters.
const LONGEST_NAME: usize = 100;
/// How many people an organization may have: each new one costs a hash, and stays.
const MOST_MEMBERS: i64 = 500;

/// A page of members.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub items: Vec<Member>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Who is to become a member, as it comes from outside.
#[derive(Debug)]
pub struct NewMember {
    /// Address; without regard to case it is one person's.
    pub email: String,
    /// 1 to 100 characters, for somebody new; the first part of the address when left out. Who is known keeps the own one.
    pub name: Option<String>,
    /// The role by its name.
    pub role: String,
    /// For somebody new; generated when left out.
    pub password: Option<Password>,
}

/// A person that was given a role.
#[derive(Debug)]
pub struct Added {
    /// The member.
    pub member: Member,
    /// The generated password, where none was given and the person is new. Shown once.
    pub password: Option<Password>,
}

/// The members of an organization, newest first. Everybody of the organization may know.
///
/// # Errors
/// 400 `invalid_cursor`, 422 for a page out of bounds, 503.
pub async fn list(app: &App, access: &Access, limit: Option<i64>, after: Option<&str>) -> Result<Page, AppError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(AppError::field("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    let list = List { name: "members", organization: access.organization.id, filters: "" };
    let after = after.map(|text| cursor::read(&app.secrets, &list, text)).transpose()?;
    let mut conn = app.conn().await?;
    let mut items = members::list(&mut conn, access.organization.id, after, limit + 1).await?;
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > length;
    items.truncate(length);
    let next_cursor = items.last().filter(|_| more).map(|last| {
        cursor::write(&app.secrets, &list, Position { created_at: last.created_at, id: last.user.id.as_uuid() })
    });
    Ok(Page { items, next_cursor })
}

/// The member with an address.
///
/// # Errors
/// 404, 503.
pub async fn by_email(app: &App, access: &Access, email: &str) -> Result<Member, AppError> {
    let mut conn = app.conn().await?;
    let known = users::by_email(&mut conn, email).await?.ok_or(AppError::NotFound("member"))?;
    find(&mut conn, access, known.user.id).await
}

async fn find(conn: &mut Conn, access: &Access, user: UserId) -> Result<Member, AppError> {
    members::find(conn, access.organization.id, user).await?.ok_or(AppError::NotFound("member"))
}

/// Gives somebody a role in an organization; who is new gets an account. Somebody who has an account already is added by an
/// operator alone: whoever has made an account knows its first password, so an owner who makes one for another's address
/// would come along into every organization that adds the address later.
///
/// # Errors
/// 403 but for an owner, 422 by field or `member_limit_reached`, 409 `already_member` or `user_exists` (an owner adds somebody
/// who has an account, a password was given for somebody who has one, or two made the same account at once), 503 when the
/// hashing queue is full.
pub async fn add(app: &App, caller: &Caller, access: &Access, new: NewMember) -> Result<Added, AppError> {
    access.require_owner()?;
    let (role, name) = judge(&new)?;
    let NewMember { email, password, .. } = new;
    let organization = access.organization.id;
    let mut conn = app.conn().await?;
    let known = users::by_email(&mut conn, &email).await?;
    if let Some(known) = &known
        && matches!(caller.principal, Principal::User { .. })
    {
        return Err(match members::find(&mut conn, organization, known.user.id).await? {
            Some(_) => already_member(),
            None => {
                AppError::conflict("user_exists", "somebody with this address has an account; an operator can add them")
            }
        });
    }
    // Before the hash, which is what costs; those that come at once are counted behind the lock.
    refuse_more(&mut conn, organization).await?;
    drop(conn);
    let now = app.env.now();
    let (id, hash, generated) = match &known {
        Some(_) if password.is_some() => {
            return Err(AppError::conflict("user_exists", "somebody with this address exists and has a password"));
        }
        Some(known) => (known.user.id, None, None),
        None => {
            let (password, shown) = passwords::given_or_generated(app, password)?;
            (UserId::from_uuid(app.env.id()?), Some(passwords::hash(app, password).await?), shown)
        }
    };
    let made = event(app, caller, Action::UserCreate, organization, id)?;
    let added = event(app, caller, Action::MemberAdd, organization, id)?.with("role", role.as_str());
    let mut conn = app.conn().await?;
    let member = conn
        .transaction(async |conn| {
            lock(conn, caller, organization).await?;
            refuse_more(conn, organization).await?;
            if let Some(hash) = &hash {
                users::insert(conn, id, &email, &name, hash, now).await.map_err(taken)?;
                app.recorder.record(conn, made).await?;
            }
            members::insert(conn, organization, id, role, now).await.map_err(taken)?;
            app.recorder.record(conn, added).await?;
            find(conn, access, id).await
        })
        .await?;
    caller.mark_recorded();
    Ok(Added { member, password: generated })
}

async fn refuse_more(conn: &mut Conn, organization: OrganizationId) -> Result<(), AppError> {
    if members::count(conn, organization).await? < MOST_MEMBERS {
        return Ok(());
    }
    Err(AppError::field("email", "member_limit_reached", format!("an organization has {MOST_MEMBERS} members at most")))
}

fn already_member() -> AppError {
    AppError::conflict("already_member", "this person is a member of the organization already")
}

fn taken(error: StoreError) -> AppError {
    if error.is_duplicate_of("memberships_pkey") {
        return already_member();
    }
    match error {
        StoreError::Duplicate { .. } => {
            AppError::conflict("user_exists", "somebody with this address was created at the same moment; ask again")
        }
        other => other.into(),
    }
}

/// Gives a member another role, and ends what the member has authorized beyond it. The same role changes nothing.
///
/// # Errors
/// 403 but for an owner, 404, 409 `last_owner`, 422 `unknown_role`, 503.
pub async fn change(app: &App, caller: &Caller, access: &Access, user: UserId, role: &str) -> Result<Member, AppError> {
    access.require_owner()?;
    let role = role_of(role).map_err(|error| AppError::Invalid(vec![error]))?;
    let organization = access.organization.id;
    let event = event(app, caller, Action::MemberChange, organization, user)?;
    let mut conn = app.conn().await?;
    let (member, changed, ended) = conn
        .transaction(async |conn| {
            let (present, owners) = lock(conn, caller, organization).await?;
            let member = members::lock(conn, organization, user).await?.ok_or(AppError::NotFound("member"))?;
            if member.role == role {
                return Ok::<_, AppError>((member, false, 0));
            }
            keep_an_owner(&owners, &member)?;
            let grantable = Access { organization: present, right: Right::Role(role) }.grantable(app);
            let beyond = beyond(app, granted(app, conn, organization, user).await?, grantable);
            let event = event
                .with("role_before", member.role.as_str())
                .with("role", role.as_str())
                .with("ended_grants", beyond.len());
            app.recorder.record(conn, event).await?;
            if !members::set_role(conn, organization, user, role).await? {
                return Err(AppError::Unavailable { cause: "a locked membership is gone".into() });
            }
            let ended = grants::end(app, caller, conn, &beyond, "role_changed").await?;
            Ok((Member { role, ..member }, true, ended))
        })
        .await?;
    if changed {
        caller.mark_recorded();
    }
    if ended > 0 {
        app.replica.catch_up().await;
    }
    Ok(member)
}

/// Takes a member out of the organization, and ends what the member has authorized for it; answers how many grants that
/// were. The account stays, with the sessions and what it has elsewhere.
///
/// # Errors
/// 403 but for an owner, 404, 409 `last_owner`, 503.
pub async fn remove(app: &App, caller: &Caller, access: &Access, user: UserId) -> Result<u64, AppError> {
    access.require_owner()?;
    let organization = access.organization.id;
    let event = event(app, caller, Action::MemberRemove, organization, user)?;
    let mut conn = app.conn().await?;
    let ended = conn
        .transaction(async |conn| {
            let (_, owners) = lock(conn, caller, organization).await?;
            let member = members::lock(conn, organization, user).await?.ok_or(AppError::NotFound("member"))?;
            keep_an_owner(&owners, &member)?;
            let live = granted(app, conn, organization, user).await?;
            app.recorder
                .record(conn, event.with("role", member.role.as_str()).with("ended_grants", live.len()))
                .await?;
            // Before the row goes: a trigger would end them too, but without an event.
            let ended = grants::end(app, caller, conn, &live, "user_removed").await?;
            if !members::remove(conn, organization, user).await? {
                return Err(AppError::Unavailable { cause: "a locked membership is gone".into() });
            }
            Ok::<_, AppError>(ended)
        })
        .await?;
    caller.mark_recorded();
    if ended > 0 {
        app.replica.catch_up().await;
    }
    Ok(ended as u64)
}

/// Whether [`remove`] would be refused, and how many grants it would end.
///
/// # Errors
/// As [`remove`].
pub async fn would_remove(app: &App, access: &Access, user: UserId) -> Result<u64, AppError> {
    access.require_owner()?;
    let organization = access.organization.id;
    let mut conn = app.conn().await?;
    let member = find(&mut conn, access, user).await?;
    keep_an_owner(&members::owners(&mut conn, organization).await?, &member)?;
    Ok(stored::count(&mut conn, filter(organization, user), app.env.now()).await?.unsigned_abs())
}

/// Takes turns with every other change of who belongs to the organization, and judges the caller's role once more: it may
/// have been taken away since the request was let in. Answers the organization and the owners that can sign in.
async fn lock(conn: &mut Conn, caller: &Caller, id: OrganizationId) -> Result<(Organization, Vec<UserId>), AppError> {
    let organization = organizations::lock(conn, id).await?.ok_or(AppError::NotFound("organization"))?;
    let owners = members::owners(conn, id).await?;
    match &caller.principal {
        Principal::User { id, .. } if !owners.contains(id) => Err(AppError::owner_needed()),
        _ => Ok((organization, owners)),
    }
}

/// An organization keeps an owner who can sign in, so that somebody can look after its members.
fn keep_an_owner(owners: &[UserId], member: &Member) -> Result<(), AppError> {
    if member.role != Role::Owner || owners.iter().any(|owner| *owner != member.user.id) {
        return Ok(());
    }
    Err(AppError::conflict("last_owner", "this is the last owner of the organization; make somebody else owner first"))
}

const fn filter(organization: OrganizationId, user: UserId) -> GrantFilter {
    GrantFilter { organization: Some(organization), user: Some(user), app: None, grant: None }
}

/// What a member has authorized for the organization, locked. All at once and before the feed's number is taken: whoever
/// takes locks behind it may meet somebody who waits for it.
async fn granted(
    app: &App,
    conn: &mut Conn,
    organization: OrganizationId,
    user: UserId,
) -> Result<Vec<Ended>, AppError> {
    Ok(stored::lock_live(conn, filter(organization, user), app.env.now(), i64::MAX).await?)
}

/// The grants with a scope that is not among those that may be handed out. One that has left the catalog opens nothing.
fn beyond(app: &App, live: Vec<Ended>, grantable: ScopeSet) -> Vec<Ended> {
    let too_much = app.catalog.load().all().difference(grantable);
    live.into_iter().filter(|grant| !grant.scopes().intersection(too_much).is_empty()).collect()
}

fn event(
    app: &App,
    caller: &Caller,
    action: Action,
    organization: OrganizationId,
    user: UserId,
) -> Result<Event, AppError> {
    Ok(caller.event(app, Class::A, action, Some(organization))?.with("user_id", user.to_string()))
}

/// Role and name of somebody new, or everything that is wrong.
fn judge(new: &NewMember) -> Result<(Role, String), AppError> {
    let mut errors = Vec::new();
    if !is_address(&new.email) {
        errors.push(FieldError::new("email", "invalid_email", "this is not an e-mail address"));
    }
    collect(&mut errors, refuse_secret("email", &new.email));
    let local: String = new.email.split('@').next().unwrap_or_default().chars().take(LONGEST_NAME).collect();
    let name = new.name.as_deref().unwrap_or(&local);
    if new.name.is_some() {
        if let Err(error) = statuspulse_keys::key::check_name(name) {
            errors.push(FieldError::new("name", "invalid_name", error.to_string()));
        }
        collect(&mut errors, refuse_secret("name", name));
    }
    if let Some(password) = &new.password {
        collect(&mut errors, password.check_strength("password"));
    }
    match role_of(&new.role) {
        Ok(role) if errors.is_empty() => return Ok((role, name.to_owned())),
        Ok(_) => {}
        Err(error) => errors.push(error),
    }
    Err(AppError::Invalid(errors))
}

fn collect(errors: &mut Vec<FieldError>, judged: Result<(), AppError>) {
    if let Err(AppError::Invalid(fields)) = judged {
        errors.extend(fields);
    }
}

fn role_of(text: &str) -> Result<Role, FieldError> {
    text.parse().map_err(|_| FieldError::new("role", "unknown_role", "`owner`, `admin`, `developer` or `auditor`"))
}

fn is_address(email: &str) -> bool {
    let parts = email.split_once('@');
    (3..=254).contains(&email.len())
        && email.chars().all(|character| !character.is_control() && !character.is_whitespace())
        && parts.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'))
}

//! Signed-in browsers.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, sql_query,
    sql_types::Timestamptz,
};
use diesel_async::RunQueryDsl as _;
use ipnetwork::IpNetwork;
use statuspulse_policy::{SessionId, UserId};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    page::Position,
    rows::{host, micros},
    schema::{sessions, users},
    users::User,
};

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Identity.
    pub id: SessionId,
    /// Who is signed in.
    pub user: User,
    /// Last request.
    pub last_seen_at: DateTime<Utc>,
    /// End, whatever happens.
    pub expires_at: DateTime<Utc>,
}

/// What a new session is made of.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Identity.
    pub id: SessionId,
    /// Digest of the cookie's value.
    pub token_digest: [u8; 32],
    /// Who signs in.
    pub user: UserId,
    /// Now.
    pub now: DateTime<Utc>,
    /// End.
    pub expires_at: DateTime<Utc>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// User agent, escaped.
    pub user_agent: Option<&'a str>,
}

/// Writes a session.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(conn: &mut Conn, new: &NewSession<'_>) -> Result<(), StoreError> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(new.id.as_uuid()),
            sessions::token_digest.eq(new.token_digest.as_slice()),
            sessions::user_id.eq(new.user.as_uuid()),
            sessions::created_at.eq(micros(new.now)),
            sessions::last_seen_at.eq(micros(new.now)),
            sessions::expires_at.eq(micros(new.expires_at)),
            sessions::ip.eq(new.ip.map(host)),
            sessions::user_agent.eq(new.user_agent),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// A live session by the digest of its cookie: not past its end, seen since `seen_after`, of an open account.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(
    conn: &mut Conn,
    token_digest: &[u8; 32],
    now: DateTime<Utc>,
    seen_after: DateTime<Utc>,
) -> Result<Option<Session>, StoreError> {
    type Row = (Uuid, DateTime<Utc>, DateTime<Utc>, Uuid, String, String);
    let row: Option<Row> = sessions::table
        .inner_join(users::table)
        .filter(
            sessions::token_digest
                .eq(token_digest.as_slice())
                .and(sessions::expires_at.gt(now))
                .and(sessions::last_seen_at.gt(seen_after))
                .and(users::disabled_at.is_null()),
        )
        .select((sessions::id, sessions::last_seen_at, sessions::expires_at, users::id, users::email, users::name))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(id, last_seen_at, expires_at, user, email, name)| Session {
        id: SessionId::from_uuid(id),
        user: User { id: UserId::from_uuid(user), email, name, disabled_at: None },
        last_seen_at,
        expires_at,
    }))
}

/// Notes that a session is in use.
///
/// # Errors
/// When the database can't be reached.
pub async fn touch(conn: &mut Conn, id: SessionId, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(sessions::table.find(id.as_uuid()))
        .set(sessions::last_seen_at.eq(micros(now)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives a session another cookie by the digest of its value; false when there is no such session any more.
///
/// # Errors
/// When the database can't be reached.
pub async fn renew(conn: &mut Conn, id: SessionId, token_digest: &[u8; 32]) -> Result<bool, StoreError> {
    let session = diesel::update(sessions::table.find(id.as_uuid()));
    Ok(session.set(sessions::token_digest.eq(token_digest.as_slice())).execute(conn).await? == 1)
}

/// A session as its person sees it.
#[derive(Debug, Clone)]
pub struct ListedSession {
    /// Identity.
    pub id: SessionId,
    /// The sign-in.
    pub created_at: DateTime<Utc>,
    /// Last request, to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// End, whatever happens.
    pub expires_at: DateTime<Utc>,
    /// Address at the sign-in.
    pub ip: Option<IpAddr>,
    /// User agent at the sign-in, escaped.
    pub user_agent: Option<String>,
}

/// A person's live sessions (see [`find`]), newest first, after a position.
///
/// # Errors
/// When the database can't be reached.
pub async fn of_user(
    conn: &mut Conn,
    user: UserId,
    now: DateTime<Utc>,
    seen_after: DateTime<Utc>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<ListedSession>, StoreError> {
    type Row = (Uuid, DateTime<Utc>, DateTime<Utc>, DateTime<Utc>, Option<IpNetwork>, Option<String>);
    let mut query = sessions::table
        .filter(sessions::user_id.eq(user.as_uuid()))
        .filter(sessions::expires_at.gt(now).and(sessions::last_seen_at.gt(seen_after)))
        .order((sessions::created_at.desc(), sessions::id.desc()))
        .limit(limit)
        .select((
            sessions::id,
            sessions::created_at,
            sessions::last_seen_at,
            sessions::expires_at,
            sessions::ip,
            sessions::user_agent,
        ))
        .into_boxed();
    if let Some(position) = after {
        query = query.filter(
            sessions::created_at
                .lt(position.created_at)
                .or(sessions::created_at.eq(position.created_at).and(sessions::id.lt(position.id))),
        );
    }
    let rows: Vec<Row> = query.load(conn).await?;
    let listed = |(id, created_at, last_seen_at, expires_at, ip, user_agent): Row| ListedSession {
        id: SessionId::from_uuid(id),
        created_at,
        last_seen_at,
        expires_at,
        ip: ip.map(|network| network.ip()),
        user_agent,
    };
    Ok(rows.into_iter().map(listed).collect())
}

/// Which of a person's sessions are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// One.
    One(SessionId),
    /// All but one.
    AllBut(SessionId),
    /// All.
    All,
}

/// Ends live sessions of a person; answers those that it has ended.
///
/// # Errors
/// When the database can't be reached.
pub async fn end(
    conn: &mut Conn,
    user: UserId,
    which: Which,
    now: DateTime<Utc>,
    seen_after: DateTime<Utc>,
) -> Result<Vec<SessionId>, StoreError> {
    let live = sessions::user_id
        .eq(user.as_uuid())
        .and(sessions::expires_at.gt(now))
        .and(sessions::last_seen_at.gt(seen_after));
    let others = match which {
        Which::One(id) => {
            let one = sessions::table.filter(live.and(sessions::id.eq(id.as_uuid())));
            let ended: Vec<Uuid> = diesel::delete(one).returning(sessions::id).get_results(conn).await?;
            return Ok(ended.into_iter().map(SessionId::from_uuid).collect());
        }
        Which::AllBut(id) => Some(id),
        Which::All => None,
    };
    // Those that have idled for too long go too: to an instance whose clock is behind they are alive.
    let kept = others.map_or_else(Uuid::nil, SessionId::as_uuid);
    let all = sessions::table.filter(sessions::user_id.eq(user.as_uuid()).and(sessions::id.ne(kept)));
    let ended: Vec<(Uuid, DateTime<Utc>, DateTime<Utc>)> = diesel::delete(all)
        .returning((sessions::id, sessions::expires_at, sessions::last_seen_at))
        .get_results(conn)
        .await?;
    let lived = ended.into_iter().filter(|(_, expires_at, seen)| *expires_at > now && *seen > seen_after);
    Ok(lived.map(|(id, ..)| SessionId::from_uuid(id)).collect())
}

/// Removes sessions that have ended.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove_ended(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    // Those that somebody ends at this moment go with that.
    let gone =
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 FOR UPDATE SKIP LOCKED)";
    Ok(sql_query(gone).bind::<Timestamptz, _>(now).execute(conn).await?)
}

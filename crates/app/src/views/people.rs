//! Members and sessions as JSON.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use statuspulse_policy::SessionId;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    members::{self, Added, Member},
    passwords::Password,
    sessions,
};

/// A person in an organization.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberJson {
    /// The person's id.
    id: Uuid,
    email: String,
    name: String,
    /// `owner`, `admin`, `developer` or `auditor`.
    role: &'static str,
    /// Since when the person belongs to the organization.
    created_at: DateTime<Utc>,
    /// The newest sign-in since then whose session is kept; null after a sign-out, and a week after it at the latest.
    last_sign_in_at: Option<DateTime<Utc>>,
}

impl From<&Member> for MemberJson {
    fn from(member: &Member) -> Self {
        Self {
            id: member.user.id.as_uuid(),
            email: member.user.email.clone(),
            name: member.user.name.clone(),
            role: member.role.as_str(),
            created_at: member.created_at,
            last_sign_in_at: member.last_sign_in_at,
        }
    }
}

/// A page of members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemberPage)]
pub struct MemberPageJson {
    items: Vec<MemberJson>,
    next_cursor: Option<String>,
}

impl From<members::Page> for MemberPageJson {
    fn from(page: members::Page) -> Self {
        Self { items: page.items.iter().map(MemberJson::from).collect(), next_cursor: page.next_cursor }
    }
}

/// A password on its way to the one who made the account.
#[derive(ToSchema)]
#[schema(value_type = String)]
pub struct PasswordJson(Password);

impl Serialize for PasswordJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl std::fmt::Debug for PasswordJson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A new member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddedMember)]
pub struct AddedMemberJson {
    member: MemberJson,
    /// The generated password of a new account, in this answer and nowhere else. Left out where the person has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    password: Option<PasswordJson>,
}

impl From<Added> for AddedMemberJson {
    fn from(added: Added) -> Self {
        Self { member: MemberJson::from(&added.member), password: added.password.map(PasswordJson) }
    }
}

/// A signed-in browser of the person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnSession)]
pub struct OwnSessionJson {
    id: Uuid,
    created_at: DateTime<Utc>,
    /// The last request, to the minute.
    last_seen_at: DateTime<Utc>,
    /// The end, whatever happens.
    expires_at: DateTime<Utc>,
    /// Address at the sign-in; null where it was unknown.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// What the browser called itself at the sign-in.
    user_agent: Option<String>,
    /// Whether it is the one that asks.
    current: bool,
}

/// A page of the person's sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnSessionPage)]
pub struct OwnSessionPageJson {
    items: Vec<OwnSessionJson>,
    next_cursor: Option<String>,
}

impl OwnSessionPageJson {
    /// A page, and which session asks for it.
    #[must_use]
    pub fn new(page: sessions::Page, current: SessionId) -> Self {
        let items = page.items.into_iter().map(|session| OwnSessionJson {
            id: session.id.as_uuid(),
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            ip: session.ip,
            user_agent: session.user_agent,
            current: session.id == current,
        });
        Self { items: items.collect(), next_cursor: page.next_cursor }
    }
}

/// How many sessions were ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndedSessions)]
pub struct EndedSessionsJson {
    /// How many.
    pub ended: usize,
}

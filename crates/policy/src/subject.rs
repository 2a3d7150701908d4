//! Ids and roles. An id is a type of its own, so that a key's id can't stand where an organization's is wanted.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{IdError, UnknownRole};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that is known to be of this kind (a row, a path parameter, a fresh [`uuid_v7`]).
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID, for binds.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                hyphenated(text).map(Self).ok_or_else(|| IdError(text.to_owned()))
            }
        }
    )*};
}

ids! {
    /// An organization, the owner of keys and apps.
    OrganizationId;
    /// A person with an account.
    UserId;
    /// An API key over all its versions.
    KeyId;
    /// One version of an API key, that is one token.
    KeyVersionId;
    /// One HTTP request, made here and never taken from the request.
    RequestId;
    /// One running instance of the service.
    InstanceId;
    /// An alert.
    AlertId;
    /// An event of the audit trail or the outbox.
    EventId;
    /// A log-in session of a person.
    SessionId;
    /// A registered OAuth app.
    AppId;
    /// One of an app's client secrets.
    AppSecretId;
    /// One person's, or one app's own, authorization of an app.
    GrantId;
    /// An endpoint that gets events of an organization.
    WebhookId;
    /// One event on its way to one endpoint.
    DeliveryId;
}

/// A UUID in the one form of RFC 9562 §4, 36 characters with hyphens, its hex in any case. The library reads braces, `urn:`
/// and bare hex too; of one id with several spellings, a rule or a log that knows one of them misses the others.
fn hyphenated(text: &str) -> Option<Uuid> {
    if text.len() == uuid::fmt::Hyphenated::LENGTH { Uuid::try_parse(text).ok() } else { None }
}

/// A UUIDv7 (RFC 9562 §5.7) of the instant `at`, cut to milliseconds, and 74 of the 80 bits of `random`.
/// An instant before 1970 counts as 1970.
pub fn uuid_v7(at: DateTime<Utc>, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// What a person may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but members and settings that touch billing.
    Admin,
    /// Keys and apps within the scopes that the organization lets developers grant.
    Developer,
    /// Reads everything, changes nothing.
    Auditor,
}

impl Role {
    /// Every role, the strongest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Developer, Self::Auditor];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;

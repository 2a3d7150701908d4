#![doc = include_str!("../README.md")]

mod allowlist;
mod catalog;
mod cidr;
mod client_ip;
mod decide;
mod environment;
mod error;
mod explain;
mod forwarded;
mod grant;
mod path;
mod ranges;
mod routes;
mod scope;
mod subject;

pub use allowlist::{AllowAny, Allowlist, MAX_ENTRIES};
pub use catalog::{Catalog, Preset, Resource, ScopeInfo};
pub use cidr::{Cidr, canonical_ip, counter_key};
pub use client_ip::{ClientAddress, ClientIpPolicy, HeaderKind, TrustedProxies};
pub use decide::{Code, Denial, Reason, Request, admit, authorize, decide};
pub use environment::{Environment, EnvironmentSet, Served};
pub use error::{
    AllowlistError, CatalogError, CidrError, EntryError, HeaderNameError, IdError, PathError, ScopeError,
    TrustedProxiesError, UnknownEnvironment, UnknownRole,
};
pub use explain::{Explanation, Outcome, Step, StepName, explain};
pub use grant::{Grant, State};
pub use path::{CanonicalPath, MAX_PATH_BYTES};
pub use routes::{RefusedRoute, Requirement};
pub use scope::{ScopeBit, ScopeName, ScopeSet};
pub use subject::{
    AlertId, AppId, AppSecretId, DeliveryId, EventId, GrantId, InstanceId, KeyId, KeyVersionId, OrganizationId,
    RequestId, Role, SessionId, UserId, WebhookId, uuid_v7,
};

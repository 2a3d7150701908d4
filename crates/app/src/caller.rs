//! Who asks, from where, and what that person or program may do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::{DateTime, Utc};
use statuspulse_audit::{Action, Actor, Class, Event, Outcome, event::Origin};
use statuspulse_keys::Creator;
use statuspulse_policy::{EventId, KeyId, OrganizationId, Role, ScopeSet, UserId};
use statuspulse_store::organizations::Organization;

use crate::{app::App, error::AppError};

/// Who asks.
#[derive(Debug, Clone)]
pub enum Principal {
    /// A signed-in person.
    User {
        /// Who.
        id: UserId,
        /// Address.
        email: String,
    },
    /// An operator at the command line, by the name of the account on that machine.
    Operator(String),
    /// A program with a key. It reads; it never changes.
    Key {
        /// The key.
        id: KeyId,
        /// The version whose token was presented.
        version: i32,
        /// Its organization.
        organization: OrganizationId,
    },
    /// The service itself.
    System,
    /// Nobody yet: a request without a credential.
    Anonymous,
}

/// A caller with the circumstances that every event of it carries.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From where.
    pub origin: Origin,
    /// When the request came in, before any waiting.
    pub arrived_at: DateTime<Utc>,
    /// The scope by which a key was let in: which scopes a key can do without is read out of the trail.
    pub scope: Option<&'static str>,
    recorded: Arc<AtomicBool>,
}

impl Caller {
    /// A caller.
    #[must_use]
    pub fn new(principal: Principal, origin: Origin, arrived_at: DateTime<Utc>) -> Self {
        Self { principal, origin, arrived_at, scope: None, recorded: Arc::default() }
    }

    /// An operator at the command line.
    #[must_use]
    pub fn operator(app: &App, name: &str) -> Self {
        Self::new(Principal::Operator(name.to_owned()), Origin::default(), app.env.now())
    }

    /// The service itself.
    #[must_use]
    pub fn system(app: &App) -> Self {
        Self::new(Principal::System, Origin::default(), app.env.now())
    }

    /// Whether a use case has put an event of its own into the trail, so that the request needs none.
    #[must_use]
    pub fn has_recorded(&self) -> bool {
        self.recorded.load(Ordering::Acquire)
    }

    /// Says that the request has its event.
    pub fn mark_recorded(&self) {
        self.recorded.store(true, Ordering::Release);
    }

    /// The actor of this caller's events.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.principal {
            Principal::User { id, .. } => Actor::User(*id),
            Principal::Operator(name) => Actor::Operator(name.clone()),
            Principal::Key { id, version, .. } => Actor::ApiKey { id: *id, version: Some(*version) },
            Principal::System => Actor::System,
            Principal::Anonymous => Actor::Unknown,
        }
    }

    /// The name under which this caller's idempotency keys are kept apart from others'.
    #[must_use]
    pub fn name(&self) -> String {
        let actor = self.actor();
        format!("{}:{}", actor.kind(), actor.id().unwrap_or_default())
    }

    /// An event of this caller.
    ///
    /// # Errors
    /// When there is no randomness for its id.
    pub fn event(
        &self,
        app: &App,
        class: Class,
        action: Action,
        organization: Option<OrganizationId>,
    ) -> Result<Event, AppError> {
        let now = app.env.now();
        let mut detail = serde_json::Map::new();
        if self.origin.request_id.is_some() {
            let latency = now.signed_duration_since(self.arrived_at).num_microseconds().unwrap_or_default();
            detail.insert("latency_us".into(), latency.max(0).into());
        }
        if let Some(scope) = self.scope {
            detail.insert("required_scope".into(), scope.into());
        }
        Ok(Event {
            id: EventId::from_uuid(app.env.id()?),
            occurred_at: now,
            class,
            action,
            outcome: Outcome::Allowed,
            reason: None,
            organization_id: organization,
            actor: self.actor(),
            origin: self.origin.clone(),
            status: None,
            detail,
        })
    }
}

/// What a caller may do in one organization.
#[derive(Debug, Clone)]
pub struct Access {
    /// The organization.
    pub organization: Organization,
    /// The caller's right there.
    pub right: Right,
}

/// How far a caller's rights go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// An operator: everything, everywhere.
    Operator,
    /// A person with a role.
    Role(Role),
    /// A key that was admitted to read.
    Reader,
}

impl Access {
    /// Whether the caller is owner, admin or operator.
    #[must_use]
    pub const fn administers(&self) -> bool {
        matches!(self.right, Right::Operator | Right::Role(Role::Owner | Role::Admin))
    }

    /// Demands an owner or admin.
    ///
    /// # Errors
    /// 403 `role_not_sufficient`.
    pub fn require_admin(&self) -> Result<(), AppError> {
        if self.administers() {
            Ok(())
        } else {
            Err(AppError::forbidden("role_not_sufficient", "only an owner or admin may do this"))
        }
    }

    /// Demands an owner: who belongs to the organization is no admin's business.
    ///
    /// # Errors
    /// 403 `role_not_sufficient`.
    pub fn require_owner(&self) -> Result<(), AppError> {
        match self.right {
            Right::Operator | Right::Role(Role::Owner) => Ok(()),
            _ => Err(AppError::owner_needed()),
        }
    }

    /// Demands somebody who may change keys at all: anyone but an auditor or a key.
    ///
    /// # Errors
    /// 403 `role_not_sufficient`.
    pub fn require_writer(&self) -> Result<(), AppError> {
        if self.administers() || self.right == Right::Role(Role::Developer) {
            Ok(())
        } else {
            Err(AppError::forbidden("role_not_sufficient", "an auditor reads everything and changes nothing"))
        }
    }

    /// The scopes that the caller may hand out (policy §1.5).
    #[must_use]
    pub fn grantable(&self, app: &App) -> ScopeSet {
        let catalog = app.catalog.load();
        match self.right {
            _ if self.administers() => catalog.all(),
            Right::Role(Role::Developer) => match self.organization.settings.developer_scopes {
                Some(scopes) => scopes,
                None => catalog.all().difference(catalog.management()),
            },
            _ => ScopeSet::EMPTY,
        }
    }

    /// Demands the right to hand out these scopes: at creation, at a change of scopes, at rotation and when a key is
    /// switched on again.
    ///
    /// # Errors
    /// 403 `scope_not_grantable` naming the scopes.
    pub fn require_grantable(&self, app: &App, scopes: ScopeSet) -> Result<(), AppError> {
        // A scope that has left the catalog opens nothing, so it binds nobody either.
        let lacking = scopes.intersection(app.catalog.load().all()).difference(self.grantable(app));
        if lacking.is_empty() {
            return Ok(());
        }
        let names = app.catalog.load().names(lacking).join("`, `");
        Err(AppError::forbidden(
            "scope_not_grantable",
            format!("your role may not hand out `{names}`; ask an owner or admin"),
        ))
    }
}

impl Principal {
    /// How a key remembers its maker. A key can't make keys, so only people and operators do.
    #[must_use]
    pub fn creator(&self) -> Creator {
        match self {
            Self::User { id, .. } => Creator::User(*id),
            Self::Operator(name) => Creator::Operator(name.clone()),
            Self::Key { .. } | Self::System | Self::Anonymous => Creator::Operator("system".to_owned()),
        }
    }
}

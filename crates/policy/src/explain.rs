//! The decision told step by step. It stops at nothing: every step is judged, the first that fails gives the code.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use crate::catalog::Catalog;
use crate::client_ip::ClientAddress;
use crate::decide::{Code, Denial, Reason, Request, check_address, check_environment, check_scope, check_state};
use crate::environment::Served;
use crate::grant::Grant;
use crate::routes::{RefusedRoute, Requirement};

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Of the first step that fails, otherwise [`Code::Allowed`].
    pub code: Code,
    /// The six steps in the order of the decision.
    pub steps: Vec<Step>,
}

impl Explanation {
    /// Adds what is known of the rate: how many more calls the limit of a minute lets through now.
    #[must_use]
    pub fn with_rate(mut self, limit: u32, remaining: u32) -> Self {
        let outcome = if remaining > 0 { Outcome::Pass } else { Outcome::Fail };
        if outcome == Outcome::Fail && self.code == Code::Allowed {
            self.code = Code::RateLimited;
        }
        for step in self.steps.iter_mut().filter(|step| step.step == StepName::Rate) {
            step.outcome = outcome;
            step.detail = format!("{remaining} more of {limit} calls a minute would be accepted here now");
        }
        self
    }

    /// Whether the call would pass.
    pub fn allowed(&self) -> bool {
        self.code == Code::Allowed
    }

    /// The HTTP status with which a resource server would answer.
    pub fn status(&self) -> u16 {
        self.code.http_status()
    }
}

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// What became of it.
    pub outcome: Outcome,
    /// For people. It may hold the client's address.
    pub detail: String,
}

/// The steps in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// Which address is judged.
    ClientAddress,
    /// The credential's list and the organization's.
    Allowlist,
    /// Revoked, expired, disabled.
    State,
    /// Which environments the resource server serves.
    Environment,
    /// What the endpoint needs.
    Scope,
    /// Calls in the last minute.
    Rate,
}

impl StepName {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientAddress => "client_address",
            Self::Allowlist => "allowlist",
            Self::State => "state",
            Self::Environment => "environment",
            Self::Scope => "scope",
            Self::Rate => "rate",
        }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It lets the call pass.
    Pass,
    /// It refuses the call.
    Fail,
    /// There was nothing to judge.
    Skipped,
}

impl Outcome {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// Explains what [`decide`](crate::decide()) does with the same arguments.
pub fn explain(grant: &Grant<'_>, request: &Request<'_>, catalog: &Catalog, now: DateTime<Utc>) -> Explanation {
    let judged = [
        (StepName::Allowlist, check_address(grant, request)),
        (StepName::State, check_state(grant, now)),
        (StepName::Environment, check_environment(grant, request)),
        (StepName::Scope, check_scope(grant, request, catalog)),
    ];
    let code = judged.iter().find_map(|(_, verdict)| verdict.err()).map_or(Code::Allowed, |denial| denial.code);
    let mut steps = vec![client_address(request.client)];
    for (step, verdict) in judged {
        let (outcome, detail) = match verdict {
            Err(denial) => (Outcome::Fail, failed(&denial, grant, request)),
            Ok(()) => passed(step, grant, request),
        };
        steps.push(Step { step, outcome, detail });
    }
    steps.push(Step {
        step: StepName::Rate,
        outcome: Outcome::Skipped,
        detail: "no limit, or one whose counts of that time are not known; explaining a call counts nothing".to_owned(),
    });
    Explanation { code, steps }
}

fn client_address(client: ClientAddress) -> Step {
    let (outcome, detail) = match client {
        ClientAddress::Known(ip) => (Outcome::Pass, format!("the call comes from {ip}")),
        ClientAddress::Unknown => (Outcome::Skipped, "the client's address is not known".to_owned()),
    };
    Step { step: StepName::ClientAddress, outcome, detail }
}

fn passed(step: StepName, grant: &Grant<'_>, request: &Request<'_>) -> (Outcome, String) {
    let detail = match step {
        StepName::Allowlist => match (grant.allowlist, grant.organization_allowlist) {
            (None, None) => {
                return (Outcome::Skipped, "neither the key nor the organization has a list".to_owned());
            }
            (Some(_), None) => "the key's list holds the address".to_owned(),
            (None, Some(_)) => "the organization's list holds the address".to_owned(),
            (Some(_), Some(_)) => "the key's list and the organization's hold the address".to_owned(),
        },
        StepName::State => format!("the key is active until {}", rfc3339(grant.expires_at)),
        StepName::Environment => match request.served {
            Served::Any => return (Outcome::Skipped, "every environment is served".to_owned()),
            Served::Only(_) => format!("`{}` is served", grant.environment),
        },
        StepName::Scope => match request.requirement {
            Requirement::Scope { name, .. } => format!("the key has `{name}`"),
            Requirement::Public { .. } | Requirement::Refused { .. } => "no scope is needed".to_owned(),
        },
        StepName::ClientAddress | StepName::Rate => String::new(),
    };
    (Outcome::Pass, detail)
}

fn failed(denial: &Denial<'_>, grant: &Grant<'_>, request: &Request<'_>) -> String {
    match denial.reason {
        Reason::KeyAllowlist => address_refused("key", request.client, both_refuse(grant, request)),
        Reason::OrganizationAllowlist => address_refused("organization", request.client, false),
        Reason::NoScopes => format!("the key has no scope that counts in `{}`", grant.environment),
        Reason::Route(RefusedRoute::PathNotCanonical) => {
            "the path has more than one reading, so no rule covers it".to_owned()
        }
        Reason::Route(RefusedRoute::NoRule) => "no rule covers this method and path".to_owned(),
        Reason::Route(RefusedRoute::UnknownScope) => match denial.required_scope {
            Some(name) => format!("the rule needs `{name}`, which does not exist, so nobody may do this"),
            None => "the scope asked for does not exist".to_owned(),
        },
        Reason::Code(Code::Revoked) => match grant.revoked_from {
            Some(from) => format!("the key is revoked since {}", rfc3339(from)),
            None => "the key is revoked".to_owned(),
        },
        Reason::Code(Code::Expired) => format!("the key has expired at {}", rfc3339(grant.expires_at)),
        Reason::Code(Code::Disabled) => "the key is disabled".to_owned(),
        Reason::Code(Code::EnvironmentMismatch) => format!("`{}` is not served here", grant.environment),
        Reason::Code(Code::InsufficientScope) => match denial.required_scope {
            Some(name) => format!("the key does not have `{name}`, or its environment forbids it"),
            None => "the key lacks the scope".to_owned(),
        },
        Reason::Code(code) => code.as_str().to_owned(),
    }
}

fn both_refuse(grant: &Grant<'_>, request: &Request<'_>) -> bool {
    check_address(&Grant { allowlist: None, ..*grant }, request).is_err()
}

fn address_refused(whose: &str, client: ClientAddress, both: bool) -> String {
    let lists = if both {
        "the key's list and the organization's do not".to_owned()
    } else {
        format!("the {whose}'s list does not")
    };
    match client {
        ClientAddress::Known(ip) => format!("{lists} hold {ip}"),
        ClientAddress::Unknown => format!("{lists} hold an address that is not known"),
    }
}

fn rfc3339(at: DateTime<Utc>) -> String {
    // `Debug` of a UTC time is RFC 3339 and, unlike the formatter, is there without chrono's optional features.
    format!("{:?}", at.trunc_subsecs(0))
}

#[cfg(test)]
mod tests;

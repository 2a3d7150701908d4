//! Which events of the trail a rule looks at, and whom they are about.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;
use statuspulse_policy::{Cidr, Code, RefusedRoute};
use uuid::Uuid;

use super::Subject;
use crate::{anomaly::rules::AlertRule, event::Action, record::Entry};

/// A country in which a key was not used for that long is new.
const COUNTRY_FORGOTTEN: Duration = Duration::days(30);
/// A key must have been used for that long before a country can be new.
const SETTLED: Duration = Duration::days(7);

/// An event that a rule looks at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sign {
    pub(super) subject: Subject,
    /// How many it stands for.
    pub(super) number: u64,
}

/// Reads the events of a rule.
#[derive(Debug)]
pub(super) struct Signs {
    rule: AlertRule,
    /// By key; of `new_country` alone.
    uses: HashMap<String, Uses>,
}

/// Where a key was used.
#[derive(Debug)]
struct Uses {
    first_at: DateTime<Utc>,
    /// Each country with its last use.
    countries: Vec<(String, DateTime<Utc>)>,
}

impl Signs {
    /// Answers what is missing where the trail doesn't hold what the rule looks at.
    pub(super) fn of(rule: AlertRule) -> Result<Self, &'static str> {
        match rule {
            AlertRule::CallRate
            | AlertRule::OutOfScope
            | AlertRule::IpDenied
            | AlertRule::NewCountry
            | AlertRule::RevokedKeyUsed
            | AlertRule::CanaryUsed
            | AlertRule::CredentialInUrl
            | AlertRule::RefreshReuse
            | AlertRule::CodeReplay
            | AlertRule::UnknownTokens
            | AlertRule::AuditGap => Ok(Self { rule, uses: HashMap::new() }),
            AlertRule::RateAboveUsual => {
                Err("what is usual for a key is learned while it is used, and not written there")
            }
            AlertRule::ImpossibleTravel => Err("it holds countries and no places"),
            AlertRule::DormantKeyUsed => Err("the use before a long sleep lies before what is read, or has left it"),
            AlertRule::RotatedKeyUsed => {
                Err("a token that was rotated away and one of a revoked key are refused by the same word, `revoked`; \
                     `revoked_key_used` counts both")
            }
            AlertRule::LeakedKey => {
                Err("it follows from a report and not from use; `alert list` has those that were opened")
            }
            AlertRule::Integrity => Err("it is about the tables themselves; `audit verify` looks at the trail's"),
            AlertRule::ConsentSurge => Err("how new an app was is not written there"),
            AlertRule::WatchImpaired => Err("what fails of the watch itself is not written there"),
        }
    }

    /// What an event means to the rule.
    pub(super) fn read(&mut self, entry: &Entry) -> Option<Sign> {
        let reason = entry.reason.as_deref();
        let is_call = entry.action == Action::ApiCall.as_str();
        let refused_as = |code: Code| is_call && reason == Some(code.as_str());
        match self.rule {
            AlertRule::CallRate => credential(entry).filter(|_| is_call),
            AlertRule::OutOfScope => credential(entry).filter(|_| is_call && reason.is_some_and(is_out_of_scope)),
            AlertRule::IpDenied => key(entry).filter(|_| refused_as(Code::IpNotAllowed)),
            AlertRule::RevokedKeyUsed => key(entry).filter(|_| refused_as(Code::Revoked)),
            AlertRule::CanaryUsed => {
                key(entry).filter(|_| refused_as(Code::Unknown) && detail(entry, "canary") == Some(&Value::Bool(true)))
            }
            AlertRule::CredentialInUrl => key(entry).filter(|_| entry.action == Action::CredentialInUrl.as_str()),
            AlertRule::RefreshReuse => ended_grant(entry, "refresh_reuse_detected"),
            AlertRule::CodeReplay => ended_grant(entry, "code_replayed"),
            AlertRule::UnknownTokens => stranger(entry),
            AlertRule::NewCountry => key(entry).filter(|_| is_call).filter(|sign| self.is_new_country(entry, sign)),
            AlertRule::AuditGap => (entry.action == Action::AuditGap.as_str()).then(|| {
                let subject = Subject { organization: None, kind: "trail", id: "audit".to_owned() };
                Sign { subject, number: number(entry) }
            }),
            _ => None,
        }
    }

    fn is_new_country(&mut self, entry: &Entry, sign: &Sign) -> bool {
        let now = entry.occurred_at;
        if entry.outcome != "allowed" {
            return false;
        }
        let fresh = || Uses { first_at: now, countries: Vec::new() };
        let uses = self.uses.entry(sign.subject.id.clone()).or_insert_with(fresh);
        let Some(country) = entry.country.as_deref() else { return false };
        uses.countries.retain(|(_, last_at)| now - *last_at <= COUNTRY_FORGOTTEN);
        match uses.countries.iter_mut().find(|(known, _)| known == country) {
            Some((_, last_at)) => {
                *last_at = now;
                false
            }
            None => {
                uses.countries.push((country.to_owned(), now));
                now - uses.first_at >= SETTLED
            }
        }
    }
}

/// The network of an address that an alert names: a /24 or a /48.
pub(super) fn network_of(ip: IpAddr) -> Option<String> {
    let length = if ip.to_canonical().is_ipv4() { 24 } else { 48 };
    Cidr::enclosing(ip, length).map(|network| network.to_string())
}

/// The words that a refusal for scope stands under: the code, or why nobody may do this.
fn is_out_of_scope(reason: &str) -> bool {
    let routes = [RefusedRoute::PathNotCanonical, RefusedRoute::NoRule, RefusedRoute::UnknownScope];
    reason == Code::InsufficientScope.as_str() || routes.iter().any(|route| route.as_str() == reason)
}

fn detail<'a>(entry: &'a Entry, name: &str) -> Option<&'a Value> {
    entry.detail.get(name)
}

/// How many an event stands for, at least one.
fn number(entry: &Entry) -> u64 {
    detail(entry, "count").and_then(Value::as_u64).unwrap_or(1).max(1)
}

fn about(organization: Option<Uuid>, kind: &'static str, id: &str) -> Sign {
    Sign { subject: Subject { organization, kind, id: id.to_owned() }, number: 1 }
}

/// The key or the grant that an event names as its actor.
fn credential(entry: &Entry) -> Option<Sign> {
    let kind = match entry.actor.kind.as_str() {
        "api_key" => "key",
        "access_token" => "grant",
        _ => return None,
    };
    Some(about(entry.organization_id, kind, entry.actor.id.as_deref()?))
}

fn key(entry: &Entry) -> Option<Sign> {
    credential(entry).filter(|sign| sign.subject.kind == "key")
}

/// A grant that was ended for this; what comes after that says the same and changes nothing.
fn ended_grant(entry: &Entry, reason: &str) -> Option<Sign> {
    let ended = entry.reason.as_deref() == Some(reason) && detail(entry, "revoked") == Some(&Value::Bool(true));
    let grant = detail(entry, "grant_id").and_then(Value::as_str).filter(|_| ended)?;
    Some(about(entry.organization_id, "grant", grant))
}

/// Tokens that nobody has made, by network: one event each, or many of a second folded into one.
fn stranger(entry: &Entry) -> Option<Sign> {
    // A made-up key in a URL is one of them.
    let reasons = [Code::Unknown.as_str(), Code::Malformed.as_str(), "credential_in_url"];
    let is_fold = entry.action == Action::AuditFold.as_str();
    let is_single = [Action::ApiCall, Action::CredentialInUrl].iter().any(|action| action.as_str() == entry.action);
    let is_made_up =
        entry.actor.id.is_none() && entry.reason.as_deref().is_some_and(|reason| reasons.contains(&reason));
    let network = entry.ip.and_then(network_of).filter(|_| (is_fold || is_single) && is_made_up)?;
    // One network is one, whichever resource server it tries.
    Some(Sign { number: if is_fold { number(entry) } else { 1 }, ..about(None, "network", &network) })
}

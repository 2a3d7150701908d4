//! Pieces that several row types share.

use std::net::IpAddr;

use chrono::{DateTime, SubsecRound as _, Utc};
use ipnetwork::IpNetwork;
use statuspulse_keys::Creator;
use statuspulse_policy::{Allowlist, Cidr, UserId, canonical_ip};

use crate::error::StoreError;

/// PostgreSQL keeps microseconds; what is compared with a stored time must have no more.
pub(crate) fn micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

pub(crate) fn allowlist(
    networks: Option<Vec<IpNetwork>>,
    table: &'static str,
    id: impl ToString,
) -> Result<Option<Allowlist>, StoreError> {
    let Some(networks) = networks else { return Ok(None) };
    let cidrs: Result<Vec<Cidr>, _> = networks.into_iter().map(Cidr::from_ip_network).collect();
    cidrs.map(|cidrs| Some(Allowlist::from_cidrs(cidrs))).map_err(|_| StoreError::corrupt(table, "allowed_cidrs", id))
}

pub(crate) fn networks(allowlist: Option<&Allowlist>) -> Option<Vec<IpNetwork>> {
    allowlist.map(|list| list.entries().iter().map(|cidr| cidr.to_ip_network()).collect())
}

pub(crate) fn host(ip: IpAddr) -> IpNetwork {
    IpNetwork::from(canonical_ip(ip))
}

/// Who made something, from its two columns.
pub(crate) fn creator(kind: &str, name: String) -> Option<Creator> {
    match kind {
        "user" => name.parse().map(|id| Creator::User(UserId::from_uuid(id))).ok(),
        "operator" => Some(Creator::Operator(name)),
        _ => None,
    }
}

/// The two columns: kind, and id or name.
pub(crate) fn creator_words(creator: &Creator) -> (&'static str, String) {
    match creator {
        Creator::User(id) => ("user", id.to_string()),
        Creator::Operator(name) => ("operator", name.clone()),
    }
}

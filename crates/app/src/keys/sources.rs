//! What the trail knows of a key's calls (policy §3.9, §9): what a new list would have refused, and what the key could do
//! without.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chrono::Duration;
use statuspulse_audit::Action;
use statuspulse_policy::{AllowAny, Allowlist, Cidr, KeyId};
use statuspulse_store::{
    audit::{
        trail::Filter,
        uses::{Calls, SourceRow, scopes_of_key, sources_of_key},
    },
    keys,
};

use super::allowlist_errors;
use crate::{
    app::App,
    audit::read,
    caller::{Access, Caller},
    error::AppError,
};

/// Days of a preview where none are asked for.
const PREVIEW_DAYS: i64 = 7;
/// Days of a preview, at most: as long as calls are kept.
const PREVIEW_MOST: i64 = 30;
/// Days that suggestions look back.
const SUGGEST_DAYS: i64 = 30;
/// Entries of a suggested list, at most.
const SUGGESTED: usize = 50;
/// So many addresses of one network are joined to it.
const JOINED: usize = 4;

/// The calls from one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// A /24 or a /48; none: calls from an unknown address, which every list refuses.
    pub network: Option<Cidr>,
    /// Where it is, as far as that is known.
    pub country: Option<String>,
    /// Calls from there.
    pub calls: i64,
    /// Calls that the list would have refused.
    pub blocked: i64,
}

/// What a list would have refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Calls of the key.
    pub calls: i64,
    /// Calls that the list would have refused.
    pub would_be_blocked: i64,
    /// By network, busiest first.
    pub sources: Vec<Source>,
}

/// Which past calls a list would have refused, those included that the present list refused. Changes nothing.
///
/// # Errors
/// 404, 422 for a list that can't be read or days out of bounds, 503 when the look back takes too long.
pub async fn preview(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: KeyId,
    entries: Option<Vec<String>>,
    days: Option<i64>,
) -> Result<Preview, AppError> {
    let days = preview_days(days)?;
    // How wide a network may be is asked when the list is set; here everything can be tried.
    let list = entries.map(|entries| Allowlist::parse(&entries, AllowAny::Yes)).transpose();
    let list = list.map_err(|error| allowlist_errors("allowed_cidrs", &error))?;
    app.recorder.settle().await;
    let mut conn = app.conn().await?;
    let found = keys::find(&mut conn, Some(access.organization.id), id).await?;
    found.ok_or(AppError::NotFound("key"))?;
    let since = app.env.now() - Duration::days(days);
    let rows = sources_of_key(&mut conn, access.organization.id, id, since, Calls::All).await?;
    drop(conn);
    note(app, caller, access, id).await?;
    Ok(judge(&rows, list.as_ref()))
}

/// The days that a preview looks back.
pub(super) fn preview_days(asked: Option<i64>) -> Result<i64, AppError> {
    let days = asked.unwrap_or(PREVIEW_DAYS);
    if (1..=PREVIEW_MOST).contains(&days) {
        Ok(days)
    } else {
        Err(AppError::field("days", "out_of_bounds", "1 to 30 days"))
    }
}

/// What a key could do without, from its accepted calls of 30 days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestions {
    /// Scopes that no accepted call needed.
    pub unused_scopes: Vec<String>,
    /// A list that the accepted calls would have passed, at most 50 entries.
    pub allowlist: Vec<Cidr>,
    /// Days that were looked at.
    pub days: i64,
    /// Accepted calls among them.
    pub calls: i64,
}

/// Suggests; nothing is applied by itself.
///
/// # Errors
/// 404, 503 when the look back takes too long.
pub async fn suggest(app: &App, caller: &Caller, access: &Access, id: KeyId) -> Result<Suggestions, AppError> {
    app.recorder.settle().await;
    let mut conn = app.conn().await?;
    let found = keys::find(&mut conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
    let since = app.env.now() - Duration::days(SUGGEST_DAYS);
    let rows = sources_of_key(&mut conn, access.organization.id, id, since, Calls::Accepted).await?;
    let catalog = app.catalog.load_full();
    let may_judge = catalog.names(found.key.scopes).contains(&"credentials:verify");
    let used = scopes_of_key(&mut conn, access.organization.id, id, since, may_judge).await?;
    drop(conn);
    note(app, caller, access, id).await?;
    let granted = catalog.names(found.key.scopes);
    let unused = granted.into_iter().filter(|name| !used.iter().any(|used| used == name));
    Ok(Suggestions {
        unused_scopes: unused.map(|name| name.to_string()).collect(),
        allowlist: joined(rows.iter().filter_map(|row| Some((row.ip?.ip(), row.calls)))),
        days: SUGGEST_DAYS,
        calls: rows.iter().map(|row| row.calls).sum(),
    })
}

/// What is told comes out of the trail, so it is a reading of it.
async fn note(app: &App, caller: &Caller, access: &Access, id: KeyId) -> Result<(), AppError> {
    let filter = Filter { actor: Some(id.to_string()), ..Filter::default() };
    let organization = Some(access.organization.id);
    read::note(app, caller, Action::AuditRead, organization, &filter, |event| event.with("key_id", id.to_string()))
        .await
}

/// The network by which sources are grouped: a /24 or a /48.
pub(super) fn network_of(ip: IpAddr) -> Option<Cidr> {
    Cidr::enclosing(ip, if ip.is_ipv4() { 24 } else { 48 })
}

pub(super) fn judge(rows: &[SourceRow], list: Option<&Allowlist>) -> Preview {
    let mut sources: BTreeMap<Option<Cidr>, Source> = BTreeMap::new();
    for row in rows {
        let ip = row.ip.map(|network| network.ip());
        let network = ip.and_then(network_of);
        let source = sources.entry(network).or_insert(Source { network, country: None, calls: 0, blocked: 0 });
        source.calls += row.calls;
        if list.is_some_and(|list| !ip.is_some_and(|ip| list.contains(ip))) {
            source.blocked += row.calls;
        }
        source.country = source.country.take().or_else(|| row.country.clone());
    }
    let mut sources: Vec<Source> = sources.into_values().collect();
    sources.sort_by_key(|source| std::cmp::Reverse(source.calls));
    Preview {
        calls: sources.iter().map(|source| source.calls).sum(),
        would_be_blocked: sources.iter().map(|source| source.blocked).sum(),
        sources,
    }
}

/// Single addresses; four or more of one /24 (or /64) are joined to it. The busiest, when there are too many.
fn joined(addresses: impl Iterator<Item = (IpAddr, i64)>) -> Vec<Cidr> {
    let mut networks: BTreeMap<Cidr, Vec<(Cidr, i64)>> = BTreeMap::new();
    for (ip, calls) in addresses {
        let (whole, network) = if ip.is_ipv4() { (32, 24) } else { (128, 64) };
        if let (Some(single), Some(network)) = (Cidr::enclosing(ip, whole), Cidr::enclosing(ip, network)) {
            networks.entry(network).or_default().push((single, calls));
        }
    }
    let mut entries: Vec<(Cidr, i64)> = Vec::new();
    for (network, singles) in networks {
        if singles.len() >= JOINED {
            entries.push((network, singles.iter().map(|(_, calls)| calls).sum()));
        } else {
            entries.extend(singles);
        }
    }
    entries.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    entries.into_iter().take(SUGGESTED).map(|(cidr, _)| cidr).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined_of(addresses: &[&str]) -> Vec<String> {
        let list = joined(addresses.iter().map(|text| (text.parse().unwrap(), 1)));
        list.iter().map(ToString::to_string).collect()
    }

    /// spec: policy P58
    #[test]
    fn three_addresses_of_a_network_stay_single_and_four_are_joined() {
        let three = joined_of(&["198.51.100.1", "198.51.100.2", "198.51.100.3"]);
        let four = joined_of(&["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.200"]);
        assert_eq!((three.len(), four), (3, vec!["198.51.100.0/24".to_owned()]));
    }

    #[test]
    fn a_call_from_an_unknown_address_is_refused_by_every_list_and_by_none_is_not() {
        let rows = [SourceRow { ip: None, country: None, calls: 3 }];
        let list = Allowlist::parse(&["0.0.0.0/0", "::/0"], AllowAny::Yes).unwrap();
        let (held, free) = (judge(&rows, Some(&list)), judge(&rows, None));
        assert_eq!((held.would_be_blocked, free.would_be_blocked, held.sources[0].network), (3, 0, None));
    }

    #[test]
    fn addresses_of_version_6_are_joined_to_a_64() {
        let list = joined_of(&["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8:0:1::1"]);
        assert_eq!(list, ["2001:db8::/64", "2001:db8:0:1::1/128"]);
    }

    #[test]
    fn a_suggested_list_has_fifty_entries_at_most() {
        let many: Vec<String> = (0..120).map(|n| format!("198.51.{n}.1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(joined_of(&many).len(), 50);
    }
}

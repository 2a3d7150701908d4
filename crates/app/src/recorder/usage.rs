//! When and from where keys and grants were used last, as the trail tells it.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, Utc};
use statuspulse_audit::Entry;
use statuspulse_policy::{GrantId, KeyId};
use statuspulse_store::{
    StoreError,
    keys::{Usage, write_usage},
    oauth::grants::{self, GrantUsage},
};

use super::{observe::woken, watch::Happenings};
use crate::app::App;

/// Addresses that are remembered.
const ADDRESSES: usize = 5;

#[derive(Default)]
pub(super) struct UsageBook {
    keys: HashMap<KeyId, Usage>,
    grants: HashMap<GrantId, GrantUsage>,
}

impl UsageBook {
    /// Only accepted calls count as use.
    pub(super) fn note(&mut self, entry: &Entry) {
        if entry.action != "api.call" || entry.outcome != "allowed" {
            return;
        }
        let Some(id) = &entry.actor.id else { return };
        match (entry.actor.kind.as_str(), id.parse().ok(), id.parse().ok()) {
            ("api_key", Some(id), _) => self.add(id, entry.occurred_at, entry.ip),
            ("access_token", _, Some(id)) => self.add_grant(id, entry.occurred_at, entry.ip),
            _ => {}
        }
    }

    pub(super) fn add(&mut self, id: KeyId, at: DateTime<Utc>, ip: Option<IpAddr>) {
        let entry = self.keys.entry(id).or_insert_with(|| Usage { key: id, at, addresses: Vec::new() });
        entry.at = entry.at.max(at);
        note_address(&mut entry.addresses, ip);
    }

    fn add_grant(&mut self, id: GrantId, at: DateTime<Utc>, ip: Option<IpAddr>) {
        let entry = self.grants.entry(id).or_insert_with(|| GrantUsage { grant: id, at, addresses: Vec::new() });
        entry.at = entry.at.max(at);
        note_address(&mut entry.addresses, ip);
    }

    pub(super) async fn write(&mut self, app: &App, happenings: &mut Happenings) {
        if self.keys.is_empty() && self.grants.is_empty() {
            return;
        }
        let usage: Vec<Usage> = self.keys.values().cloned().collect();
        let of_grants: Vec<GrantUsage> = self.grants.values().cloned().collect();
        let written = async {
            let mut conn = app.pool.get().await?;
            let before = write_usage(&mut conn, &usage).await?;
            self.keys.clear();
            for used in before {
                if let Some(happening) = woken(used.key, used.organization, used.before, used.at) {
                    happenings.add(happening);
                }
            }
            grants::write_usage(&mut conn, &of_grants).await?;
            Ok::<_, StoreError>(())
        };
        match written.await {
            Ok(()) => self.grants.clear(),
            // The times stay in the book and go with the next round.
            Err(error) => tracing::warn!(%error, keys = usage.len(), "the last use of keys could not be written"),
        }
    }
}

/// The newest first, each once.
fn note_address(addresses: &mut Vec<IpAddr>, ip: Option<IpAddr>) {
    let Some(ip) = ip else { return };
    addresses.retain(|known| *known != ip);
    addresses.insert(0, ip);
    addresses.truncate(ADDRESSES);
}

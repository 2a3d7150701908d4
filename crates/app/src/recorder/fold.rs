//! Floods of unknown tokens become one event a second (audit §2): a stranger must not decide how much is written.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use statuspulse_audit::{Action, Event, record::instant};
use statuspulse_policy::Cidr;

/// Calls of one second, network and reason that have events of their own.
const SINGLE: u64 = 20;
/// User agents that a fold names.
const USER_AGENTS: usize = 5;
/// Networks and reasons that are watched at once. Beyond, every call has its own event: nothing is lost, it only costs more.
const WATCHED: usize = 65_536;

/// What a flood is told by: the network it comes from, and why it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flood {
    network: Option<Cidr>,
    reason: &'static str,
}

impl Flood {
    /// Calls from the /32 or /64 of an address, refused for one reason.
    #[must_use]
    pub fn new(ip: Option<IpAddr>, reason: &'static str) -> Self {
        let network = ip.and_then(|ip| Cidr::enclosing(ip, if ip.is_ipv4() { 32 } else { 64 }));
        Self { network, reason }
    }
}

struct Second {
    /// Seconds of the monotonic clock.
    at: u64,
    calls: u64,
    folded: Option<Folded>,
}

struct Folded {
    /// The first one: the fold has its circumstances.
    event: Event,
    count: u64,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    user_agents: Vec<String>,
}

/// Counts of the seconds that are not over yet. The lock is held for a few instructions, and only for calls that named nobody.
#[derive(Default)]
pub(super) struct Folds(Mutex<HashMap<Flood, Second>>);

impl Folds {
    /// Counts a call; answers whether it is folded, so that it needs no event of its own.
    pub(super) fn takes(&self, flood: Flood, event: &Event, now: Duration) -> bool {
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() >= WATCHED && !seconds.contains_key(&flood) {
            return false;
        }
        let second = seconds.entry(flood).or_insert(Second { at: now.as_secs(), calls: 0, folded: None });
        // A fold that waits to be written takes what comes meanwhile: the tailer is a little late, not the call.
        if second.at != now.as_secs() && second.folded.is_none() {
            *second = Second { at: now.as_secs(), calls: 0, folded: None };
        }
        second.calls += 1;
        if second.calls <= SINGLE {
            return false;
        }
        let at = event.occurred_at;
        let folded = second.folded.get_or_insert_with(|| Folded {
            event: event.clone(),
            count: 0,
            first: at,
            last: at,
            user_agents: Vec::new(),
        });
        folded.count += 1;
        folded.last = folded.last.max(at);
        if let Some(text) = &event.origin.user_agent
            && folded.user_agents.len() < USER_AGENTS
            && !folded.user_agents.contains(text)
        {
            folded.user_agents.push(text.clone());
        }
        true
    }

    /// Takes out the folds of seconds that are over, as events; all of them when `all` is set.
    pub(super) fn take(&self, now: Duration, all: bool) -> Vec<Event> {
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        seconds.retain(|flood, second| {
            if !all && second.at == now.as_secs() {
                return true;
            }
            events.extend(second.folded.take().map(|folded| folded.into_event(flood)));
            false
        });
        events
    }
}

impl Folded {
    fn into_event(self, flood: &Flood) -> Event {
        let mut event = self.event;
        event.action = Action::AuditFold;
        // It stands for many: what belongs to a single call would be wrong of the others.
        event.origin.request_id = None;
        event.origin.fingerprint = None;
        event.detail.remove("latency_us");
        event.origin.user_agent = self.user_agents.first().cloned();
        event
            .with("count", self.count)
            .with("from", instant(self.first))
            .with("to", instant(self.last))
            .with("reason", flood.reason)
            .with("user_agents", Value::Array(self.user_agents.iter().map(|text| json!(text)).collect()))
    }
}

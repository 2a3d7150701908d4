//! How often each credential calls (audit §7), and the limit of its rate (policy §6). Each has a lock of its own, held for
//! the time of an addition; what is summed over instances, and what opens an alert, is looked at once a second beside the
//! calls (`watch`).

mod limit;
mod watch;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use papaya::HashMap as Map;
use statuspulse_audit::{AlertRule, Window, anomaly::window::SECONDS};
use statuspulse_counters::{Shared, SharedError};
use statuspulse_policy::OrganizationId;
use statuspulse_store::StoreError;
use uuid::Uuid;

use crate::env::Env;

pub use limit::{Rate, admit, remaining};
pub use watch::{run, tick};

/// Calls in one second, or in the window, from which on a credential's counts are common to all instances.
const BUSY_SECOND: u32 = 50;
const BUSY_WINDOW: u64 = 1_000;
/// Routes, networks and events that are remembered of a busy credential, for the evidence.
const REMEMBERED: usize = 20;
/// The time of day may be so far ahead of what is counted by.
const AHEAD_US: i64 = 2_000_000;
/// Seconds without a call after which a credential's counters are forgotten.
const IDLE: u64 = 2 * SECONDS as u64;

/// The counters of this instance.
#[derive(Debug)]
pub struct Counters {
    counted: Map<Uuid, Arc<Counter>>,
    /// Those that are looked at each second.
    busy: Map<Uuid, Arc<Counter>>,
    thresholds: ArcSwap<Thresholds>,
    /// Instances that are alive, this one included.
    instances: AtomicU64,
    /// What several instances count together; through the database where there is none.
    shared: Option<Shared>,
    impaired: AtomicBool,
    /// Microseconds from the monotonic time to the time of day: counted is by a clock that never goes back, and whose
    /// seconds are those of the other instances.
    offset_us: AtomicI64,
    /// Second of the last look that has failed; of the start before the first.
    failed_at: AtomicU64,
    /// Of the look that is under way: two would count news twice.
    looking: tokio::sync::Mutex<watch::Look>,
}

/// The common counters can't be reached.
#[derive(Debug, thiserror::Error)]
enum CountersError {
    #[error(transparent)]
    Database(#[from] StoreError),
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// Whose calls are counted.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// `key` or `grant`.
    pub kind: &'static str,
    /// Id of the key or grant.
    pub id: Uuid,
    /// Whose it is.
    pub organization: OrganizationId,
}

/// Where a call was made, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Pattern of the route.
    pub route: Option<&'a str>,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// Id of its event in the trail, where it is known already.
    pub event: Option<Uuid>,
}

/// From the monotonic time to the time of day.
fn offset_us(env: &Env) -> i64 {
    env.now().timestamp_micros() - i64::try_from(env.monotonic().as_micros()).unwrap_or(i64::MAX)
}

#[derive(Debug)]
struct Counter {
    subject: Subject,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    calls: Window,
    /// Of a key with a limit: what was let through.
    accepted: Option<Box<Window>>,
    /// The most that was in the window since the last look.
    peak: u64,
    busy: bool,
    /// Taken off the list: whoever has found it before counts anew.
    forgotten: bool,
    /// Seconds up to this one are known to the other instances; those before the window are none of theirs.
    published: u64,
    /// Of a busy one alone: most are not.
    seen: Option<Box<Seen>>,
}

/// What the evidence of an alert will name.
#[derive(Debug, Default)]
struct Seen {
    routes: Vec<String>,
    sources: Vec<String>,
    events: Vec<Uuid>,
    /// Most calls come from where the last one came from.
    last_ip: Option<IpAddr>,
}

/// Thresholds of `call_rate` that are not the rule's own.
#[derive(Debug, Default)]
struct Thresholds {
    organizations: HashMap<Uuid, u64>,
    keys: HashMap<Uuid, u64>,
}

impl Thresholds {
    fn of(&self, subject: &Subject) -> u64 {
        let own = || self.keys.get(&subject.id).or_else(|| self.organizations.get(&subject.organization.as_uuid()));
        if self.keys.is_empty() && self.organizations.is_empty() {
            return AlertRule::CallRate.rule().threshold;
        }
        own().copied().unwrap_or(AlertRule::CallRate.rule().threshold)
    }
}

impl Counts {
    /// A peak that was looked at is over; one that was reached since is not.
    fn forget_peak(&mut self, seen: u64) {
        if self.peak <= seen {
            self.peak = 0;
        }
    }
}

impl Counter {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    /// None counted yet.
    #[must_use]
    pub fn new(env: &Env, shared: Option<Shared>) -> Self {
        Self {
            counted: Map::new(),
            busy: Map::new(),
            thresholds: ArcSwap::default(),
            instances: AtomicU64::new(1),
            shared,
            impaired: AtomicBool::new(false),
            offset_us: AtomicI64::new(offset_us(env)),
            failed_at: AtomicU64::new(u64::try_from(env.now().timestamp()).unwrap_or_default()),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// Counts a call that named a credential, whatever becomes of it.
    pub fn count(&self, subject: &Subject, place: &Place<'_>, env: &Env) {
        let second = self.second(env);
        self.with(subject, |counter, counts| {
            let sum = counts.calls.add(second, 1);
            // Of one that nobody looks at, an earlier peak is over.
            counts.peak = if counts.busy { counts.peak.max(sum) } else { sum };
            if !counts.busy && (sum > self.share(subject) || counts.calls.at(second) > BUSY_SECOND) {
                counts.busy = true;
                self.busy.pin().insert(subject.id, Arc::clone(counter));
            }
            if counts.busy {
                counts.seen.get_or_insert_default().note(place);
            }
        });
    }

    /// From how many calls in the window on the sum over all instances might be too high.
    fn share(&self, subject: &Subject) -> u64 {
        let threshold = self.thresholds.load().of(subject);
        BUSY_WINDOW.min(threshold / self.instances.load(Ordering::Relaxed).max(1))
    }

    /// Works on the counts of a credential, under its lock.
    fn with<T>(&self, subject: &Subject, work: impl FnOnce(&Arc<Counter>, &mut Counts) -> T) -> T {
        let counted = self.counted.pin();
        loop {
            let fresh = || Arc::new(Counter { subject: *subject, counts: Mutex::default() });
            let counter = counted.get_or_insert_with(subject.id, fresh);
            let mut counts = counter.counts();
            if !counts.forgotten {
                return work(counter, &mut counts);
            }
            drop(counts);
            // What is counted there now would be lost.
            let _ = counted.remove_if(&subject.id, |_, held| Arc::ptr_eq(held, counter));
        }
    }

    /// Whole seconds since 1970 by a clock that never goes back. After a machine has slept it goes forward.
    fn second(&self, env: &Env) -> u64 {
        let held = self.offset_us.load(Ordering::Relaxed);
        let present = offset_us(env);
        let offset = if present - held > AHEAD_US {
            self.offset_us.fetch_max(present, Ordering::Relaxed).max(present)
        } else {
            held
        };
        let micros = i64::try_from(env.monotonic().as_micros()).unwrap_or(i64::MAX);
        u64::try_from(micros.saturating_add(offset) / 1_000_000).unwrap_or_default()
    }

    /// For how many seconds every look has gone well: what nobody could see for a while is not over.
    #[must_use]
    pub fn watched_seconds(&self, env: &Env) -> u64 {
        self.second(env).saturating_sub(self.failed_at.load(Ordering::Relaxed))
    }

    /// Whether the counters that are common to all instances can't be reached: this one counts alone.
    #[must_use]
    pub fn is_impaired(&self) -> bool {
        self.impaired.load(Ordering::Relaxed)
    }

    /// Counting goes on here alone until a look goes well again.
    fn impair(&self, error: &CountersError) {
        if !self.impaired.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the shared counters can't be reached: this instance counts alone");
        }
    }

    fn recover(&self) {
        if self.impaired.swap(false, Ordering::Relaxed) {
            tracing::info!("the shared counters answer again");
        }
    }

    /// Credentials that are counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counted.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// Forgets credentials that have not called for two minutes.
    fn forget(&self, second: u64) {
        let busy = self.busy.pin();
        self.counted.pin().retain(|id, counter| {
            let mut counts = counter.counts();
            let accepted = counts.accepted.as_ref().map_or(0, |accepted| accepted.newest());
            let last = counts.calls.newest().max(accepted);
            counts.forgotten = !busy.contains_key(id) && last + IDLE <= second;
            !counts.forgotten
        });
    }
}

impl Seen {
    fn note(&mut self, place: &Place<'_>) {
        if self.events.len() < REMEMBERED {
            self.events.extend(place.event);
        }
        if let Some(route) = place.route
            && self.routes.len() < REMEMBERED
            && !self.routes.iter().any(|known| known == route)
        {
            self.routes.push(route.to_owned());
        }
        if self.sources.len() < REMEMBERED
            && self.last_ip != place.ip
            && let Some(source) = place.ip.and_then(crate::verify::network_of)
            && !self.sources.contains(&source)
        {
            self.sources.push(source);
        }
        self.last_ip = place.ip;
    }
}

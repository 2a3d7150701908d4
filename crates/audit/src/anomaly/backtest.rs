//! Which alerts a rule would have opened (audit §7), from the events of the trail in the order of time. What the live
//! counters know and the trail doesn't is not guessed: such a rule is refused.

mod sign;

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use self::sign::{Sign, Signs};
use super::{
    evidence::Observed,
    incident::{CALM_BELOW, quiet},
    rules::{AlertRule, Counting, Severity},
    window::Window,
};
use crate::record::Entry;

/// How often subjects that have gone quiet are forgotten, in the trail's time.
const SWEEP_EVERY: Duration = Duration::minutes(1);
/// After that long without a call a window is empty, with room.
const IDLE: Duration = Duration::minutes(2);

/// Why a rule can't be tried on the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFromTrail {
    /// The trail doesn't hold what the rule looks at.
    #[error("`{}` can't be told from the audit trail: {why}", .rule.as_str())]
    Unwritten {
        /// The rule.
        rule: AlertRule,
        /// What is missing, for people.
        why: &'static str,
    },
    /// The first happening opens it, so there is nothing to try.
    #[error("`{}` has no threshold: its first happening opens an alert", .0.as_str())]
    NoThreshold(AlertRule),
}

/// An alert that would have been opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Would {
    /// `key`, `grant`, `network` or `trail`.
    pub subject_kind: &'static str,
    /// Its id.
    pub subject: String,
    /// Whose; none of networks and of the trail itself.
    pub organization: Option<Uuid>,
    /// The event that opened it.
    pub opened_at: DateTime<Utc>,
    /// The last event that belongs to it.
    pub last_seen_at: DateTime<Utc>,
    /// When it would have resolved itself; none when it is open at the end of what was read.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Happenings, or the most that was within the rule's window.
    pub count: i64,
    /// The highest count.
    pub peak: i64,
    /// At that count.
    pub severity: Severity,
    /// Patterns of routes, at most 20.
    pub routes: Vec<String>,
    /// Networks, at most 20.
    pub sources: Vec<String>,
    /// Ids of events, at most 20.
    pub events: Vec<Uuid>,
}

/// Whom an alert is about: there is one open alert for each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    organization: Option<Uuid>,
    kind: &'static str,
    id: String,
}

/// An alert that is not resolved.
#[derive(Debug)]
struct Open {
    at: DateTime<Utc>,
    /// Until when its cause goes on, as far as that is known.
    busy_at: DateTime<Utc>,
    observed: Observed,
}

/// What is known of a subject.
#[derive(Debug)]
struct State {
    counted: Counted,
    open: Option<Open>,
    last_at: DateTime<Utc>,
}

#[derive(Debug)]
enum Counted {
    /// What is within the window, and what was seen since it was half full: of a slow caller nothing is kept.
    Rate { window: Box<Window>, seen: Option<Observed> },
    /// Happenings within the window, fewer than open an alert.
    Happenings(VecDeque<Observed>),
}

/// A rule that is tried. Its memory grows with the subjects that are busy at the same time and with what it finds, not with
/// what it reads; of `new_country` with the keys that were used.
#[derive(Debug)]
pub struct Backtest {
    rule: AlertRule,
    threshold: u64,
    signs: Signs,
    subjects: HashMap<Subject, State>,
    found: Vec<Would>,
    swept_at: Option<DateTime<Utc>>,
}

impl Backtest {
    /// A rule, with a threshold in place of its own.
    ///
    /// # Errors
    /// [`NotFromTrail`].
    pub fn new(rule: AlertRule, threshold: Option<u64>) -> Result<Self, NotFromTrail> {
        let signs = Signs::of(rule).map_err(|why| NotFromTrail::Unwritten { rule, why })?;
        if threshold.is_some() && rule.rule().window_seconds == 0 {
            return Err(NotFromTrail::NoThreshold(rule));
        }
        let threshold = threshold.unwrap_or(rule.rule().threshold);
        Ok(Self { rule, threshold, signs, subjects: HashMap::new(), found: Vec::new(), swept_at: None })
    }

    /// The threshold that is tried.
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Takes in the next event, in the order of time.
    pub fn see(&mut self, entry: &Entry) {
        let (rule, now) = (self.rule, entry.occurred_at);
        self.sweep(now);
        let Some(Sign { subject, number }) = self.signs.read(entry) else { return };
        let state = self.subjects.entry(subject.clone()).or_insert_with(|| State::new(rule, now));
        if let Some((open, at)) = state.ended(rule, now) {
            self.found.push(would(rule, subject, open, Some(at)));
        }
        state.last_at = now;
        match &mut state.counted {
            Counted::Rate { window, seen } => {
                let total = window.add(second_of(now), u32::try_from(number).unwrap_or(u32::MAX));
                let one = observed(entry, total, self.threshold);
                if total > self.threshold {
                    match &mut state.open {
                        Some(open) => open.observed.merge(rule, one),
                        None => {
                            let observed = joined(rule, seen.take().into_iter().chain([one]));
                            state.open = observed.map(|observed| Open { at: now, busy_at: now, observed });
                        }
                    }
                } else if state.open.is_some() || total <= self.threshold / 2 {
                    *seen = None;
                } else {
                    *seen = joined(rule, seen.take().into_iter().chain([one]));
                }
                let calm = calm_below(self.threshold);
                if let Some(open) = state.open.as_mut().filter(|_| total >= calm) {
                    // If nothing more comes, it goes on until the last second in which so many are in the window.
                    open.busy_at = moment(window.room_from(calm).saturating_sub(1)).unwrap_or(now);
                }
            }
            Counted::Happenings(recent) => {
                let one = observed(entry, number, self.threshold);
                if let Some(open) = &mut state.open {
                    open.observed.merge(rule, one);
                    open.busy_at = now;
                    return;
                }
                while recent.front().is_some_and(|oldest| now - oldest.first_at > window_of(rule)) {
                    recent.pop_front();
                }
                recent.push_back(one);
                if recent.len() as u64 >= self.threshold {
                    let observed = joined(rule, std::mem::take(recent));
                    state.open = observed.map(|observed| Open { at: now, busy_at: now, observed });
                }
            }
        }
    }

    /// Ends with what was read up to a moment; the oldest alert first.
    #[must_use]
    pub fn finish(mut self, end: DateTime<Utc>) -> Vec<Would> {
        for (subject, mut state) in std::mem::take(&mut self.subjects) {
            let ended = state.ended(self.rule, end);
            let ended = ended.map(|(open, at)| (open, Some(at))).or_else(|| Some((state.open?, None)));
            self.found.extend(ended.map(|(open, at)| would(self.rule, subject, open, at)));
        }
        let order = |would: &Would| (would.opened_at, would.organization, would.subject.clone());
        self.found.sort_by_cached_key(order);
        self.found
    }

    /// Resolves what is over, and forgets who is quiet.
    fn sweep(&mut self, now: DateTime<Utc>) {
        if self.swept_at.is_some_and(|at| now - at < SWEEP_EVERY) {
            return;
        }
        self.swept_at = Some(now);
        let (rule, found) = (self.rule, &mut self.found);
        let idle = IDLE.max(window_of(rule));
        self.subjects.retain(|subject, state| {
            if let Some((open, at)) = state.ended(rule, now) {
                found.push(would(rule, subject.clone(), open, Some(at)));
            }
            state.open.is_some() || now - state.last_at <= idle
        });
    }
}

impl State {
    fn new(rule: AlertRule, last_at: DateTime<Utc>) -> Self {
        let counted = match rule.rule().counting {
            Counting::Peak => Counted::Rate { window: Box::default(), seen: None },
            Counting::Happenings => Counted::Happenings(VecDeque::new()),
        };
        Self { counted, open: None, last_at }
    }

    /// Its alert, if that has resolved itself by now, and when it did.
    fn ended(&mut self, rule: AlertRule, now: DateTime<Utc>) -> Option<(Open, DateTime<Utc>)> {
        let open = self.open.take_if(|open| now - open.busy_at >= quiet(rule))?;
        let at = open.busy_at + quiet(rule);
        Some((open, at))
    }
}

fn joined(rule: AlertRule, all: impl IntoIterator<Item = Observed>) -> Option<Observed> {
    all.into_iter().reduce(|mut all, one| {
        all.merge(rule, one);
        all
    })
}

fn window_of(rule: AlertRule) -> Duration {
    Duration::seconds(rule.rule().window_seconds.into())
}

/// Below this a rate counts as over, as live: four fifths of the threshold.
fn calm_below(threshold: u64) -> u64 {
    // Of a threshold of one, nothing at all is calm.
    (threshold.saturating_mul(CALM_BELOW) / AlertRule::CallRate.rule().threshold).max(1)
}

fn observed(entry: &Entry, count: u64, threshold: u64) -> Observed {
    Observed {
        count: i64::try_from(count).unwrap_or(i64::MAX),
        threshold: Some(threshold),
        routes: entry.route.iter().cloned().collect(),
        sources: entry.ip.and_then(sign::network_of).into_iter().collect(),
        events: vec![entry.id],
        ..Observed::at(entry.occurred_at)
    }
}

fn would(rule: AlertRule, subject: Subject, open: Open, resolved_at: Option<DateTime<Utc>>) -> Would {
    let Observed { count, last_at, routes, sources, events, .. } = open.observed;
    Would {
        subject_kind: subject.kind,
        subject: subject.id,
        organization: subject.organization,
        opened_at: open.at,
        last_seen_at: last_at,
        resolved_at,
        count,
        // Happenings only add, and a rate is counted by its peak.
        peak: count,
        severity: rule.severity(count),
        routes,
        sources,
        events,
    }
}

fn second_of(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or_default()
}

fn moment(second: u64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(second).ok()?, 0)
}

#[cfg(test)]
mod tests;

//! The look at the counters, once a second: what this instance has counted of busy credentials is told to the others, what
//! they have counted is added, and a sum above the threshold opens an alert (audit §7).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::Duration as Span;
use statuspulse_audit::{AlertRule, anomaly::incident::CALM_BELOW};
use statuspulse_store::{
    StoreError,
    alerts::Happening,
    counts::{self, Count},
};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{BUSY_SECOND, Counter, Counters, Seen, Thresholds};
use crate::{app::App, recorder};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// An instance that has been silent for longer doesn't count.
const ALIVE: Span = Span::seconds(15);
/// Looks between two clean-ups.
const CLEAN_EVERY: u32 = 30;
const RULE: AlertRule = AlertRule::CallRate;

/// What one look leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Look {
    number: u32,
    /// Credentials with an alert that is not resolved.
    watched: HashSet<Uuid>,
    /// Credentials of which other instances have told something within the last minute.
    lately: HashSet<Uuid>,
}

/// What this instance has counted of one credential.
struct Counted {
    counter: Arc<Counter>,
    /// The most that was in the window since the last look, and what is in it now.
    peak: u64,
    sum: u64,
    newest: u64,
    is_calm: bool,
}

/// The task that looks.
pub async fn run(app: Arc<App>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        tick(&app).await;
    }
}

/// One look.
pub async fn tick(app: &App) {
    let counters = &app.counters;
    let mut look = counters.looking.lock().await;
    let second = counters.second(&app.env);
    let learned = learn(app, &mut look, second).await;
    for id in look.watched.union(&look.lately) {
        counters.attend_to(*id);
    }
    let (counted, news) = gather(counters, second);
    let shared = match learned {
        Ok(()) => share(app, second, &counted, &news).await,
        Err(error) => Err(error),
    };
    let others = match shared {
        Ok(others) => {
            for one in &counted {
                one.counter.counts().published = one.newest;
            }
            if counters.impaired.swap(false, Ordering::Relaxed) {
                tracing::info!("the shared counters answer again");
            }
            others
        }
        Err(error) => {
            impair(app, &error);
            HashMap::new()
        }
    };
    let mut going_on = Vec::new();
    for one in counted {
        let subject = one.counter.subject;
        let total = one.peak.max(one.sum) + others.get(&subject.id).copied().unwrap_or_default();
        let threshold = counters.thresholds.load().of(&subject);
        if total > threshold {
            app.recorder.alert(happening(app, &one.counter, total, threshold));
        } else if look.watched.contains(&subject.id) && total >= calm_below(threshold) {
            going_on.push(subject.id);
        }
        if one.is_calm && !look.watched.contains(&subject.id) && !look.lately.contains(&subject.id) {
            counters.leave(&one.counter);
        }
    }
    if let Err(error) = note(app, &going_on).await {
        tracing::warn!(%error, "alerts whose cause goes on could not be marked");
    }
    look.number = look.number.wrapping_add(1);
    if look.number.is_multiple_of(CLEAN_EVERY) {
        counters.forget(second);
    }
}

/// Below this a rate counts as over: four fifths of the threshold, as 4,000 are of 5,000.
fn calm_below(threshold: u64) -> u64 {
    threshold.saturating_mul(CALM_BELOW) / RULE.rule().threshold
}

/// What the database knows: thresholds, open alerts, instances, and of whom the others have told.
async fn learn(app: &App, look: &mut Look, second: u64) -> Result<(), StoreError> {
    let mut conn = app.pool.get().await?;
    let since = app.env.now() - ALIVE;
    app.counters.instances.store(counts::live(&mut conn, since).await?.max(1), Ordering::Relaxed);
    let mut thresholds = Thresholds::default();
    for (organization, key, threshold) in counts::thresholds(&mut conn, RULE.as_str()).await? {
        match key {
            Some(key) => thresholds.keys.insert(key, threshold),
            None => thresholds.organizations.insert(organization, threshold),
        };
    }
    app.counters.thresholds.store(thresholds.into());
    look.watched = counts::watched(&mut conn, RULE.as_str()).await?.into_iter().collect();
    look.lately = counts::lately(&mut conn, app.recorder.stream(), signed(second)).await?.into_iter().collect();
    if look.number.is_multiple_of(CLEAN_EVERY) {
        counts::forget(&mut conn, signed(second)).await?;
    }
    Ok(())
}

/// What this instance has counted of busy credentials, and what of it the others don't know.
fn gather(counters: &Counters, second: u64) -> (Vec<Counted>, Vec<Count>) {
    let (mut counted, mut news) = (Vec::new(), Vec::new());
    for counter in counters.busy.pin().values() {
        let share = counters.share(&counter.subject);
        let mut counts = counter.counts();
        let sum = counts.calls.sum(second);
        let peak = std::mem::take(&mut counts.peak);
        // The last second that was told may have grown, by threads that were late as well.
        let from = counts.published.saturating_sub(1);
        let fresh = counts.calls.seconds().filter(|(second, _)| *second >= from);
        news.extend(fresh.map(|(second, calls)| Count {
            subject: counter.subject.id,
            second: signed(second),
            calls: i64::from(calls),
        }));
        let is_calm = sum <= share && counts.calls.at(second.saturating_sub(1)) <= BUSY_SECOND;
        let newest = counts.calls.newest();
        counted.push(Counted { counter: Arc::clone(counter), peak, sum, newest, is_calm });
    }
    (counted, news)
}

/// Tells the others, and asks what they have counted.
async fn share(app: &App, second: u64, counted: &[Counted], news: &[Count]) -> Result<HashMap<Uuid, u64>, StoreError> {
    if counted.is_empty() {
        return Ok(HashMap::new());
    }
    let mut conn = app.pool.get().await?;
    let stream = app.recorder.stream();
    counts::publish(&mut conn, stream, news).await?;
    let subjects: Vec<Uuid> = counted.iter().map(|one| one.counter.subject.id).collect();
    Ok(counts::others(&mut conn, stream, signed(second), &subjects).await?.into_iter().collect())
}

/// Counting goes on here alone; that the watch is impaired is itself an alert.
fn impair(app: &App, error: &StoreError) {
    if app.counters.impaired.swap(true, Ordering::Relaxed) {
        return;
    }
    tracing::error!(%error, "the shared counters can't be reached: this instance counts alone");
    app.recorder.alert(recorder::happening(app, AlertRule::WatchImpaired, 1, "counters_unavailable"));
}

fn happening(app: &App, counter: &Counter, total: u64, threshold: u64) -> Happening {
    let subject = counter.subject;
    let mut happening = Happening::new(RULE, Some(subject.organization), (subject.kind, subject.id), app.env.now());
    let Seen { routes, sources, events, .. } = std::mem::take(&mut counter.counts().seen);
    let observed = &mut happening.observed;
    observed.count = i64::try_from(total).unwrap_or(i64::MAX);
    observed.threshold = Some(threshold);
    (observed.routes, observed.sources, observed.events) = (routes, sources, events);
    happening
}

async fn note(app: &App, going_on: &[Uuid]) -> Result<(), StoreError> {
    if going_on.is_empty() {
        return Ok(());
    }
    counts::goes_on(&mut *app.pool.get().await?, RULE.as_str(), going_on, app.env.now()).await
}

fn signed(second: u64) -> i64 {
    i64::try_from(second).unwrap_or(i64::MAX)
}

impl Counters {
    /// Looks at a credential from now on, if it has called here at all.
    fn attend_to(&self, id: Uuid) {
        let counted = self.counted.pin();
        let Some(counter) = counted.get(&id) else { return };
        let was = std::mem::replace(&mut counter.counts().busy, true);
        if !was {
            self.busy.pin().insert(id, Arc::clone(counter));
        }
    }

    /// It is looked at no more; when it gets busy again, the others are told of its whole window.
    fn leave(&self, counter: &Counter) {
        let mut counts = counter.counts();
        self.busy.pin().remove(&counter.subject.id);
        counts.busy = false;
        counts.published = 0;
        counts.seen = Seen::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_at_four_fifths_of_the_threshold() {
        assert_eq!([5_000, 100, u64::MAX].map(calm_below), [4_000, 80, u64::MAX / 5_000]);
    }
}

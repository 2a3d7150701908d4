//! The look at the counters, once a second: what this instance has counted of busy credentials is told to the others, what
//! they have counted is added, and a sum above the threshold opens an alert (audit §7).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::Duration as Span;
use statuspulse_audit::{AlertRule, anomaly::incident::CALM_BELOW};
use statuspulse_counters::Count;
use statuspulse_store::{
    StoreError,
    alerts::{Happening, life, settings},
    counts,
};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{BUSY_SECOND, Counter, Counters, CountersError, Seen, Thresholds};
use crate::{app::App, recorder};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// An instance that has been silent for longer doesn't count.
const ALIVE: Span = Span::seconds(15);
/// Seconds after which all instances have told what they have counted: each looks once a second.
const TOLD_AFTER: u64 = 2;
/// Looks that fail between two alerts.
const TELL_EVERY: u32 = 60;
/// Looks between two clean-ups.
const CLEAN_EVERY: u32 = 30;
const RULE: AlertRule = AlertRule::CallRate;

/// What one look leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Look {
    number: u32,
    /// Looks that have failed, one behind the other.
    failed: u32,
    /// Credentials with an alert that is not resolved.
    watched: HashSet<Uuid>,
}

/// What this instance has counted of one credential.
struct Counted {
    counter: Arc<Counter>,
    /// The most that was in the window since the last look, what is in it now, and what was in it when the others had
    /// told all of it.
    peak: u64,
    sum: u64,
    told: u64,
    newest: u64,
    /// What the others don't know of it.
    news: Vec<(u64, u32)>,
    /// Whether it is busy here alone.
    is_busy: bool,
    /// What all instances together may have before one of them must know of the others.
    share: u64,
    /// What the others have counted by now, and by then.
    others: u64,
    others_told: u64,
}

impl Counted {
    /// The most that is known to have been in a window.
    fn total(&self) -> u64 {
        (self.peak.max(self.sum) + self.others).max(self.told + self.others_told)
    }

    /// What is in the window that ends now, as far as it is known.
    fn present(&self) -> u64 {
        self.sum + self.others
    }

    /// Of a sum above the threshold one instance has more than its share, and is busy; whoever has less adds to that.
    fn matters_to_others(&self) -> bool {
        self.is_busy || self.total() > self.share
    }
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
    look.watched.iter().for_each(|id| counters.attend_to(*id));
    let exchanged = match (learned, &counters.shared) {
        // Counting in common goes on without the database where it doesn't go through it.
        (Err(error), None) => Err(error.into()),
        _ => exchange(app, &look.watched, second).await,
    };
    let counted = match exchanged {
        Ok(counted) => {
            counters.recover();
            look.failed = 0;
            counted
        }
        Err(error) => {
            counters.impair(&error);
            counters.failed_at.store(second, Ordering::Relaxed);
            // That the watch is impaired is itself an alert, and goes on.
            if look.failed.is_multiple_of(TELL_EVERY) {
                app.recorder.alert(recorder::happening(app, AlertRule::WatchImpaired, 1, "counters_unavailable"));
            }
            look.failed = look.failed.wrapping_add(1);
            let counted = gather(counters, second);
            // Who comes back empty is to be told all of it again.
            counted.iter().for_each(|one| one.counter.counts().published = 0);
            counted
        }
    };
    let mut going_on = Vec::new();
    for one in counted {
        let (subject, total) = (one.counter.subject, one.total());
        one.counter.counts().forget_peak(one.peak);
        let threshold = counters.thresholds.load().of(&subject);
        let is_watched = look.watched.contains(&subject.id);
        if total > threshold {
            app.recorder.alert(happening(app, &one.counter, total, threshold));
        } else if is_watched && one.present() >= calm_below(threshold) {
            going_on.push(subject.id);
        }
        if !is_watched && !one.matters_to_others() {
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

/// Asks what the others have counted, and tells them what they must know.
async fn exchange(app: &App, watched: &HashSet<Uuid>, second: u64) -> Result<Vec<Counted>, CountersError> {
    let (counters, stream) = (&app.counters, app.recorder.stream());
    let lately = match &counters.shared {
        Some(shared) => shared.lately(second).await?,
        None => counts::lately(&mut *app.pool.get().await?, stream, signed(second)).await?,
    };
    lately.iter().for_each(|id| counters.attend_to(*id));
    let mut counted = gather(counters, second);
    if counted.is_empty() {
        return Ok(counted);
    }
    let subjects: Vec<Uuid> = counted.iter().map(|one| one.counter.subject.id).collect();
    let others = match &counters.shared {
        Some(shared) => shared.others(stream, second, &subjects).await?,
        None => counts::others(&mut *app.pool.get().await?, stream, signed(second), &subjects).await?,
    };
    // What was counted up to there everybody has told by now.
    let then = second.saturating_sub(TOLD_AFTER);
    let told = match &counters.shared {
        Some(shared) => shared.others(stream, then, &subjects).await?,
        None => counts::others(&mut *app.pool.get().await?, stream, signed(then), &subjects).await?,
    };
    let (others, told): (HashMap<Uuid, u64>, HashMap<Uuid, u64>) =
        (others.into_iter().collect(), told.into_iter().collect());
    for one in &mut counted {
        one.others = others.get(&one.counter.subject.id).copied().unwrap_or_default();
        one.others_told = told.get(&one.counter.subject.id).copied().unwrap_or_default();
    }
    let mut news = Vec::new();
    let mut told = Vec::new();
    for one in &mut counted {
        let key = one.counter.subject.id;
        if one.matters_to_others() || watched.contains(&key) {
            let fresh = std::mem::take(&mut one.news).into_iter();
            news.extend(fresh.map(|(second, calls)| Count { key, second, calls: u64::from(calls) }));
            told.push((Arc::clone(&one.counter), one.newest));
        }
    }
    match &counters.shared {
        Some(shared) => shared.publish(stream, second, &news).await?,
        None => {
            let news: Vec<counts::Count> = news.iter().map(of_database).collect();
            counts::publish(&mut *app.pool.get().await?, stream, &news).await?;
        }
    }
    for (counter, newest) in told {
        counter.counts().published = newest;
    }
    Ok(counted)
}

fn of_database(count: &Count) -> counts::Count {
    counts::Count {
        subject: count.key,
        second: signed(count.second),
        calls: i64::try_from(count.calls).unwrap_or(i64::MAX),
    }
}

/// Below this a rate counts as over: four fifths of the threshold, as 4,000 are of 5,000.
fn calm_below(threshold: u64) -> u64 {
    (threshold.saturating_mul(CALM_BELOW) / RULE.rule().threshold).max(1)
}

/// What the database knows: thresholds, open alerts, and how many instances there are.
async fn learn(app: &App, look: &mut Look, second: u64) -> Result<(), StoreError> {
    let mut conn = app.pool.get().await?;
    let since = app.env.now() - ALIVE;
    app.counters.instances.store(counts::live(&mut conn, since).await?.max(1), Ordering::Relaxed);
    let mut thresholds = Thresholds::default();
    for setting in settings::list(&mut conn, None).await?.into_iter().filter(|setting| setting.rule == RULE) {
        // A key's setting counts as a whole: without a threshold it is the rule's again.
        let threshold = setting.threshold.map_or(RULE.rule().threshold, i64::unsigned_abs);
        match setting.key {
            Some(key) => thresholds.keys.insert(key.as_uuid(), threshold),
            None => thresholds.organizations.insert(setting.organization.as_uuid(), threshold),
        };
    }
    app.counters.thresholds.store(thresholds.into());
    look.watched = life::unresolved(&mut conn, RULE).await?.into_iter().collect();
    if look.number.is_multiple_of(CLEAN_EVERY) {
        counts::forget(&mut conn, signed(second)).await?;
    }
    Ok(())
}

/// What this instance has counted of the credentials that are looked at.
fn gather(counters: &Counters, second: u64) -> Vec<Counted> {
    let counted = counters.busy.pin();
    let counted = counted.values().map(|counter| {
        let share = counters.share(&counter.subject);
        let mut counts = counter.counts();
        let sum = counts.calls.sum(second);
        // The last second that was told may have grown, by threads that were late as well.
        let from = counts.published.saturating_sub(1);
        Counted {
            counter: Arc::clone(counter),
            peak: counts.peak,
            sum,
            told: counts.calls.until(second.saturating_sub(TOLD_AFTER)),
            newest: counts.calls.newest(),
            news: counts.calls.seconds().filter(|(second, _)| *second >= from).collect(),
            is_busy: sum > share || counts.peak > share || counts.calls.at(second.saturating_sub(1)) > BUSY_SECOND,
            share,
            others: 0,
            others_told: 0,
        }
    });
    counted.collect()
}

fn happening(app: &App, counter: &Counter, total: u64, threshold: u64) -> Happening {
    let subject = counter.subject;
    let mut happening = Happening::new(RULE, Some(subject.organization), (subject.kind, subject.id), app.env.now());
    let Seen { routes, sources, events, .. } = counter.counts().seen.take().map(|seen| *seen).unwrap_or_default();
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
    life::go_on(&mut *app.pool.get().await?, RULE, going_on, app.env.now()).await
}

fn signed(second: u64) -> i64 {
    i64::try_from(second).unwrap_or(i64::MAX)
}

impl Counters {
    /// Looks at a credential from now on, if it has called here at all.
    fn attend_to(&self, id: Uuid) {
        let counted = self.counted.pin();
        let Some(counter) = counted.get(&id) else { return };
        let mut counts = counter.counts();
        let was = std::mem::replace(&mut counts.busy, true);
        if !was {
            counts.peak = 0;
            self.busy.pin().insert(id, Arc::clone(counter));
        }
    }

    /// It is looked at no more; when it gets busy again, the others are told of its whole window.
    fn leave(&self, counter: &Counter) {
        let mut counts = counter.counts();
        self.busy.pin().remove(&counter.subject.id);
        counts.busy = false;
        counts.published = 0;
        counts.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_at_four_fifths_of_the_threshold() {
        assert_eq!([5_000, 100, 1, u64::MAX].map(calm_below), [4_000, 80, 1, u64::MAX / 5_000]);
    }
}

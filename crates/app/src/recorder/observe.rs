//! What the events of the trail tell besides: refusals that pile up, places and hours that are new for a key, networks that
//! try tokens (audit §7). Looked at once they are in the table, out of the way of every call.

use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    net::IpAddr,
};

use chrono::{DateTime, Duration, DurationRound as _, Utc};
use statuspulse_audit::{
    AlertRule, Entry, Window,
    anomaly::{Observed, travel::Travel},
};
use statuspulse_policy::{KeyId, OrganizationId};
use statuspulse_store::{
    Conn, StoreError,
    alerts::Happening,
    habits::{self, Hour, Visit},
};
use uuid::Uuid;

use super::watch::Happenings;
use crate::{app::App, verify::network_of};

/// Keys, and networks, that are remembered between two looks, at most. What is beyond is in the trail.
const REMEMBERED: usize = 10_000;
/// A visit to a country that is known is written this often.
const VISIT_EVERY: Duration = Duration::minutes(1);
/// A country counts as new after that long.
const COUNTRY_FORGOTTEN: Duration = Duration::days(30);
/// Before that nothing is unusual for a key.
const SETTLED: Duration = Duration::days(7);
/// A key sleeps after that long.
const DORMANT: Duration = Duration::days(30);
/// Fewer calls a minute are never too many.
const FEW: i64 = 600;
/// Hours that a key must have been active until its rate is known.
const ACTIVE_HOURS: i64 = 24;
/// How far back its usual rate is looked for.
const USUAL: Duration = Duration::days(7);

/// What was seen since the last look.
#[derive(Default)]
pub(super) struct Observer {
    denied: HashMap<KeyId, (OrganizationId, Observed)>,
    visits: Vec<(OrganizationId, Visit, IpAddr, Observed)>,
    /// When a visit of a key to a country was written.
    visited: HashMap<(KeyId, String), DateTime<Utc>>,
    strangers: HashMap<String, Window>,
    loud: Vec<(String, Observed)>,
    hours: HashMap<(KeyId, DateTime<Utc>), Hour>,
    minutes: HashMap<KeyId, Minute>,
}

/// The minute in which a key calls.
struct Minute {
    organization: OrganizationId,
    begins: DateTime<Utc>,
    calls: i64,
}

/// A call of a key.
struct KeyCall {
    key: KeyId,
    organization: OrganizationId,
}

impl KeyCall {
    fn of(entry: &Entry) -> Option<Self> {
        if entry.action != "api.call" || entry.actor.kind != "api_key" {
            return None;
        }
        let key = entry.actor.id.as_deref()?.parse().ok()?;
        Some(Self { key, organization: OrganizationId::from_uuid(entry.organization_id?) })
    }
}

fn observed(entry: &Entry) -> Observed {
    Observed {
        routes: entry.route.clone().into_iter().collect(),
        sources: entry.ip.and_then(network_of).into_iter().collect(),
        events: vec![entry.id],
        ..Observed::at(entry.occurred_at)
    }
}

impl Observer {
    /// Takes in an event that is in the table.
    pub(super) fn note(&mut self, entry: &Entry) {
        match KeyCall::of(entry) {
            Some(call) => {
                self.note_hour(&call, entry);
                match (entry.outcome.as_str(), entry.reason.as_deref()) {
                    ("allowed", _) => self.note_visit(&call, entry),
                    (_, Some("ip_not_allowed")) => self.note_denied(&call, entry),
                    _ => {}
                }
            }
            None => self.note_stranger(entry),
        }
    }

    fn note_denied(&mut self, call: &KeyCall, entry: &Entry) {
        let full = self.denied.len() >= REMEMBERED;
        match self.denied.entry(call.key) {
            Slot::Occupied(mut held) => held.get_mut().1.merge(AlertRule::IpDenied, observed(entry)),
            Slot::Vacant(free) if !full => drop(free.insert((call.organization, observed(entry)))),
            Slot::Vacant(_) => {}
        }
    }

    fn note_visit(&mut self, call: &KeyCall, entry: &Entry) {
        let (Some(country), Some(ip)) = (&entry.country, entry.ip) else { return };
        let place = (call.key, country.clone());
        let written = self.visited.get(&place);
        if written.is_some_and(|at| entry.occurred_at - *at < VISIT_EVERY) || self.visits.len() >= REMEMBERED {
            return;
        }
        if self.visited.len() >= REMEMBERED {
            self.visited.clear();
        }
        self.visited.insert(place, entry.occurred_at);
        let visit = Visit { key: call.key, country: country.clone(), at: entry.occurred_at, place: None };
        self.visits.push((call.organization, visit, ip, observed(entry)));
    }

    /// A fold stands for as many as it says.
    fn note_stranger(&mut self, entry: &Entry) {
        let number = match entry.action.as_str() {
            "api.call" => 1,
            "audit.fold" => entry.detail.get("count").and_then(serde_json::Value::as_u64).unwrap_or(1),
            _ => return,
        };
        let Some(network) = entry.ip.and_then(network_of) else { return };
        if !matches!(entry.reason.as_deref(), Some("unknown" | "malformed")) {
            return;
        }
        if self.strangers.len() >= REMEMBERED && !self.strangers.contains_key(&network) {
            let newest = self.strangers.values().map(Window::newest).max().unwrap_or_default();
            self.strangers.retain(|_, window| window.newest() + 60 > newest);
            if self.strangers.len() >= REMEMBERED {
                return;
            }
        }
        let second = u64::try_from(entry.occurred_at.timestamp()).unwrap_or_default();
        let window = self.strangers.entry(network.clone()).or_default();
        let sum = window.add(second, u32::try_from(number).unwrap_or(u32::MAX));
        if sum > AlertRule::UnknownTokens.rule().threshold {
            let count = i64::try_from(sum).unwrap_or(i64::MAX);
            let seen = Observed { count, ..observed(entry) };
            match self.loud.iter_mut().find(|(held, _)| *held == network) {
                Some((_, held)) => held.merge(AlertRule::UnknownTokens, seen),
                None => self.loud.push((network, seen)),
            }
        }
    }

    fn note_hour(&mut self, call: &KeyCall, entry: &Entry) {
        let at = entry.occurred_at;
        let (Ok(hour), Ok(begins)) = (at.duration_trunc(Duration::hours(1)), at.duration_trunc(Duration::minutes(1)))
        else {
            return;
        };
        let fresh = || Minute { organization: call.organization, begins, calls: 0 };
        let minute = self.minutes.entry(call.key).or_insert_with(fresh);
        if minute.begins < begins {
            *minute = fresh();
        }
        if minute.begins == begins {
            minute.calls += 1;
        }
        let busiest = minute.calls;
        let empty = Hour { key: call.key, hour, calls: 0, refused: 0, busiest_minute: 0 };
        let held = self.hours.entry((call.key, hour)).or_insert(empty);
        held.calls += 1;
        held.refused += i64::from(entry.outcome != "allowed");
        held.busiest_minute = held.busiest_minute.max(busiest);
    }

    /// Looks at what was seen, once it is worth a question to the database. What can't be asked now stays.
    pub(super) async fn look(&mut self, app: &App, happenings: &mut Happenings) {
        for (network, observed) in self.loud.drain(..) {
            happenings.add(Happening {
                rule: AlertRule::UnknownTokens,
                organization: None,
                subject_kind: "network",
                subject: network,
                observed,
            });
        }
        if self.denied.is_empty() && self.visits.is_empty() {
            return;
        }
        let asked = async {
            let mut conn = app.pool.get().await?;
            // What can't be asked of refusals is no reason not to look at places.
            let denied = self.look_at_denied(app, &mut conn, happenings).await;
            self.look_at_visits(app, &mut conn, happenings).await.and(denied)
        };
        if let Err(error) = asked.await {
            tracing::warn!(%error, "what the trail tells of keys could not be looked at");
        }
    }

    async fn look_at_denied(
        &mut self,
        app: &App,
        conn: &mut Conn,
        happenings: &mut Happenings,
    ) -> Result<(), StoreError> {
        const RULE: AlertRule = AlertRule::IpDenied;
        let keys: Vec<KeyId> = self.denied.keys().copied().collect();
        for key in keys {
            let Some((organization, seen)) = self.denied.get(&key) else { continue };
            let subject = key.to_string();
            let (organization, mut observed) = (*organization, seen.clone());
            let threshold = habits::threshold(conn, RULE, organization, Some(key)).await?;
            observed.threshold = Some(threshold);
            let opens = if habits::is_open(conn, RULE, &subject).await? {
                true
            } else {
                let since = app.env.now() - Duration::seconds(RULE.rule().window_seconds.into());
                observed.count = habits::denied_addresses(conn, key, since).await?.max(observed.count);
                observed.count.unsigned_abs() >= threshold
            };
            self.denied.remove(&key);
            if opens {
                let organization = Some(organization);
                happenings.add(Happening { rule: RULE, organization, subject_kind: "key", subject, observed });
            }
        }
        Ok(())
    }

    async fn look_at_visits(
        &mut self,
        app: &App,
        conn: &mut Conn,
        happenings: &mut Happenings,
    ) -> Result<(), StoreError> {
        while let Some((organization, mut visit, ip, mut observed)) = self.visits.pop() {
            visit.place = app.geo.coordinates(ip).map(|place| place.rounded());
            let known = match habits::visit(conn, &visit).await {
                Ok(known) => known,
                Err(error) if error.is_unavailable() => {
                    self.visited.remove(&(visit.key, visit.country));
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, key = %visit.key, "where a key was used could not be noted");
                    continue;
                }
            };
            if known.same_country_at.is_some_and(|at| visit.at - at < COUNTRY_FORGOTTEN) {
                continue;
            }
            observed.facts.insert("country".to_owned(), visit.country.clone().into());
            let mut tell = |rule, observed: Observed| {
                let (organization, subject) = (Some(organization), visit.key.to_string());
                happenings.add(Happening { rule, organization, subject_kind: "key", subject, observed });
            };
            if known.since.is_some_and(|since| visit.at - since >= SETTLED) {
                tell(AlertRule::NewCountry, observed.clone());
            }
            let travel = known.last.zip(visit.place).map(|(last, place)| Travel::between(last, (place, visit.at)));
            if let Some(travel) = travel.filter(|travel| travel.is_impossible()) {
                observed.facts.insert("kilometres".to_owned(), travel.distance.round().into());
                // At once is infinitely fast, which no number of JSON is.
                observed.facts.insert("kilometres_an_hour".to_owned(), travel.speed.min(1e9).round().into());
                tell(AlertRule::ImpossibleTravel, observed);
            }
        }
        Ok(())
    }

    /// Writes what keys did by the hour, and looks whether the present minute is unusual. Called every few seconds.
    pub(super) async fn write_hours(&mut self, app: &App, happenings: &mut Happenings) {
        if self.hours.is_empty() {
            return;
        }
        let hours: Vec<Hour> = self.hours.values().copied().collect();
        let written = async {
            let mut conn = app.pool.get().await?;
            habits::add_hours(&mut conn, &hours).await?;
            self.hours.clear();
            self.look_at_minutes(app, &mut conn, happenings).await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, "what keys did by the hour could not be written");
        }
        let present = app.env.now() - Duration::minutes(2);
        self.minutes.retain(|_, minute| minute.begins >= present);
    }

    async fn look_at_minutes(
        &mut self,
        app: &App,
        conn: &mut Conn,
        happenings: &mut Happenings,
    ) -> Result<(), StoreError> {
        const RULE: AlertRule = AlertRule::RateAboveUsual;
        let now = app.env.now();
        for (key, minute) in self.minutes.iter().filter(|(_, minute)| minute.calls > FEW) {
            let hour = minute.begins.duration_trunc(Duration::hours(1)).unwrap_or(minute.begins);
            let (usual, hours) = habits::usual_minute(conn, *key, (now - USUAL, hour)).await?;
            if hours < ACTIVE_HOURS {
                continue;
            }
            let times = habits::threshold(conn, RULE, minute.organization, Some(*key)).await?;
            #[expect(clippy::cast_precision_loss, reason = "calls of a minute, far below 2^53")]
            let unusual = minute.calls as f64 > times as f64 * usual;
            if unusual {
                let mut happening = Happening::new(RULE, Some(minute.organization), ("key", key), now);
                happening = happening.with("usual", usual.round());
                happening.observed.count = minute.calls;
                happening.observed.threshold = Some(times);
                happenings.add(happening);
            }
        }
        Ok(())
    }
}

/// A key that slept was used.
pub(super) fn woken(key: KeyId, organization: Uuid, before: DateTime<Utc>, at: DateTime<Utc>) -> Option<Happening> {
    (at - before >= DORMANT).then(|| {
        let organization = Some(OrganizationId::from_uuid(organization));
        Happening::new(AlertRule::DormantKeyUsed, organization, ("key", key), at).with("days", (at - before).num_days())
    })
}

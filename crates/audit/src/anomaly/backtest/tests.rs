use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::record::ActorRef;

const KEY: &str = "01900000-0000-7000-8000-00000000000a";
const GRANT: &str = "01900000-0000-7000-8000-00000000000b";
const DAY: i64 = 86_400;

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
}

/// An accepted call of a key.
fn call(millis: i64) -> Entry {
    Entry {
        id: Uuid::from_u128(u128::from(millis.unsigned_abs())),
        occurred_at: at(millis),
        class: 3,
        action: "api.call".to_owned(),
        outcome: "allowed".to_owned(),
        reason: None,
        organization_id: Some(Uuid::from_u128(1)),
        actor: ActorRef { kind: "api_key".to_owned(), id: Some(KEY.to_owned()), version: Some(1) },
        method: None,
        route: Some("/checks".to_owned()),
        status: Some(200),
        ip: Some("203.0.113.7".parse().unwrap()),
        country: None,
        user_agent: None,
        fingerprint: None,
        request_id: None,
        detail: Map::new(),
    }
}

fn refused(seconds: i64, reason: &str) -> Entry {
    Entry { outcome: "denied".to_owned(), reason: Some(reason.to_owned()), ..call(seconds * 1_000) }
}

fn nobody(entry: Entry) -> Entry {
    let actor = ActorRef { kind: "unknown".to_owned(), id: None, version: None };
    Entry { actor, organization_id: None, ..entry }
}

fn with(mut entry: Entry, detail: Value) -> Entry {
    entry.detail.extend(detail.as_object().cloned().unwrap());
    entry
}

/// What a rule finds up to a second.
fn tried(rule: AlertRule, threshold: Option<u64>, entries: impl IntoIterator<Item = Entry>, end: i64) -> Vec<Would> {
    let mut backtest = Backtest::new(rule, threshold).unwrap();
    entries.into_iter().for_each(|entry| backtest.see(&entry));
    backtest.finish(at(end * 1_000))
}

/// When each would have opened and resolved itself, in seconds, and its count.
fn lives(found: &[Would]) -> Vec<(i64, Option<i64>, i64)> {
    let second = |moment: DateTime<Utc>| moment.timestamp() - at(0).timestamp();
    found.iter().map(|would| (second(would.opened_at), would.resolved_at.map(second), would.count)).collect()
}

/// The life of alerts of one key, told from all its timestamps second by second.
fn naive(millis: &[i64], threshold: u64, end: i64) -> Vec<(i64, Option<i64>, i64)> {
    let calm = (threshold * 4 / 5).max(1);
    let mut counts = vec![0_u64; usize::try_from(end).unwrap() + 1];
    let (mut all, mut open): (Vec<_>, Option<(i64, i64, u64)>) = (Vec::new(), None);
    let mut next = 0;
    for second in 0..=end {
        if let Some((since, busy, peak)) = open.filter(|(_, busy, _)| second - busy >= 300) {
            all.push((since, Some(busy + 300), i64::try_from(peak).unwrap()));
            open = None;
        }
        let place = usize::try_from(second).unwrap();
        while millis.get(next).is_some_and(|at| at / 1_000 == second) {
            next += 1;
            counts[place] += 1;
            let total: u64 = counts[place.saturating_sub(60)..=place].iter().sum();
            match &mut open {
                None if total > threshold => open = Some((second, second, total)),
                Some((_, _, peak)) => *peak = total.max(*peak),
                None => {}
            }
        }
        let total: u64 = counts[place.saturating_sub(60)..=place].iter().sum();
        if let Some((_, busy, _)) = open.as_mut().filter(|_| total >= calm) {
            *busy = second;
        }
    }
    all.extend(open.map(|(since, _, peak)| (since, None, i64::try_from(peak).unwrap())));
    all
}

fn pauses() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(prop_oneof![8 => 0_i64..2_000, 4 => 0_i64..20_000, 1 => 0_i64..420_000], 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_rate_opens_and_ends_when_all_timestamps_say_so(pauses in pauses(), threshold in 1_u64..40, rest in 0_i64..700) {
        let mut now = 0;
        let millis: Vec<i64> = pauses.iter().map(|pause| { now += pause; now }).collect();
        let end = now / 1_000 + rest;
        // Somebody else, who calls once a minute, changes nothing.
        let other = |millis: &i64| Entry { organization_id: Some(Uuid::from_u128(2)), ..call(*millis) };
        let others: Vec<Entry> = (0..now / 60_000).map(|minute| other(&(minute * 60_000))).collect();
        let mut entries: Vec<Entry> = millis.iter().map(|millis| call(*millis)).chain(others).collect();
        entries.sort_by_key(|entry| entry.occurred_at);
        let mut found = tried(AlertRule::CallRate, Some(threshold), entries, end);
        found.retain(|would| would.organization == Some(Uuid::from_u128(1)));
        prop_assert_eq!(lives(&found), naive(&millis, threshold, end));
    }
}

/// spec: audit A24
#[test]
fn a_burst_opens_one_alert_with_its_evidence() {
    let found = tried(AlertRule::CallRate, None, (0..5_001).map(|number| call(number * 10)), 60);
    let one = found.first().unwrap();
    assert_eq!(lives(&found), [(50, None, 5_001)]);
    assert_eq!((one.subject_kind, one.subject.as_str(), one.severity), ("key", KEY, Severity::High));
    assert_eq!(
        (one.routes.as_slice(), one.sources.as_slice()),
        (&["/checks".to_owned()][..], &["203.0.113.0/24".to_owned()][..])
    );
    assert_eq!((one.opened_at, one.last_seen_at, one.events.len()), (at(50_000), at(50_000), 20));
    assert_eq!(tried(AlertRule::CallRate, None, (0..5_000).map(|number| call(number * 10)), 60), []);
}

#[test]
fn a_rate_counts_refusals_and_grants_and_nothing_that_is_no_call() {
    let grant = |entry: Entry| Entry {
        actor: ActorRef { kind: "access_token".to_owned(), id: Some(GRANT.to_owned()), version: None },
        ..entry
    };
    let calls = (0..3).map(|second| grant(refused(second, "expired")));
    let others = (3..9).map(|second| Entry { action: "audit.read".to_owned(), ..call(second * 1_000) });
    let strangers = (10..20).map(|second| nobody(refused(second, "unknown")));
    let found = tried(AlertRule::CallRate, Some(2), calls.chain(others).chain(strangers), 20);
    assert_eq!((lives(&found), found[0].subject_kind), (vec![(2, None, 3)], "grant"));
}

/// spec: audit A27
#[test]
fn a_hundred_refusals_for_scope_are_one_alert_of_high_severity() {
    let words = ["insufficient_scope", "no_rule", "path_not_canonical", "unknown_scope"];
    let refusals = (0..100).map(|second| refused(second, words[usize::try_from(second).unwrap() % 4]));
    let found = tried(AlertRule::OutOfScope, None, refusals.chain([refused(101, "expired")]), 200);
    assert_eq!((lives(&found), found[0].severity), (vec![(0, None, 100)], Severity::High));
}

#[test]
fn happenings_resolve_themselves_after_a_day_and_then_open_another_one() {
    let seconds = [0, DAY - 1, 2 * DAY - 2, 3 * DAY - 2];
    let found = tried(AlertRule::OutOfScope, None, seconds.map(|second| refused(second, "no_rule")), 3 * DAY);
    assert_eq!(lives(&found), [(0, Some(3 * DAY - 2), 3), (3 * DAY - 2, None, 1)]);
}

#[test]
fn five_refusals_for_the_address_within_ten_minutes_open() {
    let denied = |seconds: [i64; 5]| {
        lives(&tried(AlertRule::IpDenied, None, seconds.map(|second| refused(second, "ip_not_allowed")), 2_000))
    };
    assert_eq!(denied([0, 150, 300, 450, 600]), [(600, None, 5)]);
    assert_eq!(denied([0, 150, 300, 450, 601]), []);
    let fewer = [0, 10].map(|second| refused(second, "ip_not_allowed"));
    assert_eq!(lives(&tried(AlertRule::IpDenied, Some(2), fewer, 20)), [(10, None, 2)]);
}

#[test]
fn a_revoked_key_a_honeytoken_and_a_key_in_a_url_open_at_once() {
    let canary = with(refused(1, "unknown"), json!({"canary": true}));
    // That a honeytoken is made is none of its uses.
    let made = with(Entry { action: "key.create".to_owned(), ..call(0) }, json!({"canary": true}));
    let in_url = Entry { action: "credential.in_url".to_owned(), ..refused(2, "credential_in_url") };
    let all = [made, canary, in_url.clone(), refused(3, "revoked"), nobody(in_url)];
    let opened = |rule| lives(&tried(rule, None, all.clone(), 10));
    assert_eq!(opened(AlertRule::CanaryUsed), [(1, None, 1)]);
    assert_eq!(opened(AlertRule::CredentialInUrl), [(2, None, 1)]);
    assert_eq!(opened(AlertRule::RevokedKeyUsed), [(3, None, 1)]);
}

#[test]
fn a_grant_is_ended_once() {
    let refresh = |seconds, detail| {
        let entry = Entry { action: "oauth.refresh".to_owned(), ..refused(seconds, "refresh_reuse_detected") };
        with(entry, detail)
    };
    let all = [refresh(1, json!({"grant_id": GRANT, "revoked": true})), refresh(2, json!({"grant_id": GRANT}))];
    let found = tried(AlertRule::RefreshReuse, None, all.clone(), 10);
    assert_eq!((lives(&found), found[0].subject.as_str()), (vec![(1, None, 1)], GRANT));
    assert_eq!(tried(AlertRule::CodeReplay, None, all, 10), []);
}

#[test]
fn made_up_tokens_count_by_network_and_a_fold_counts_for_many() {
    let single = |seconds| nobody(refused(seconds, "malformed"));
    let fold = |seconds, count: u64| {
        with(Entry { action: "audit.fold".to_owned(), ..nobody(refused(seconds, "unknown")) }, json!({"count": count}))
    };
    let elsewhere = Entry { ip: Some("198.51.100.7".parse().unwrap()), ..fold(2, 900) };
    let found = tried(AlertRule::UnknownTokens, None, [single(0), fold(1, 998), elsewhere, single(3), single(4)], 10);
    assert_eq!((lives(&found), found[0].subject.as_str()), (vec![(4, None, 1_001)], "203.0.113.0/24"));
}

#[test]
fn a_country_is_new_to_a_key_that_was_used_for_a_week() {
    let from = |seconds: i64, country: &str| Entry { country: Some(country.to_owned()), ..call(seconds * 1_000) };
    let denied = Entry { country: Some("BR".to_owned()), ..refused(9 * DAY, "expired") };
    let young = [from(0, "DE"), from(6 * DAY, "FR")];
    let settled =
        [from(8 * DAY, "DE"), from(8 * DAY + 1, "FR"), denied, from(9 * DAY + 1, "US"), from(9 * DAY + 2, "US")];
    let found = tried(AlertRule::NewCountry, None, young.into_iter().chain(settled), 10 * DAY);
    assert_eq!(lives(&found), [(9 * DAY + 1, None, 1)]);
    let forgotten = [from(0, "DE"), from(31 * DAY, "DE")];
    assert_eq!(lives(&tried(AlertRule::NewCountry, None, forgotten, 31 * DAY)), [(31 * DAY, None, 1)]);
}

#[test]
fn events_that_were_lost_are_counted() {
    let gap = |seconds, count: u64| {
        with(Entry { action: "audit.gap".to_owned(), ..nobody(refused(seconds, "x")) }, json!({"count": count}))
    };
    let found = tried(AlertRule::AuditGap, None, [gap(1, 7), gap(2, 5)], 10);
    assert_eq!((lives(&found), found[0].severity), (vec![(1, None, 12)], Severity::Critical));
}

#[test]
fn who_has_gone_quiet_is_forgotten() {
    let mut backtest = Backtest::new(AlertRule::CallRate, Some(2)).unwrap();
    for number in 0..1_000 {
        let actor = ActorRef { id: Some(number.to_string()), ..call(0).actor };
        backtest.see(&Entry { actor, ..call(number * 1_000) });
        assert!(backtest.subjects.len() <= 182, "{}", backtest.subjects.len());
    }
}

#[test]
fn a_rule_that_can_not_be_told_says_why() {
    let refused: Vec<_> = AlertRule::ALL.iter().filter_map(|rule| Backtest::new(*rule, None).err()).collect();
    assert_eq!((AlertRule::ALL.len(), refused.len()), (19, 8));
    let text = Backtest::new(AlertRule::RotatedKeyUsed, None).unwrap_err().to_string();
    assert!(text.contains("`rotated_key_used`") && text.contains("`revoked_key_used` counts both"), "{text}");
    assert_eq!(
        Backtest::new(AlertRule::CanaryUsed, Some(2)).unwrap_err(),
        NotFromTrail::NoThreshold(AlertRule::CanaryUsed)
    );
}

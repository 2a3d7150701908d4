use proptest::prelude::*;

use super::*;
use crate::{
    Grant,
    fixtures::{AUDIENCE, CATALOG, ISSUER, R, app, at, form, grant, known, public_app, scopes},
    grant::ABSOLUTE_DAYS,
};

const DAY: i64 = 86_400;

/// One refresh; changed before it is judged. The token is of generation 3, issued at instant 0.
struct Case {
    app: App,
    grant: Grant,
    token: RefreshRecord,
    person_remains: bool,
    body: String,
    now: i64,
}

impl Case {
    fn new() -> Self {
        let grant = Grant { generation: 3, ..grant() };
        let token = RefreshRecord {
            grant_id: grant.id,
            generation: 3,
            issued_at: at(0),
            idle_expires_at: RefreshRecord::idle_end(at(0)),
            rotated_at: None,
            successor_sealed: None,
        };
        Self { app: app(), grant, token, person_remains: true, body: String::new(), now: 1_000 }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self::new();
        change(&mut case);
        case
    }

    /// The token was rotated at instant 1,000, so many generations ago; the app has a retry window.
    fn used(generations: i64, window: u32, now: i64) -> Self {
        Self::with(|case| {
            case.app.refresh_retry_seconds = window;
            case.grant.generation = 3 + generations;
            case.token.rotated_at = Some(at(1_000));
            case.token.successor_sealed = Some(vec![1]);
            case.now = now;
        })
    }

    fn judge(&self) -> Refresh {
        let standing = Standing { grant: &self.grant, person_remains: self.person_remains };
        refresh(&form(&self.body), &self.app, &self.token, standing, &CATALOG, &known(), at(self.now))
    }

    fn word(&self) -> &'static str {
        match self.judge() {
            Refresh::Rotate { .. } => "rotate",
            Refresh::Retry { .. } => "retry",
            Refresh::Reuse => "reuse",
            Refresh::Refuse(error) => error.reason,
        }
    }
}

fn given(body: &str) -> Result<ScopeSet, (&'static str, &'static str)> {
    match Case::with(|case| case.body = body.to_owned()).judge() {
        Refresh::Rotate { scopes, .. } => Ok(scopes),
        Refresh::Refuse(error) => Err((error.code.as_str(), error.reason)),
        _ => Err(("", "")),
    }
}

#[test]
fn the_current_token_is_rotated_with_all_that_was_granted() {
    let resources = Resources::from_stored(vec![ISSUER.to_owned(), AUDIENCE.to_owned()]);
    assert_eq!(Case::new().judge(), Refresh::Rotate { scopes: app().scopes, resources });
}

#[test]
fn a_used_token_is_reuse_at_once_and_however_old() {
    let judged = [(1, 1_000), (1, 1_001), (2, 1_001), (99, 90 * DAY)].map(|(old, now)| Case::used(old, 0, now).word());
    assert_eq!(judged, ["reuse"; 4]);
}

#[test]
fn a_used_token_is_given_its_successor_inside_the_window_alone() {
    let judged = [1_000, 1_029, 1_030, 1_031].map(|now| Case::used(1, 30, now).word());
    assert_eq!(judged, ["retry", "retry", "reuse", "reuse"]);
}

#[test]
fn a_used_token_whose_successor_was_used_is_reuse_also_inside_the_window() {
    assert_eq!(Case::used(2, 30, 1_001).word(), "reuse");
}

#[test]
fn a_retry_is_given_also_when_the_used_token_would_have_ended_meanwhile() {
    let mut case = Case::used(1, 30, 30 * DAY + 5);
    case.token.rotated_at = Some(at(30 * DAY - 1));
    assert_eq!(case.word(), "retry");
}

#[test]
fn a_retry_needs_the_successor() {
    let mut case = Case::used(1, 30, 1_001);
    case.token.successor_sealed = None;
    assert_eq!(case.word(), "reuse");
}

#[test]
fn a_retry_needs_the_time_of_the_rotation() {
    let mut case = Case::used(1, 30, 1_001);
    case.token.rotated_at = None;
    assert_eq!(case.word(), "reuse");
}

#[test]
fn an_instance_whose_clock_is_behind_opens_no_window_where_there_is_none() {
    assert_eq!(Case::used(1, 0, 999).word(), "reuse");
}

#[test]
fn a_window_is_never_longer_than_the_longest() {
    assert_eq!(Case::used(1, 3_600, 1_060).word(), "reuse");
}

#[test]
fn a_retry_gives_what_a_rotation_would() {
    let mut case = Case::used(1, 30, 1_001);
    case.body = format!("scope=alerts:write&resource={AUDIENCE}");
    let resources = Resources::from_stored(vec![AUDIENCE.to_owned()]);
    assert_eq!(case.judge(), Refresh::Retry { scopes: scopes("alerts:write"), resources });
}

#[test]
fn a_bad_retry_harms_nothing() {
    let mut case = Case::used(1, 30, 1_001);
    case.body = "scope=checks:read".to_owned();
    assert_eq!(case.word(), "scope_not_granted");
}

#[test]
fn another_app_is_refused_and_harms_nothing() {
    let live = Case::with(|case| case.app = public_app(R));
    let mut used = Case::used(1, 0, 1_001);
    used.app = public_app(R);
    assert_eq!([live.word(), used.word()], ["refresh_token_foreign"; 2]);
}

#[test]
fn a_token_rests_for_at_most_30_days() {
    let judged = [30 * DAY - 1, 30 * DAY].map(|now| Case::with(|case| case.now = now).word());
    assert_eq!(judged, ["rotate", "refresh_token_idle"]);
}

#[test]
fn a_used_token_is_reuse_also_after_its_own_end() {
    assert_eq!(Case::used(1, 30, 31 * DAY).word(), "reuse");
}

#[test]
fn a_chain_ends_after_180_days_even_if_just_rotated() {
    let end = ABSOLUTE_DAYS * DAY;
    let judged = [end - 1, end].map(|now| {
        let fresh = |case: &mut Case| (case.now, case.token.idle_expires_at) = (now, RefreshRecord::idle_end(at(now)));
        Case::with(fresh).word()
    });
    assert_eq!(judged, ["rotate", "grant_expired"]);
}

#[test]
fn a_grant_that_has_ended_gives_nothing() {
    let cases = [
        Case::with(|case| case.person_remains = false),
        Case::with(|case| case.grant.status = GrantStatus::Revoked),
        Case::with(|case| case.app.status = crate::AppStatus::Suspended),
        Case::with(|case| case.app.tokens_valid_from = at(1)),
        Case::with(|case| case.app.deleted_at = Some(at(1))),
    ];
    let reasons = ["user_removed", "grant_revoked", "app_was_suspended", "app_was_suspended", "app_was_suspended"];
    assert_eq!(cases.map(|case| case.word()), reasons);
}

#[test]
fn a_used_token_of_an_ended_grant_is_not_reported_again() {
    let mut case = Case::used(1, 0, 1_001);
    case.grant.status = GrantStatus::Revoked;
    assert_eq!(case.word(), "grant_revoked");
}

#[test]
fn a_scope_narrows_the_access_token() {
    assert_eq!(given("scope=alerts:write"), Ok(scopes("alerts:write")));
}

#[test]
fn an_empty_scope_counts_as_left_out() {
    assert_eq!(["scope=", "scope=+,", "foo=1"].map(given), [Ok(app().scopes); 3]);
}

#[test]
fn a_wider_unknown_or_malformed_scope_is_refused() {
    let bodies = ["scope=monitoring:read+checks:read", "scope=bogus", "scope=a%22b", "scope=%zz"].map(given);
    let reasons = ["scope_not_granted", "scope_unknown", "scope_malformed", "scope_malformed"];
    assert_eq!(bodies, reasons.map(|reason| Err(("invalid_scope", reason))));
}

#[test]
fn a_repeated_scope_is_a_bad_request() {
    assert_eq!(given("scope=a&scope=a"), Err(("invalid_request", "parameter_repeated")));
}

#[test]
fn a_resource_that_was_not_granted_is_refused() {
    assert_eq!(given("resource=https://evil.example"), Err(("invalid_target", "resource_not_granted")));
}

#[test]
fn without_a_scope_the_token_is_cut_to_what_the_app_may_have_now() {
    let case = Case::with(|case| case.app.scopes = scopes("alerts:write checks:read"));
    assert!(matches!(case.judge(), Refresh::Rotate { scopes: given, .. } if given == scopes("alerts:write")));
}

#[test]
fn a_scope_that_the_app_may_no_longer_have_is_refused_and_not_dropped() {
    let case = Case::with(|case| {
        case.app.scopes = scopes("alerts:write");
        case.body = "scope=alerts:write+monitoring:read".to_owned();
    });
    assert_eq!(case.word(), "scope_not_allowed");
}

#[test]
fn an_app_that_has_nothing_left_of_the_grant_gets_nothing() {
    assert_eq!(Case::with(|case| case.app.scopes = scopes("checks:read")).word(), "scope_not_allowed");
}

#[test]
fn the_trail_knows_whether_the_grant_had_ended() {
    let revoked = Grant { status: GrantStatus::Revoked, ..grant() };
    let judged = [revoked, grant()].map(|grant| is_of_ended_chain(crate::fixtures::standing(&grant)));
    assert_eq!(judged, [true, false]);
}

proptest! {
    #[test]
    fn the_generation_decides(
        age in 0_i64..4, window in prop_oneof![Just(0_u32), Just(30), Just(60)], passed in -5_i64..90, kept in any::<bool>(),
    ) {
        let mut case = Case::used(age, window, 1_000 + passed);
        if !kept {
            case.token.successor_sealed = None;
        }
        let open = window > 0 && passed < i64::from(window) && kept;
        let expected = match age {
            0 => "rotate",
            1 if open => "retry",
            _ => "reuse",
        };
        prop_assert_eq!(case.word(), expected);
    }

    #[test]
    fn an_access_token_never_has_more_than_the_grant_and_the_app(held in any::<u64>(), own in any::<u64>(), asked in any::<u64>()) {
        let asked = ScopeSet::from_bits(asked).intersection(CATALOG.all());
        let case = Case::with(|case| {
            case.grant.scopes = ScopeSet::from_bits(held);
            case.app.scopes = ScopeSet::from_bits(own);
            case.body = format!("scope={}", CATALOG.names(asked).join("+"));
        });
        if let Refresh::Rotate { scopes, .. } = case.judge() {
            let both = ScopeSet::from_bits(held & own);
            prop_assert!(scopes.is_subset_of(both) && (asked.is_empty() || scopes == asked));
        }
    }
}

//! Random histories of codes and tokens, judged by the crate and applied the way the store does it, beside a reference of
//! a few lines that knows nothing of the crate. Each test runs such histories and looks at one thing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod db;
mod reference;
mod world;

use proptest::{collection::vec, prelude::*};
use world::{Answer, How, Op, Step, World};

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        18 => Just(How::Right),
        1 => Just(How::OtherApp),
        1 => Just(How::WrongSecret),
        1 => Just(How::WrongUri),
        1 => Just(How::WrongVerifier),
        1 => Just(How::NoVerifier),
        1 => Just(How::ForeignResource),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let chain = 0_usize..3;
    let back = prop_oneof![5 => Just(0_usize), 2 => Just(1), 2 => Just(2)];
    let bits = prop_oneof![3 => Just(0b111_u8), 2 => 1_u8..8];
    let asked = prop_oneof![3 => Just(None), 1 => (1_u8..16).prop_map(Some)];
    let seconds = prop_oneof![
        8 => 0_i64..20,
        2 => Just(250_i64),
        1 => Just(301),
        1 => Just(7_200),
        1 => Just(20 * 86_400),
        1 => Just(90 * 86_400),
    ];
    prop_oneof![
        3 => (bits.clone(), any::<bool>()).prop_map(|(scopes, pkce)| Op::Consent { scopes, pkce }),
        8 => (chain.clone(), how()).prop_map(|(chain, how)| Op::Redeem { chain, how }),
        2 => chain.clone().prop_map(|chain| Op::RedeemTwiceAtOnce { chain }),
        12 => (chain.clone(), back.clone(), asked, how())
            .prop_map(|(chain, back, asked, how)| Op::Refresh { chain, back, asked, how }),
        2 => (chain.clone(), back).prop_map(|(chain, back)| Op::RefreshTwiceAtOnce { chain, back }),
        2 => (chain.clone(), 5_usize..12).prop_map(|(chain, turns)| Op::KeepUp { chain, turns }),
        1 => chain.prop_map(|chain| Op::Revoke { chain }),
        1 => bits.prop_map(|scopes| Op::Scopes { scopes }),
        2 => prop_oneof![1 => Just(0_u32), 2 => Just(60)].prop_map(|seconds| Op::Window { seconds }),
        1 => Just(Op::SuspendAndResume),
        1 => any::<bool>().prop_map(|active| Op::Active { active }),
        1 => any::<bool>().prop_map(|member| Op::Member { member }),
        5 => seconds.prop_map(|seconds| Op::Tick { seconds }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..60)
}

/// The first step of a history of which something doesn't hold.
fn first(history: Vec<Op>, broken: impl Fn(&Step) -> bool) -> Option<Step> {
    World::new().run(history).into_iter().find(broken)
}

proptest! {
    #[test]
    fn every_answer_is_that_of_the_reference(history in history()) {
        prop_assert_eq!(first(history, |step| step.answers != step.expected), None);
    }

    #[test]
    fn a_grant_never_has_two_live_chains(history in history()) {
        let chains = |step: &Step, grant| step.live.iter().filter(|live| live.grant == grant && live.renews).count();
        prop_assert_eq!(first(history, |step| (0..step.grants.len()).any(|grant| chains(step, grant) > 1)), None);
    }

    #[test]
    fn a_reuse_or_replay_leaves_nothing_of_the_grant_alive(history in history()) {
        let killed = |step: &Step| step.answers.contains(&Answer::Kill);
        let left = |step: &Step| step.live.iter().any(|live| Some(live.grant) == step.grant);
        prop_assert_eq!(first(history, |step| killed(step) && left(step)), None);
    }

    #[test]
    fn an_invalid_request_changes_nothing(history in history()) {
        let refused = |step: &Step| !step.answers.is_empty() && step.answers.iter().all(|answer| *answer == Answer::Refuse);
        prop_assert_eq!(first(history, |step| refused(step) && step.changed), None);
    }

    #[test]
    fn scopes_never_widen(history in history()) {
        let wider = |step: &Step| step.live.iter().any(|live| live.scopes & !(step.grants[live.grant].scopes & step.app_scopes) != 0);
        prop_assert_eq!(first(history, wider), None);
    }

    #[test]
    fn what_was_granted_never_changes(history in history()) {
        prop_assert_eq!(first(history, |step| step.grants.iter().any(|grant| grant.scopes != grant.consented)), None);
    }

    #[test]
    fn nothing_lives_past_the_absolute_end(history in history()) {
        let late = |step: &Step| step.live.iter().any(|live| step.now >= step.grants[live.grant].decided + 180 * 86_400);
        prop_assert_eq!(first(history, late), None);
    }

    #[test]
    fn nothing_lives_while_the_app_is_suspended_or_the_person_gone(history in history()) {
        let barred = |step: &Step| !step.app_is_active || !step.is_member;
        prop_assert_eq!(first(history, |step| barred(step) && !step.live.is_empty()), None);
    }

    #[test]
    fn a_retry_gives_the_same_successor(history in history()) {
        prop_assert_eq!(first(history, |step| step.other_successor), None);
    }
}

/// A history in which much happens, so that the properties above are not all about nothing.
fn eventful() -> Vec<Step> {
    let refresh = |back| Op::Refresh { chain: 0, back, asked: None, how: How::Right };
    World::new().run(vec![
        Op::Window { seconds: 30 },
        Op::Consent { scopes: 0b111, pkce: true },
        Op::Redeem { chain: 0, how: How::WrongVerifier },
        Op::Redeem { chain: 0, how: How::Right },
        refresh(0),
        refresh(1),
        refresh(0),
        refresh(1),
        Op::Tick { seconds: 31 },
        refresh(1),
    ])
}

#[test]
fn an_eventful_history_has_every_kind_of_answer() {
    let issue = Answer::Issue { scopes: 0b111 };
    let retry = Answer::Retry { scopes: 0b111 };
    let answers: Vec<Answer> = eventful().into_iter().flat_map(|step| step.answers).collect();
    assert_eq!(answers, [Answer::Refuse, issue, issue, retry, issue, retry, Answer::Kill]);
}

#[test]
fn an_eventful_history_has_live_tokens_before_the_reuse() {
    let live: Vec<usize> = eventful().iter().map(|step| step.live.len()).collect();
    assert_eq!(live, [0, 0, 0, 2, 3, 4, 5, 6, 6, 0]);
}

#[test]
fn a_token_of_two_generations_ago_is_reuse_also_inside_the_window() {
    let refresh = |back| Op::Refresh { chain: 0, back, asked: None, how: How::Right };
    let consent = Op::Consent { scopes: 0b111, pkce: false };
    let redeem = Op::Redeem { chain: 0, how: How::Right };
    let history = vec![Op::Window { seconds: 60 }, consent, redeem, refresh(0), refresh(0), refresh(2)];
    assert_eq!(World::new().run(history).pop().map(|step| step.answers), Some(vec![Answer::Kill]));
}

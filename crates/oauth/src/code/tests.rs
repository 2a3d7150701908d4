use proptest::prelude::*;

use super::*;
use crate::{
    fixtures::{AUDIENCE, CHALLENGE, ISSUER, R, VERIFIER, app, at, form, grant, known, scopes},
    grant::GrantStatus,
    pkce::Verifier,
    token_request::{CodeRequest, Endpoint, TokenRequest},
};

/// One redemption; changed before it is judged.
struct Case {
    app: App,
    code: CodeRecord,
    grant: Grant,
    person_remains: bool,
    redirect_uri: Option<String>,
    verifier: Option<String>,
    body: String,
    now: i64,
}

impl Case {
    fn new() -> Self {
        let grant = Grant { status: GrantStatus::Pending, ..grant() };
        let code = CodeRecord {
            grant_id: grant.id,
            app_id: app().id,
            redirect_uri: R.to_owned(),
            challenge: Challenge::parse(CHALLENGE),
            scopes: scopes("monitoring:read alerts:write"),
            resources: grant.resources.clone(),
            expires_at: at(crate::authorize::CODE_SECONDS),
            redeemed_at: None,
        };
        let (redirect_uri, verifier) = (Some(R.to_owned()), Some(VERIFIER.to_owned()));
        Self { app: app(), code, grant, person_remains: true, redirect_uri, verifier, body: String::new(), now: 10 }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self::new();
        change(&mut case);
        case
    }

    fn redeemed(mut self) -> Self {
        self.code.redeemed_at = Some(at(1));
        self
    }

    fn judge(&self) -> Redemption {
        let request = CodeRequest {
            code: None,
            redirect_uri: self.redirect_uri.clone(),
            verifier: self.verifier.as_deref().map(|text| Verifier::parse(text).unwrap()),
        };
        let standing = Standing { grant: &self.grant, person_remains: self.person_remains };
        redeem(&request, &form(&self.body), &self.app, &self.code, standing, &known(), at(self.now))
    }

    /// The word on the wire and the reason, or what else comes out.
    fn word(&self) -> (&'static str, &'static str) {
        match self.judge() {
            Redemption::Issue { .. } => ("issue", ""),
            Redemption::Replay => ("replay", ""),
            Redemption::Refuse { error, .. } => (error.code.as_str(), error.reason),
        }
    }
}

fn issued(case: &Case) -> Option<(ScopeSet, Vec<String>)> {
    match case.judge() {
        Redemption::Issue { scopes, resources } => Some((scopes, resources.as_slice().to_vec())),
        _ => None,
    }
}

/// What can be wrong, in the order in which it is looked at, with what is answered.
type Wrong = (fn(&mut Case), &'static str, &'static str);

const WRONGS: [Wrong; 10] = [
    (|case| case.code.app_id = crate::fixtures::public_app(R).id, "invalid_grant", "code_foreign"),
    (|case| case.redirect_uri = Some("https://app.example/ct".to_owned()), "invalid_grant", "redirect_uri_mismatch"),
    (|case| case.verifier = Some("x".repeat(43)), "invalid_grant", "verifier_mismatch"),
    (|case| case.body = "resource=https://evil.example".to_owned(), "invalid_target", "resource_not_granted"),
    (|case| case.code.redeemed_at = Some(at(1)), "replay", ""),
    (|case| case.now = 301, "invalid_grant", "code_expired"),
    (|case| case.person_remains = false, "invalid_grant", "user_removed"),
    (|case| case.app.tokens_valid_from = at(1), "invalid_grant", "app_was_suspended"),
    (|case| case.grant.status = GrantStatus::Revoked, "invalid_grant", "grant_revoked"),
    (|case| case.app.scopes = ScopeSet::EMPTY, "invalid_scope", "scope_not_allowed"),
];

#[test]
fn a_good_redemption_gives_what_was_granted() {
    let expected = (scopes("monitoring:read alerts:write"), vec![ISSUER.to_owned(), AUDIENCE.to_owned()]);
    assert_eq!(issued(&Case::new()), Some(expected));
}

#[test]
fn each_wrong_thing_is_refused_for_its_own_reason() {
    let judged = WRONGS.map(|(change, ..)| Case::with(change).word());
    assert_eq!(judged, WRONGS.map(|(_, code, reason)| (code, reason)));
}

#[test]
fn a_repetition_is_a_replay_only_if_everything_before_it_fits() {
    let judged = [0, 1, 2, 3].map(|place: usize| Case::with(WRONGS[place].0).redeemed().word());
    assert_eq!(judged, [0, 1, 2, 3].map(|place: usize| (WRONGS[place].1, WRONGS[place].2)));
}

#[test]
fn a_repetition_after_the_codes_end_is_a_replay() {
    assert_eq!(Case::with(|case| case.now = 1_000).redeemed().word(), ("replay", ""));
}

#[test]
fn a_code_lives_300_seconds() {
    let judged = [299, 300, 301].map(|now| Case::with(|case| case.now = now).word().1);
    assert_eq!(judged, ["", "code_expired", "code_expired"]);
}

#[test]
fn a_missing_verifier_is_refused_also_in_a_repetition() {
    let missing = || Case::with(|case| case.verifier = None);
    assert_eq!([missing().word(), missing().redeemed().word()], [("invalid_grant", "verifier_missing"); 2]);
}

#[test]
fn the_challenge_in_place_of_the_verifier_is_a_wrong_verifier() {
    let case = Case::with(|case| case.verifier = Some(CHALLENGE.to_owned()));
    assert_eq!(case.word(), ("invalid_grant", "verifier_mismatch"));
}

/// spec: oauth E8
#[test]
fn a_verifier_without_a_challenge_is_a_bad_request_and_the_code_stays_usable() {
    let with = Case::with(|case| case.code.challenge = None);
    let without = Case::with(|case| (case.code.challenge, case.verifier) = (None, None));
    assert_eq!([with.word(), without.word()], [("invalid_request", "verifier_unexpected"), ("issue", "")]);
}

#[test]
fn a_redirect_uri_that_is_not_the_one_of_the_request_is_refused_with_the_place() {
    let case = Case::with(|case| case.redirect_uri = Some("https://app.example/cb/".to_owned()));
    let error = TokenError::grant("redirect_uri_mismatch");
    assert_eq!(case.judge(), Redemption::Refuse { error, first_difference: Some(22) });
}

#[test]
fn another_port_of_the_loopback_address_is_another_redirect_uri() {
    let case = Case::with(|case| {
        case.code.redirect_uri = "http://127.0.0.1:51004/cb".to_owned();
        case.redirect_uri = Some("http://127.0.0.1:51005/cb".to_owned());
    });
    assert_eq!(case.word(), ("invalid_grant", "redirect_uri_mismatch"));
}

#[test]
fn a_redirect_uri_that_did_not_decode_is_another_one() {
    assert_eq!(Case::with(|case| case.redirect_uri = None).word(), ("invalid_grant", "redirect_uri_mismatch"));
}

#[test]
fn a_scope_in_the_request_changes_nothing() {
    let case = Case::with(|case| case.body = "scope=incidents:write+monitoring:read+bogus".to_owned());
    assert_eq!(issued(&case).map(|(scopes, _)| scopes), Some(scopes("monitoring:read alerts:write")));
}

#[test]
fn scopes_are_cut_to_what_the_app_may_have_now() {
    let case = Case::with(|case| case.app.scopes = scopes("alerts:write checks:read"));
    assert_eq!(issued(&case).map(|(scopes, _)| scopes), Some(scopes("alerts:write")));
}

#[test]
fn a_resource_narrows_the_audience() {
    let case = Case::with(|case| case.body = format!("resource={AUDIENCE}"));
    assert_eq!(issued(&case).map(|(_, resources)| resources), Some(vec![AUDIENCE.to_owned()]));
}

#[test]
fn a_chain_at_its_end_gives_nothing() {
    let case = Case::with(|case| case.grant.absolute_expires_at = Some(at(10)));
    assert_eq!(case.word(), ("invalid_grant", "grant_expired"));
}

#[test]
fn a_suspended_app_gets_nothing() {
    let case = Case::with(|case| case.app.status = crate::AppStatus::Suspended);
    assert_eq!(case.word(), ("invalid_grant", "app_was_suspended"));
}

#[test]
fn what_the_parser_reads_is_what_is_redeemed() {
    let text = crate::OpaqueToken::from_entropy(crate::TokenKind::Code, &crate::fixtures::entropy(1));
    let uri: String = url::form_urlencoded::byte_serialize(R.as_bytes()).collect();
    let body =
        ["grant_type=authorization_code&code=", text.expose(), "&redirect_uri=", &uri, "&code_verifier=", VERIFIER];
    let form = form(&body.concat());
    let Ok(TokenRequest::Code(request)) = TokenRequest::parse(&form, Endpoint::Token) else {
        panic!("a code's request")
    };
    let case = Case::new();
    let standing = Standing { grant: &case.grant, person_remains: true };
    let judged = redeem(&request, &form, &case.app, &case.code, standing, &known(), at(10));
    assert!(matches!(judged, Redemption::Issue { .. }));
}

proptest! {
    #[test]
    fn of_several_wrong_things_the_first_in_the_order_decides(wrong in proptest::collection::vec(any::<bool>(), 10)) {
        let held: Vec<Wrong> = WRONGS.into_iter().zip(wrong).filter_map(|(step, wrong)| wrong.then_some(step)).collect();
        let case = Case::with(|case| held.iter().for_each(|(change, ..)| change(case)));
        let expected = held.first().map_or(("issue", ""), |(_, code, reason)| (code, reason));
        prop_assert_eq!(case.word(), expected);
    }

    #[test]
    fn what_is_issued_is_in_the_grant_and_in_the_app(code in any::<u64>(), own in any::<u64>()) {
        let case = Case::with(|case| {
            case.code.scopes = ScopeSet::from_bits(code);
            case.app.scopes = ScopeSet::from_bits(own);
        });
        let given = issued(&case).map_or(ScopeSet::EMPTY, |(scopes, _)| scopes);
        prop_assert_eq!(given, ScopeSet::from_bits(code & own));
    }
}

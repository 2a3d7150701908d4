use proptest::prelude::*;

use super::*;
use crate::{
    app::AppStatus,
    fixtures::{AUDIENCE, CATALOG, CHALLENGE, ISSUER, R, app, at, grant, known, public_app, scopes},
    grant::GrantStatus,
};

const LOOP: &str = "http://127.0.0.1/cb";

/// `AZ` of the spec as pairs that are encoded already, with some of them set to another value or left out.
fn query(app: &App, changes: &[(&str, Option<&str>)]) -> String {
    let uri = app.redirect_uris[0].as_str();
    let usual = [
        ("response_type", "code"),
        ("client_id", app.client_id.as_str()),
        ("redirect_uri", uri),
        ("scope", "monitoring:read"),
        ("state", "st-12345678"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let mut pairs: Vec<(&str, &str)> =
        usual.into_iter().filter(|(name, _)| changes.iter().all(|(n, _)| n != name)).collect();
    pairs.extend(changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn judge_for(app: &App, query: &str) -> Result<Authorization, AuthorizeError> {
    let request = AuthorizeRequest::parse(query.as_bytes());
    let target = request.target(Some(app)).unwrap();
    request.judge(app, target, &CATALOG, &known())
}

fn judge(changes: &[(&str, Option<&str>)]) -> Result<Authorization, AuthorizeError> {
    judge_for(&app(), &query(&app(), changes))
}

/// The word on the wire, the reason, and whether the state is given back.
fn refused(changes: &[(&str, Option<&str>)]) -> (&'static str, &'static str, bool) {
    judge(changes).map_or_else(|error| (error.code.as_str(), error.reason, error.state.is_some()), |_| ("ok", "", true))
}

fn one(name: &str, value: &str) -> (&'static str, &'static str, bool) {
    refused(&[(name, Some(value))])
}

fn page(app: Option<&App>, changes: &[(&str, Option<&str>)]) -> &'static str {
    let held = app.cloned().unwrap_or_else(crate::fixtures::app);
    let request = AuthorizeRequest::parse(query(&held, changes).as_bytes());
    match request.client_id().and_then(|_| request.target(app)) {
        Ok(_) => "ok",
        Err(reason) => reason.as_str(),
    }
}

#[test]
fn a_client_id_that_is_not_one_ends_at_a_page() {
    let id = app().client_id;
    let ids = [None, Some(""), Some("nope"), Some("%00"), Some("%ff"), Some("sp_app_x"), Some("sp%5Fapp%5F%zz")];
    let judged = ids.map(|id| page(Some(&app()), &[("client_id", id)]));
    let twice = page(Some(&app()), &[("client_id", Some(&format!("{id}&client_id={id}")))]);
    assert_eq!((judged, twice), (["client_id_malformed"; 7], "client_id_malformed"));
}

#[test]
fn the_client_id_is_read() {
    let request = AuthorizeRequest::parse(query(&app(), &[]).as_bytes());
    assert_eq!(request.client_id(), Ok(app().client_id));
}

#[test]
fn an_unknown_or_deleted_app_ends_at_a_page() {
    let deleted = App { deleted_at: Some(at(-1)), ..app() };
    assert_eq!([page(None, &[]), page(Some(&deleted), &[])], ["client_unknown"; 2]);
}

#[test]
fn a_suspended_app_ends_at_a_page() {
    let suspended = App { status: AppStatus::Suspended, ..app() };
    assert_eq!(page(Some(&suspended), &[]), "app_suspended");
}

#[test]
fn a_redirect_uri_that_is_missing_repeated_or_does_not_decode_ends_at_a_page() {
    let twice = format!("{R}&redirect_uri={R}");
    let uris = [None, Some(""), Some("%00"), Some("%zz"), Some("%ff"), Some(&*twice)];
    assert_eq!(uris.map(|uri| page(Some(&app()), &[("redirect_uri", uri)])), ["redirect_uri_malformed"; 6]);
}

#[test]
fn another_redirect_uri_ends_at_a_page_and_the_owner_reads_where_it_differs() {
    let request =
        AuthorizeRequest::parse(query(&app(), &[("redirect_uri", Some("https://app.example/ct"))]).as_bytes());
    let mismatch = Mismatch { first_difference: 21 };
    assert_eq!(request.target(Some(&app())), Err(PageReason::RedirectUriMismatch(mismatch)));
}

#[test]
fn the_target_of_a_loopback_app_is_the_port_of_the_request() {
    let app = public_app(LOOP);
    let asked = "http://127.0.0.1:51004/cb";
    let request = AuthorizeRequest::parse(query(&app, &[("redirect_uri", Some(asked))]).as_bytes());
    assert_eq!(request.target(Some(&app)).as_deref(), Ok(asked));
}

#[test]
fn a_good_request_is_asked_about_with_everything_it_said() {
    let expected = Authorization {
        redirect_uri: R.to_owned(),
        state: Some("st-12345678".to_owned()),
        scopes: scopes("monitoring:read"),
        resources: Resources::from_stored(vec![ISSUER.to_owned()]),
        challenge: Challenge::parse(CHALLENGE),
        prompt: Prompt::Auto,
    };
    assert_eq!(judge(&[]), Ok(expected));
}

#[test]
fn an_error_goes_to_the_target_with_the_state() {
    let error = judge(&[("scope", Some("bogus"))]).unwrap_err();
    assert_eq!((error.redirect_uri.as_str(), error.state.as_deref()), (R, Some("st-12345678")));
}

#[test]
fn the_response_type_is_required() {
    let judged = [None, Some("")].map(|value| refused(&[("response_type", value)]));
    assert_eq!(judged, [("invalid_request", "response_type_missing", true); 2]);
}

#[test]
fn only_codes_are_given() {
    let types = ["token", "id_token", "code+token", "none", "Code", "code+", "+code", "%zz", "code,token"];
    let judged = types.map(|value| one("response_type", value));
    assert_eq!(judged, [("unsupported_response_type", "response_type_unsupported", true); 9]);
}

#[test]
fn only_the_query_carries_answers() {
    let modes = ["fragment", "form_post", "Query", "%zz"].map(|mode| one("response_mode", mode));
    assert_eq!(modes, [("invalid_request", "response_mode_unsupported", true); 4]);
}

#[test]
fn the_response_mode_may_be_said() {
    assert_eq!(["query", ""].map(|mode| one("response_mode", mode)), [("ok", "", true); 2]);
}

#[test]
fn without_a_challenge_an_app_that_requires_it_is_refused() {
    let none = [("code_challenge", None), ("code_challenge_method", None)];
    let public = public_app(LOOP);
    let lax = App { require_pkce: false, ..public_app(LOOP) };
    let judged = [app(), public, lax].map(|app| judge_for(&app, &query(&app, &none)).unwrap_err().reason);
    assert_eq!(judged, ["challenge_missing"; 3]);
}

#[test]
fn a_confidential_app_may_switch_the_challenge_off() {
    let app = App { require_pkce: false, ..app() };
    let asked = judge_for(&app, &query(&app, &[("code_challenge", None), ("code_challenge_method", Some(""))]));
    assert_eq!(asked.map(|asked| asked.challenge), Ok(None));
}

#[test]
fn a_challenge_that_is_not_required_keeps_its_rules() {
    let app = App { require_pkce: false, ..app() };
    let judged =
        |changes: &[(&str, Option<&str>)]| judge_for(&app, &query(&app, changes)).map_or_else(|e| e.reason, |_| "ok");
    let reasons = [
        judged(&[]),
        judged(&[("code_challenge", None)]),
        judged(&[("code_challenge_method", None)]),
        judged(&[("code_challenge_method", Some("plain"))]),
        judged(&[("code_challenge", Some("short"))]),
    ];
    let unsupported = "challenge_method_unsupported";
    assert_eq!(reasons, ["ok", "challenge_missing", unsupported, unsupported, "challenge_malformed"]);
}

#[test]
fn the_method_is_exactly_s256() {
    let methods = [Some("plain"), Some("s256"), Some("S256+"), Some("S512"), Some("%zz"), Some(""), None];
    let judged = methods.map(|method| refused(&[("code_challenge_method", method)]));
    assert_eq!(judged, [("invalid_request", "challenge_method_unsupported", true); 7]);
}

#[test]
fn a_method_without_a_challenge_is_refused() {
    assert_eq!(refused(&[("code_challenge", None)]), ("invalid_request", "challenge_missing", true));
}

#[test]
fn a_malformed_challenge_is_refused() {
    let longer = format!("{CHALLENGE}A");
    let texts =
        [&CHALLENGE[1..], &longer, "%00", &CHALLENGE.replace('-', "%2B")].map(|text| one("code_challenge", text));
    assert_eq!(texts, [("invalid_request", "challenge_malformed", true); 4]);
}

#[test]
fn scopes_that_do_not_exist_are_not_the_apps_or_are_malformed_are_refused() {
    let texts =
        ["bogus", "monitoring:read+bogus", "checks:read", "a%22b", "a%5Cb", "%zz"].map(|text| one("scope", text));
    let (unknown, malformed) = ("scope_unknown", "scope_malformed");
    let reasons = [unknown, unknown, "scope_not_allowed", malformed, malformed, malformed];
    assert_eq!(texts, reasons.map(|reason| ("invalid_scope", reason, true)));
}

#[test]
fn nothing_asked_is_the_default() {
    let asked = [None, Some("")].map(|value| judge(&[("scope", value)]).map(|asked| asked.scopes));
    assert_eq!(asked, [(); 2].map(|()| Ok(scopes("monitoring:read"))));
}

#[test]
fn nothing_asked_of_an_app_without_a_default_is_refused() {
    let app = App { default_scopes: ScopeSet::EMPTY, ..app() };
    let error = judge_for(&app, &query(&app, &[("scope", None)])).unwrap_err();
    assert_eq!((error.code.as_str(), error.reason), ("invalid_scope", "scope_missing"));
}

#[test]
fn blanks_and_commas_mix() {
    let asked = judge(&[("scope", Some("monitoring:read,alerts:write+,+monitoring:read"))]).unwrap();
    assert_eq!(scope_request::text(&CATALOG, asked.scopes), "monitoring:read alerts:write");
}

#[test]
fn a_missing_state_is_refused_where_it_is_required() {
    let judged = [None, Some("")].map(|value| refused(&[("state", value)]));
    assert_eq!(judged, [("invalid_request", "state_missing", false); 2]);
}

#[test]
fn a_state_that_is_not_required_may_be_left_out() {
    let app = App { require_state: false, ..app() };
    let states =
        [None, Some("x")].map(|value| judge_for(&app, &query(&app, &[("state", value)])).map(|asked| asked.state));
    assert_eq!(states, [Ok(None), Ok(Some("x".to_owned()))]);
}

#[test]
fn a_bad_state_is_never_given_back() {
    let long = "x".repeat(2_049);
    let states = ["a&state=a", "a&state=", "%zz", "%00", "%1f", "%7f", "%0a", "%C3%A9", "a%ff", &long];
    let judged = states.map(|state| one("state", state));
    assert_eq!(judged, [("invalid_request", "state_malformed", false); 10]);
}

#[test]
fn a_bad_state_is_refused_also_where_none_is_required() {
    let app = App { require_state: false, ..app() };
    let error = judge_for(&app, &query(&app, &[("state", Some("%00"))])).unwrap_err();
    assert_eq!((error.reason, error.state), ("state_malformed", None));
}

#[test]
fn a_state_has_every_visible_character_and_up_to_2048_of_them() {
    let all: String = (0x20..=0x7e).map(|byte: u8| format!("%{byte:02X}")).collect();
    let long = "x".repeat(2_048);
    let lengths =
        [&*all, &*long, "0"].map(|state| judge(&[("state", Some(state))]).map(|asked| asked.state.unwrap().len()));
    assert_eq!(lengths, [Ok(95), Ok(2_048), Ok(1)]);
}

#[test]
fn each_known_parameter_is_given_once() {
    let twice = |name: &&str| {
        let query = format!("{}&{name}=a&{name}=a", query(&app(), &[(name, None)]));
        judge_for(&app(), &query).is_err_and(|error| error.code == AuthorizeErrorCode::InvalidRequest)
    };
    // Client id and redirect URI end at a page before.
    let known = [
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    ];
    assert_eq!(known.iter().find(|name| !twice(name)), None);
}

#[test]
fn a_repetition_keeps_the_state() {
    assert_eq!(one("scope", "monitoring:read&scope=monitoring:read"), ("invalid_request", "parameter_repeated", true));
}

#[test]
fn unknown_parameters_are_ignored_also_twice() {
    assert_eq!(refused(&[("foo", Some("1&foo=2&bar[x]=3&%00=4"))]), ("ok", "", true));
}

#[test]
fn request_objects_have_codes_of_their_own() {
    let judged =
        [one("request", "x"), one("request_uri", "https://evil.example"), one("request", "%zz"), one("request", "")];
    let object = ("request_not_supported", "request_not_supported", true);
    let address = ("request_uri_not_supported", "request_uri_not_supported", true);
    assert_eq!(judged, [object, address, object, ("ok", "", true)]);
}

#[test]
fn resources_may_repeat() {
    let value = format!("{AUDIENCE}&resource={ISSUER}");
    let asked = judge(&[("resource", Some(&value))]).unwrap();
    assert_eq!(asked.resources.as_slice(), [AUDIENCE, ISSUER]);
}

#[test]
fn an_unknown_resource_is_refused() {
    let texts = ["https://evil.example", "%zz", "https://auth.example%23f"].map(|text| one("resource", text));
    assert_eq!(texts, [("invalid_target", "resource_unknown", true); 3]);
}

#[test]
fn a_prompt_is_read() {
    let prompts =
        ["none", "consent", "login", "", "None"].map(|text| judge(&[("prompt", Some(text))]).map(|asked| asked.prompt));
    assert_eq!(prompts, [Prompt::None, Prompt::Consent, Prompt::Auto, Prompt::Auto, Prompt::Auto].map(Ok));
}

#[test]
fn what_is_granted_is_in_all_four_sets() {
    let asked = scopes("monitoring:read alerts:write incidents:write");
    let ticked = ["monitoring:read", "alerts:write", "checks:read", "bogus"].into_iter();
    let grantable = scopes("monitoring:read incidents:write checks:read");
    let app = App { scopes: scopes("monitoring:read alerts:write checks:read"), ..app() };
    assert_eq!(granted(asked, ticked, &app, grantable, &CATALOG), Some(scopes("monitoring:read")));
}

#[test]
fn nothing_ticked_is_no_grant() {
    let asked = scopes("monitoring:read");
    assert_eq!(granted(asked, ["bogus"].into_iter(), &app(), CATALOG.all(), &CATALOG), None);
}

struct Memory {
    app: App,
    grant: crate::Grant,
    asked: &'static str,
    resource: &'static str,
    grantable: ScopeSet,
    now: i64,
}

impl Memory {
    fn new() -> Self {
        let grant = grant();
        Self { app: app(), grant, asked: "monitoring:read", resource: ISSUER, grantable: CATALOG.all(), now: 10_000 }
    }

    fn remembers(&self) -> bool {
        let asked = Authorization {
            scopes: scopes(self.asked),
            resources: Resources::from_stored(vec![self.resource.to_owned()]),
            ..judge(&[]).unwrap()
        };
        let organization = app().organization_id;
        let grants = std::slice::from_ref(&self.grant);
        is_remembered(&asked, &self.app, organization, self.grantable, grants, &known(), at(self.now))
    }
}

#[test]
fn a_decision_of_the_same_person_is_remembered() {
    assert!(Memory::new().remembers());
}

#[test]
fn a_public_app_is_always_asked_about() {
    let mut memory = Memory::new();
    memory.app.kind = AppKind::Public;
    assert!(!memory.remembers());
}

#[test]
fn one_scope_more_is_asked_about() {
    let memory = Memory { asked: "monitoring:read checks:read", ..Memory::new() };
    assert!(!memory.remembers());
}

#[test]
fn another_resource_is_asked_about() {
    let memory = Memory { resource: "https://other.example", ..Memory::new() };
    assert!(!memory.remembers());
}

#[test]
fn a_scope_that_the_person_may_no_longer_give_is_asked_about() {
    let memory = Memory { grantable: scopes("alerts:write"), ..Memory::new() };
    assert!(!memory.remembers());
}

#[test]
fn a_revoked_grant_is_forgotten() {
    let mut memory = Memory::new();
    memory.grant.status = GrantStatus::Revoked;
    assert!(!memory.remembers());
}

#[test]
fn a_grant_of_another_organization_decides_nothing() {
    let mut memory = Memory::new();
    memory.grant.organization_id = OrganizationId::from_uuid(uuid::Uuid::from_u128(9));
    assert!(!memory.remembers());
}

#[test]
fn a_grant_of_another_app_decides_nothing() {
    let mut memory = Memory::new();
    memory.grant.app_id = public_app(LOOP).id;
    assert!(!memory.remembers());
}

#[test]
fn what_an_app_holds_for_itself_decides_nothing() {
    let mut memory = Memory::new();
    memory.grant.user_id = None;
    assert!(!memory.remembers());
}

#[test]
fn a_grant_of_before_the_app_was_suspended_is_forgotten() {
    let mut memory = Memory::new();
    memory.app.tokens_valid_from = at(1);
    assert!(!memory.remembers());
}

#[test]
fn a_grant_at_the_end_of_its_chain_is_forgotten() {
    let memory = Memory { now: crate::grant::ABSOLUTE_DAYS * 86_400, ..Memory::new() };
    assert!(!memory.remembers());
}

proptest! {
    #[test]
    fn a_state_is_given_back_byte_for_byte(state in "[ -~]{1,64}") {
        let encoded: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
        prop_assert_eq!(judge(&[("state", Some(&encoded))]).map(|asked| asked.state), Ok(Some(state)));
    }

    #[test]
    fn only_a_valid_state_is_ever_given_back(state in any::<String>()) {
        let encoded: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
        let given = judge(&[("state", Some(&encoded))]).map_or_else(|error| error.state, |asked| asked.state);
        prop_assert!(given.is_none_or(|given| given == state && given.bytes().all(|byte| matches!(byte, 0x20..=0x7e))));
    }

    #[test]
    fn whatever_is_asked_ends_at_a_page_or_at_the_one_address(tail in "(&[a-z_]{1,14}=[ -~]{0,20}){0,4}") {
        let request = AuthorizeRequest::parse(format!("{}{tail}", query(&app(), &[])).as_bytes());
        prop_assert!(request.target(Some(&app())).map_or(true, |target| target == R));
    }

    #[test]
    fn nothing_is_granted_beyond_any_of_the_sets(asked in any::<u64>(), ticked in any::<u64>(), own in any::<u64>(), role in any::<u64>()) {
        let set = |bits| ScopeSet::from_bits(bits).intersection(CATALOG.all());
        let app = App { scopes: set(own), ..app() };
        let names = CATALOG.names(set(ticked));
        let given = granted(set(asked), names.into_iter(), &app, set(role), &CATALOG).unwrap_or(ScopeSet::EMPTY);
        prop_assert_eq!(given, set(asked & ticked & own & role));
    }
}

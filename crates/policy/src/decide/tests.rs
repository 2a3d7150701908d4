use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::allowlist::{AllowAny, Allowlist};
use crate::environment::{Environment, EnvironmentSet};
use crate::scope::ScopeSet;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn catalog() -> Catalog {
    Catalog::builtin().unwrap()
}

fn list(entry: &str) -> Allowlist {
    Allowlist::parse(&[entry], AllowAny::No).unwrap()
}

fn client(ip: &str) -> ClientAddress {
    ClientAddress::Known(ip.parse::<IpAddr>().unwrap())
}

fn grant(catalog: &Catalog, scopes: &[&str]) -> Grant<'static> {
    Grant {
        environment: Environment::Production,
        scopes: catalog.parse_scopes(scopes).unwrap_or_default(),
        allowlist: None,
        organization_allowlist: None,
        revoked_from: None,
        expires_at: at(1_000),
        disabled: false,
    }
}

fn request<'c>(catalog: &'c Catalog, method: &str, path: &str) -> Request<'c> {
    Request { client: client("203.0.113.7"), served: Served::Any, requirement: catalog.requirement(method, path) }
}

/// The verdict on a call to this endpoint by a credential with these scopes, and nothing else against it.
fn verdict(scopes: &[&str], method: &str, path: &str) -> Code {
    let catalog = catalog();
    decide(&grant(&catalog, scopes), &request(&catalog, method, path), &catalog, at(1))
        .map_or_else(|denial| denial.code, |()| Code::Allowed)
}

fn served_alone(key: Environment, served: Environment) -> Result<(), Code> {
    let catalog = catalog();
    let grant = Grant { environment: key, ..grant(&catalog, &["checks:read"]) };
    let request = Request {
        served: Served::Only(EnvironmentSet::EMPTY.with(served)),
        ..request(&catalog, "GET", "/api/v1/checks")
    };
    decide(&grant, &request, &catalog, at(1)).map_err(|denial| denial.code)
}

/// spec: policy P1
#[test]
fn a_scope_of_another_endpoint_does_not_help() {
    let catalog = catalog();
    assert_eq!(
        decide(&grant(&catalog, &["routes:read"]), &request(&catalog, "POST", "/api/v1/incidents"), &catalog, at(1)),
        Err(Denial {
            code: Code::InsufficientScope,
            required_scope: Some("incidents:write"),
            reason: Reason::Code(Code::InsufficientScope)
        })
    );
}

#[test]
fn writing_does_not_include_reading() {
    assert_eq!(verdict(&["incidents:write"], "GET", "/api/v1/incidents"), Code::InsufficientScope);
}

/// spec: policy P6
#[test]
fn a_credential_without_scopes_is_refused_everywhere() {
    let catalog = catalog();
    let public =
        Request { requirement: Requirement::Public { route: "/v1/keys/self" }, ..request(&catalog, "GET", "/") };
    let calls = [request(&catalog, "GET", "/api/v1/checks"), public];
    assert_eq!(
        calls.map(|call| decide(&grant(&catalog, &[]), &call, &catalog, at(1)).map_err(|denial| denial.code)),
        [Err(Code::InsufficientScope); 2]
    );
}

/// spec: policy P7
#[test]
fn an_analytics_credential_with_a_forced_scope_gains_nothing() {
    let catalog = catalog();
    let grant =
        Grant { environment: Environment::Analytics, ..grant(&catalog, &["incidents:write", "incidents:read"]) };
    let calls = ["GET", "POST"].map(|method| request(&catalog, method, "/api/v1/incidents"));
    assert_eq!(
        calls.map(|call| decide(&grant, &call, &catalog, at(1)).map_err(|denial| denial.code)),
        [Ok(()), Err(Code::InsufficientScope)]
    );
}

#[test]
fn a_bit_that_the_catalog_does_not_know_allows_nothing() {
    let catalog = catalog();
    let grant = Grant { scopes: ScopeSet::from_bits(1 << 63), ..grant(&catalog, &[]) };
    let public = Request { requirement: Requirement::Public { route: "/" }, ..request(&catalog, "GET", "/") };
    assert_eq!(decide(&grant, &public, &catalog, at(1)).map_err(|denial| denial.reason), Err(Reason::NoScopes));
}

/// spec: policy P9
#[test]
fn a_key_of_another_environment_is_not_served() {
    assert_eq!(
        [
            served_alone(Environment::Staging, Environment::Production),
            served_alone(Environment::Production, Environment::Staging)
        ],
        [Err(Code::EnvironmentMismatch); 2]
    );
}

/// spec: policy P10
#[test]
fn an_analytics_key_is_not_served_with_production() {
    assert_eq!(served_alone(Environment::Analytics, Environment::Production), Err(Code::EnvironmentMismatch));
}

#[test]
fn a_key_of_the_served_environment_passes() {
    assert_eq!(Environment::ALL.map(|environment| served_alone(environment, environment)), [Ok(()); 3]);
}

/// spec: policy P13
#[test]
fn head_is_allowed_where_get_is() {
    assert_eq!(verdict(&["checks:read"], "HEAD", "/api/v1/checks"), Code::Allowed);
}

/// spec: policy P14
#[test]
fn harmless_spellings_of_a_path_are_allowed() {
    let paths = ["/api/v1/checks/", "/api/v1/%63hecks", "/api/v1/checks?x=/../"];
    assert_eq!(paths.map(|path| verdict(&["checks:read"], "GET", path)), [Code::Allowed; 3]);
}

/// spec: policy P15
#[test]
fn ambiguous_paths_are_refused_to_every_scope() {
    let catalog = catalog();
    let grant = Grant { scopes: catalog.all(), ..grant(&catalog, &[]) };
    let paths = [
        "/api/v1//checks",
        "/api/v1/checks/../incidents",
        "/api/v1/checks/%2e%2e/incidents",
        "/api/v1/checks%2f..%2fincidents",
    ];
    assert_eq!(
        paths.map(|path| decide(&grant, &request(&catalog, "GET", path), &catalog, at(1))
            .map_err(|denial| (denial.code, denial.reason.as_str()))),
        [Err((Code::InsufficientScope, "path_not_canonical")); 4]
    );
}

/// spec: policy P16
#[test]
fn exporting_metrics_is_for_the_export_scope_alone() {
    let path = "/api/v1/metrics/export";
    assert_eq!(
        [verdict(&["metrics:read"], "GET", path), verdict(&["metrics:export"], "GET", path)],
        [Code::InsufficientScope, Code::Allowed]
    );
}

/// spec: policy P17
#[test]
fn a_path_under_no_rule_is_refused_to_every_scope() {
    let catalog = catalog();
    let grant = Grant { scopes: catalog.all(), ..grant(&catalog, &[]) };
    assert_eq!(
        ["/api/v2/checks", "/"].map(|path| decide(&grant, &request(&catalog, "GET", path), &catalog, at(1))
            .map_err(|denial| denial.reason.as_str())),
        [Err("no_rule"); 2]
    );
}

#[test]
fn a_rule_whose_scope_does_not_exist_refuses_every_scope() {
    let catalog = catalog();
    let grant = Grant { scopes: ScopeSet::from_bits(u64::MAX), ..grant(&catalog, &[]) };
    assert_eq!(
        decide(&grant, &request(&catalog, "POST", "/api/v1/metrics"), &catalog, at(1)),
        Err(Denial {
            code: Code::InsufficientScope,
            required_scope: Some("metrics:write"),
            reason: Reason::Route(RefusedRoute::UnknownScope)
        })
    );
}

/// spec: policy P28
#[test]
fn a_mapped_client_passes_the_list_of_its_ipv4_network() {
    let (catalog, list) = (catalog(), list("10.0.0.0/8"));
    let grant = Grant { allowlist: Some(&list), ..grant(&catalog, &["checks:read"]) };
    let request = Request { client: client("::ffff:10.1.2.3"), ..request(&catalog, "GET", "/api/v1/checks") };
    assert_eq!(decide(&grant, &request, &catalog, at(1)), Ok(()));
}

/// spec: policy P36
#[test]
fn an_unknown_address_is_refused_by_a_list() {
    let (catalog, list) = (catalog(), list("10.0.0.0/8"));
    let grant = Grant { allowlist: Some(&list), ..grant(&catalog, &["checks:read"]) };
    let request = Request { client: ClientAddress::Unknown, ..request(&catalog, "GET", "/api/v1/checks") };
    assert_eq!(decide(&grant, &request, &catalog, at(1)).map_err(|denial| denial.code), Err(Code::IpNotAllowed));
}

#[test]
fn an_unknown_address_is_judged_on_without_a_list() {
    let catalog = catalog();
    let request = Request { client: ClientAddress::Unknown, ..request(&catalog, "GET", "/api/v1/checks") };
    assert_eq!(decide(&grant(&catalog, &["checks:read"]), &request, &catalog, at(1)), Ok(()));
}

#[test]
fn both_lists_must_allow_and_the_refusing_one_is_told() {
    let (catalog, holds, lacks) = (catalog(), list("203.0.113.0/24"), list("10.0.0.0/8"));
    let request = request(&catalog, "GET", "/api/v1/checks");
    let verdict = |key, organization| {
        let grant = Grant {
            allowlist: Some(key),
            organization_allowlist: Some(organization),
            ..grant(&catalog, &["checks:read"])
        };
        decide(&grant, &request, &catalog, at(1)).map_err(|denial| (denial.reason.list(), denial.reason.as_str()))
    };
    assert_eq!(
        [verdict(&holds, &holds), verdict(&lacks, &holds), verdict(&holds, &lacks), verdict(&lacks, &lacks)],
        [
            Ok(()),
            Err((Some("key"), "ip_not_allowed")),
            Err((Some("organization"), "ip_not_allowed")),
            Err((Some("key"), "ip_not_allowed"))
        ]
    );
}

#[test]
fn an_empty_list_refuses_every_address() {
    let (catalog, nothing) = (catalog(), Allowlist::from_cidrs(Vec::new()));
    let grant = Grant { allowlist: Some(&nothing), ..grant(&catalog, &["checks:read"]) };
    let request = request(&catalog, "GET", "/api/v1/checks");
    assert_eq!(decide(&grant, &request, &catalog, at(1)).map_err(|denial| denial.code), Err(Code::IpNotAllowed));
}

/// spec: policy P37
#[test]
fn an_unlisted_address_is_told_before_anything_else() {
    let (catalog, list) = (catalog(), list("10.0.0.0/8"));
    let listed = Grant { allowlist: Some(&list), ..grant(&catalog, &["routes:read"]) };
    let grants = [
        Grant { expires_at: at(0), ..listed },
        Grant { revoked_from: Some(at(0)), ..listed },
        Grant { disabled: true, ..listed },
        listed,
    ];
    let request = Request { served: Served::Only(EnvironmentSet::EMPTY), ..request(&catalog, "GET", "/api/v1/checks") };
    assert_eq!(
        grants.map(|grant| decide(&grant, &request, &catalog, at(1)).map_err(|denial| denial.code)),
        [Err(Code::IpNotAllowed); 4]
    );
}

#[test]
fn the_state_comes_before_the_environment_and_that_before_the_scope() {
    let catalog = catalog();
    let grant = grant(&catalog, &["routes:read"]);
    let request = request(&catalog, "GET", "/api/v1/checks");
    let unserved = Request { served: Served::Only(EnvironmentSet::EMPTY), ..request };
    let dead = Grant { disabled: true, ..grant };
    assert_eq!(
        [(dead, unserved), (grant, unserved), (grant, request)].map(|(grant, request)| decide(
            &grant,
            &request,
            &catalog,
            at(1)
        )
        .map_err(|denial| denial.code)),
        [Err(Code::Disabled), Err(Code::EnvironmentMismatch), Err(Code::InsufficientScope)]
    );
}

#[test]
fn each_state_has_its_code() {
    let catalog = catalog();
    let active = grant(&catalog, &["checks:read"]);
    let grants = [
        active,
        Grant { revoked_from: Some(at(1)), ..active },
        Grant { expires_at: at(1), ..active },
        Grant { disabled: true, ..active },
    ];
    let request = request(&catalog, "GET", "/api/v1/checks");
    assert_eq!(
        grants.map(|grant| admit(&grant, &request, at(1)).map_err(|denial| denial.code)),
        [Ok(()), Err(Code::Revoked), Err(Code::Expired), Err(Code::Disabled)]
    );
}

#[test]
fn a_public_endpoint_still_judges_the_credential() {
    let catalog = catalog();
    let public = Request { requirement: Requirement::Public { route: "/" }, ..request(&catalog, "GET", "/") };
    let active = grant(&catalog, &["checks:read"]);
    let grants = [active, Grant { disabled: true, ..active }];
    assert_eq!(
        grants.map(|grant| decide(&grant, &public, &catalog, at(1)).map_err(|denial| denial.code)),
        [Ok(()), Err(Code::Disabled)]
    );
}

#[test]
fn every_code_has_the_status_of_the_contract() {
    let codes = [
        Code::Allowed,
        Code::Missing,
        Code::Malformed,
        Code::Unknown,
        Code::Revoked,
        Code::Expired,
        Code::Disabled,
        Code::EnvironmentMismatch,
        Code::IpNotAllowed,
        Code::InsufficientScope,
        Code::RateLimited,
        Code::Unavailable,
    ];
    assert_eq!(
        codes.map(|code| (code.as_str(), code.http_status())),
        [
            ("allowed", 200),
            ("missing", 401),
            ("malformed", 401),
            ("unknown", 401),
            ("revoked", 401),
            ("expired", 401),
            ("disabled", 401),
            ("environment_mismatch", 401),
            ("ip_not_allowed", 403),
            ("insufficient_scope", 403),
            ("rate_limited", 429),
            ("unavailable", 503),
        ]
    );
}

proptest! {
    #[test]
    fn the_whole_decision_is_its_two_halves_in_order(
        bits: u64, listed: bool, revoked: bool, expired: bool, disabled: bool, served: bool, analytics: bool,
        path in prop::sample::select(vec!["/api/v1/checks", "/api/v1/incidents", "/nowhere", "//"]),
        method in prop::sample::select(vec!["GET", "POST"]),
    ) {
        let (catalog, network) = (catalog(), list("203.0.113.0/24"));
        let grant = Grant {
            environment: if analytics { Environment::Analytics } else { Environment::Production },
            scopes: ScopeSet::from_bits(bits),
            allowlist: Some(&network),
            organization_allowlist: None,
            revoked_from: revoked.then(|| at(0)),
            expires_at: at(if expired { 0 } else { 9 }),
            disabled,
        };
        let request = Request {
            client: client(if listed { "203.0.113.7" } else { "198.51.100.9" }),
            served: if served { Served::Any } else { Served::Only(EnvironmentSet::EMPTY) },
            requirement: catalog.requirement(method, path),
        };
        let halves = admit(&grant, &request, at(1)).and_then(|()| authorize(&grant, &request, &catalog));
        prop_assert_eq!(decide(&grant, &request, &catalog, at(1)), halves);
    }
}

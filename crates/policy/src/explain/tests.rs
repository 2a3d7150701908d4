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

fn grant(catalog: &Catalog) -> Grant<'static> {
    Grant {
        environment: Environment::Production,
        scopes: catalog.parse_scopes(["checks:read"]).unwrap(),
        allowlist: None,
        organization_allowlist: None,
        revoked_from: None,
        expires_at: at(1_000),
        disabled: false,
    }
}

fn request<'c>(catalog: &'c Catalog, path: &str) -> Request<'c> {
    Request {
        client: ClientAddress::Known("203.0.113.7".parse().unwrap()),
        served: Served::Any,
        requirement: catalog.requirement("GET", path),
    }
}

fn outcomes(explanation: &Explanation) -> Vec<(StepName, Outcome)> {
    explanation.steps.iter().map(|step| (step.step, step.outcome)).collect()
}

fn detail(explanation: &Explanation, name: StepName) -> &str {
    explanation.steps.iter().find(|step| step.step == name).map_or("", |step| &step.detail)
}

#[test]
fn an_allowed_call_has_six_steps_and_none_fails() {
    let (catalog, list) = (catalog(), list("203.0.113.0/24"));
    let grant = Grant { allowlist: Some(&list), ..grant(&catalog) };
    let request = Request {
        served: Served::Only(EnvironmentSet::EMPTY.with(Environment::Production)),
        ..request(&catalog, "/api/v1/checks")
    };
    let explanation = explain(&grant, &request, &catalog, at(1));
    assert_eq!(
        (explanation.allowed(), explanation.status(), outcomes(&explanation)),
        (
            true,
            200,
            vec![
                (StepName::ClientAddress, Outcome::Pass),
                (StepName::Allowlist, Outcome::Pass),
                (StepName::State, Outcome::Pass),
                (StepName::Environment, Outcome::Pass),
                (StepName::Scope, Outcome::Pass),
                (StepName::Rate, Outcome::Skipped),
            ]
        )
    );
}

/// spec: policy P56
#[test]
fn a_call_refused_for_address_and_scope_fails_in_both_steps() {
    let (catalog, list) = (catalog(), list("10.0.0.0/8"));
    let grant = Grant { allowlist: Some(&list), ..grant(&catalog) };
    let explanation = explain(&grant, &request(&catalog, "/api/v1/incidents"), &catalog, at(1));
    let failed: Vec<_> = outcomes(&explanation)
        .into_iter()
        .filter(|(_, outcome)| *outcome == Outcome::Fail)
        .map(|(step, _)| step)
        .collect();
    assert_eq!((explanation.code, failed), (Code::IpNotAllowed, vec![StepName::Allowlist, StepName::Scope]));
}

#[test]
fn the_list_that_refused_is_told() {
    let (catalog, holds, lacks) = (catalog(), list("203.0.113.0/24"), list("10.0.0.0/8"));
    let told = |key, organization| {
        let grant = Grant { allowlist: Some(key), organization_allowlist: Some(organization), ..grant(&catalog) };
        let explanation = explain(&grant, &request(&catalog, "/api/v1/checks"), &catalog, at(1));
        detail(&explanation, StepName::Allowlist).to_owned()
    };
    assert_eq!(
        [told(&lacks, &holds), told(&holds, &lacks), told(&lacks, &lacks)],
        [
            "the key's list does not hold 203.0.113.7",
            "the organization's list does not hold 203.0.113.7",
            "the key's list and the organization's do not hold 203.0.113.7"
        ]
    );
}

#[test]
fn the_end_of_a_key_is_told_as_a_time() {
    let catalog = catalog();
    let explanation = explain(&grant(&catalog), &request(&catalog, "/api/v1/checks"), &catalog, at(2_000));
    assert_eq!(detail(&explanation, StepName::State), "the key has expired at 1970-01-01T00:16:40Z");
}

#[test]
fn an_unknown_address_is_told_and_fails_only_at_a_list() {
    let (catalog, list) = (catalog(), list("10.0.0.0/8"));
    let request = Request { client: ClientAddress::Unknown, ..request(&catalog, "/api/v1/checks") };
    let grants = [grant(&catalog), Grant { allowlist: Some(&list), ..grant(&catalog) }];
    assert_eq!(
        grants.map(|grant| outcomes(&explain(&grant, &request, &catalog, at(1)))
            .into_iter()
            .take(2)
            .map(|(_, outcome)| outcome)
            .collect::<Vec<_>>()),
        [vec![Outcome::Skipped, Outcome::Skipped], vec![Outcome::Skipped, Outcome::Fail]]
    );
}

#[test]
fn a_scope_that_does_not_exist_is_told_by_name() {
    let catalog = catalog();
    let request = Request { requirement: catalog.requirement("POST", "/api/v1/metrics"), ..request(&catalog, "/") };
    assert_eq!(
        detail(&explain(&grant(&catalog), &request, &catalog, at(1)), StepName::Scope),
        "the rule needs `metrics:write`, which does not exist, so nobody may do this"
    );
}

proptest! {
    #[test]
    fn an_explanation_gives_the_code_of_the_decision(
        bits: u64, listed: bool, own: bool, revoked: bool, expired: bool, disabled: bool, served: bool,
        path in prop::sample::select(vec!["/api/v1/checks", "/api/v1/incidents", "/nowhere", "//"]),
    ) {
        let (catalog, network) = (catalog(), list(if listed { "203.0.113.0/24" } else { "10.0.0.0/8" }));
        let grant = Grant {
            scopes: ScopeSet::from_bits(bits),
            allowlist: own.then_some(&network),
            organization_allowlist: (!own).then_some(&network),
            revoked_from: revoked.then(|| at(0)),
            expires_at: at(if expired { 0 } else { 9 }),
            disabled,
            ..grant(&catalog)
        };
        let served = if served { Served::Any } else { Served::Only(EnvironmentSet::EMPTY) };
        let request = Request { served, ..request(&catalog, path) };
        let decided = crate::decide::decide(&grant, &request, &catalog, at(1)).err().map_or(Code::Allowed, |denial| denial.code);
        prop_assert_eq!(explain(&grant, &request, &catalog, at(1)).code, decided);
    }
}

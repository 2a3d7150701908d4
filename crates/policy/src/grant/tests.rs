use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn grant(revoked_from: Option<i64>, disabled: bool) -> Grant<'static> {
    Grant {
        environment: Environment::Production,
        scopes: ScopeSet::EMPTY,
        allowlist: None,
        organization_allowlist: None,
        revoked_from: revoked_from.map(at),
        expires_at: at(1_000),
        disabled,
    }
}

#[test]
fn a_grant_is_expired_from_the_instant_on() {
    assert_eq!(
        [999, 1_000, 1_001].map(|now| grant(None, false).state(at(now)).as_str()),
        ["active", "expired", "expired"]
    );
}

#[test]
fn a_grant_is_revoked_from_the_instant_on() {
    assert_eq!(
        [499, 500, 501].map(|now| grant(Some(500), false).state(at(now)).as_str()),
        ["active", "revoked", "revoked"]
    );
}

#[test]
fn a_nanosecond_before_the_instant_a_grant_is_still_active() {
    assert_eq!(grant(None, false).state(at(1_000) - chrono::TimeDelta::nanoseconds(1)), State::Active);
}

#[test]
fn revoked_comes_before_expired_and_expired_before_disabled() {
    assert_eq!(
        [grant(Some(500), true).state(at(2_000)), grant(None, true).state(at(2_000)), grant(None, true).state(at(1))],
        [State::Revoked, State::Expired, State::Disabled]
    );
}

#[test]
fn a_revocation_to_come_leaves_a_grant_disabled_meanwhile() {
    assert_eq!(grant(Some(500), true).state(at(1)), State::Disabled);
}

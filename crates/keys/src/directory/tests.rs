use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::key::tests::{key, version};

fn organization(sequence: i64) -> OrganizationPolicy {
    OrganizationPolicy {
        id: key().organization_id,
        slug: "acme".into(),
        allowlist: None,
        caps: LifespanCaps::default(),
        reuse_policy: ReusePolicy::Alert,
        sequence,
    }
}

fn snapshot(sequence: i64, versions: &[i32]) -> KeySnapshot {
    let mut key = key();
    key.sequence = sequence;
    KeySnapshot { key, versions: versions.iter().map(|number| version(*number)).collect() }
}

fn directory() -> Directory {
    let directory = Directory::new();
    directory.apply_organization(organization(1));
    directory
}

fn digest(number: u8) -> LookupId {
    LookupId::from_bytes([number; 32])
}

#[test]
fn a_key_is_found_by_its_digest_only() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    assert_eq!([directory.find(&digest(1)).is_some(), directory.find(&digest(2)).is_some()], [true, false]);
}

#[test]
fn a_digest_that_shares_the_first_half_is_not_found() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    let mut bytes = [1; 32];
    bytes[31] = 9;
    assert!(directory.find(&LookupId::from_bytes(bytes)).is_none());
}

/// spec: policy P51
#[test]
fn an_older_change_never_overwrites_a_newer_one() {
    let directory = directory();
    let mut revoked = snapshot(5, &[1]);
    revoked.key.revoked_at = Some(DateTime::UNIX_EPOCH);
    let applied = [directory.apply_key(revoked), directory.apply_key(snapshot(4, &[1]))];
    let held = directory.find(&digest(1)).unwrap().key.key.revoked_at;
    assert_eq!((applied, held), ([Applied::Newer, Applied::Stale], Some(DateTime::UNIX_EPOCH)));
}

#[test]
fn a_rotation_changes_both_versions_in_one_step() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    let before = directory.find(&digest(1)).unwrap();
    directory.apply_key(snapshot(2, &[1, 2]));
    let (old, new) = (directory.find(&digest(1)).unwrap(), directory.find(&digest(2)).unwrap());
    assert_eq!((before.key.key.sequence, Arc::ptr_eq(&old.key, &new.key)), (1, true));
}

#[test]
fn a_digest_that_was_replaced_is_no_longer_found() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    let mut reindexed = snapshot(2, &[1]);
    reindexed.versions[0].lookup_id = Some(digest(9));
    directory.apply_key(reindexed);
    assert_eq!([directory.find(&digest(1)).is_some(), directory.find(&digest(9)).is_some()], [false, true]);
}

#[test]
fn a_key_of_an_unknown_organization_waits_for_it() {
    assert_eq!(Directory::new().apply_key(snapshot(1, &[1])), Applied::UnknownOrganization);
}

#[test]
fn a_change_of_the_organization_reaches_all_of_its_keys() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    let caps = LifespanCaps { production: 30, ..LifespanCaps::default() };
    directory.apply_organization(OrganizationPolicy { caps, ..organization(2) });
    assert_eq!(directory.find(&digest(1)).unwrap().organization.caps, caps);
}

#[test]
fn the_outcome_of_the_check_survives_a_change_of_policy_but_not_of_the_secret() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    directory.find(&digest(1)).unwrap().slot.record_check(true);
    directory.apply_key(snapshot(2, &[1]));
    let kept = directory.find(&digest(1)).unwrap().slot.secret_check();
    let mut other = snapshot(3, &[1]);
    let token = crate::Token::from_entropy(crate::Prefix::Live, &[1; 44]);
    let hash = crate::SecretHash::make(&token, crate::BcryptCost::DEFAULT, [0; 16]).unwrap();
    other.versions[0].secret_hash = Some(Ok(hash));
    directory.apply_key(other);
    let reset = directory.find(&digest(1)).unwrap().slot.secret_check();
    assert_eq!([kept, reset], [SecretCheck::Passed, SecretCheck::Due]);
}

#[test]
fn a_failed_check_is_final() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    let slot = directory.find(&digest(1)).unwrap().slot;
    slot.record_check(false);
    slot.record_check(true);
    assert_eq!(slot.secret_check(), SecretCheck::Failed);
}

#[test]
fn keys_of_different_ids_do_not_disturb_each_other() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    let mut other = snapshot(2, &[2]);
    other.key.id = statuspulse_policy::KeyId::from_uuid(Uuid::from_u128(77));
    directory.apply_key(other);
    assert_eq!((directory.len(), directory.find(&digest(1)).is_some()), (2, true));
}

#[test]
fn a_key_that_cannot_be_read_is_not_found_any_more() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[1]));
    directory.forget_key(key().id, 2);
    assert!(directory.find(&digest(1)).is_none());
}

#[test]
fn a_key_that_became_readable_since_stays() {
    let directory = directory();
    directory.apply_key(snapshot(3, &[1]));
    directory.forget_key(key().id, 2);
    assert!(directory.find(&digest(1)).is_some());
}

#[test]
fn after_the_feed_went_back_lower_numbers_count_again() {
    let directory = directory();
    directory.apply_key(snapshot(9, &[1]));
    directory.clear();
    directory.apply_organization(organization(1));
    assert_eq!(directory.apply_key(snapshot(2, &[1])), Applied::Newer);
}

#[test]
fn a_version_that_is_not_held_is_found_in_a_snapshot() {
    let directory = directory();
    directory.apply_key(snapshot(1, &[2]));
    let found = directory.find_in(snapshot(1, &[1, 2]), &digest(1)).unwrap();
    assert_eq!(found.version().unwrap().number, 1);
}

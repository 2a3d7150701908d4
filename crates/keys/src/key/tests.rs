use super::*;

pub(crate) fn key() -> Key {
    Key {
        id: KeyId::from_uuid(uuid::Uuid::from_u128(1)),
        organization_id: OrganizationId::from_uuid(uuid::Uuid::from_u128(2)),
        environment: Environment::Production,
        name: "deploy".into(),
        scopes: ScopeSet::from_bits(0b11),
        allowlist: None,
        allow_any: false,
        allowlist_notes: BTreeMap::new(),
        rate_limit_per_minute: None,
        lifespan: Duration::days(90),
        auto_rotate: false,
        successor_public_key: None,
        canary: false,
        current_version: 1,
        created_at: DateTime::UNIX_EPOCH,
        created_by: Creator::Operator("root".into()),
        disabled_at: None,
        revoked_at: None,
        revoke_reason: None,
        last_used_at: None,
        last_used_ips: Vec::new(),
        sequence: 1,
    }
}

pub(crate) fn version(number: i32) -> KeyVersion {
    let end = DateTime::UNIX_EPOCH + Duration::days(90);
    KeyVersion {
        id: KeyVersionId::from_uuid(uuid::Uuid::from_u128(100 + number as u128)),
        number,
        state: VersionState::Live,
        lookup_id: Some(LookupId::from_bytes([number as u8; 32])),
        pepper_version: 1,
        secret_hash: None,
        hint: "sp_live_AAAA…".into(),
        created_at: DateTime::UNIX_EPOCH,
        expires_at: end,
        valid_until: end,
        claimed_at: None,
    }
}

fn status_on_day(key: &Key, day: i64) -> Status {
    key.status(&version(1), &LifespanCaps::default(), DateTime::UNIX_EPOCH + Duration::days(day))
}

#[test]
fn a_key_is_expired_from_the_instant_of_its_end() {
    assert_eq!([status_on_day(&key(), 89), status_on_day(&key(), 90)], [Status::Active, Status::Expired]);
}

#[test]
fn revoked_wins_over_expired_and_expired_over_disabled() {
    let mut disabled = key();
    disabled.disabled_at = Some(DateTime::UNIX_EPOCH);
    let mut revoked = disabled.clone();
    revoked.revoked_at = Some(DateTime::UNIX_EPOCH);
    let statuses = [status_on_day(&disabled, 1), status_on_day(&disabled, 90), status_on_day(&revoked, 90)];
    assert_eq!(statuses, [Status::Disabled, Status::Expired, Status::Revoked]);
}

fn standing(key: &Key, version: &KeyVersion, day: i64) -> Standing {
    key.standing(version, &LifespanCaps::default(), DateTime::UNIX_EPOCH + Duration::days(day))
}

#[test]
fn each_stored_state_has_its_standing_while_its_time_lasts() {
    let of = |state| standing(&key(), &KeyVersion { state, ..version(1) }, 89);
    let states = [VersionState::Live, VersionState::Superseded, VersionState::Pending, VersionState::Revoked];
    assert_eq!(states.map(of), [Standing::Current, Standing::Overlap, Standing::Pending, Standing::Ended]);
}

#[test]
fn an_overlap_ends_with_its_own_moment_and_every_version_with_its_end() {
    let mut old = KeyVersion { state: VersionState::Superseded, ..version(1) };
    old.valid_until = DateTime::UNIX_EPOCH + Duration::days(2);
    let seen = [standing(&key(), &old, 1), standing(&key(), &old, 2), standing(&key(), &version(1), 90)];
    assert_eq!(seen, [Standing::Overlap, Standing::Ended, Standing::Ended]);
}

#[test]
fn a_disabled_key_keeps_its_current_version_and_a_revoked_one_has_none() {
    let mut disabled = key();
    disabled.disabled_at = Some(DateTime::UNIX_EPOCH);
    let mut revoked = key();
    revoked.revoked_at = Some(DateTime::UNIX_EPOCH);
    let seen = [standing(&disabled, &version(1), 1), standing(&revoked, &version(1), 1)];
    assert_eq!(seen, [Standing::Current, Standing::Ended]);
}

#[test]
fn a_superseded_version_is_revoked_from_its_end_on() {
    let mut old = version(1);
    old.state = VersionState::Superseded;
    old.valid_until = DateTime::UNIX_EPOCH + Duration::days(1);
    let key = key();
    let grant = key.grant(&old, &LifespanCaps::default(), None);
    assert_eq!(grant.revoked_from, Some(old.valid_until));
}

#[test]
fn a_slot_without_a_secret_is_never_accepted() {
    let mut slot = version(2);
    slot.state = VersionState::Pending;
    let key = key();
    assert_eq!(key.grant(&slot, &LifespanCaps::default(), None).revoked_from, Some(DateTime::<Utc>::MIN_UTC));
}

#[test]
fn names_are_bounded_and_without_control_characters() {
    let judged = ["", &"x".repeat(101), "a\nb", "a\0b", "x", &"é".repeat(100)].map(|name| check_name(name).is_ok());
    assert_eq!(judged, [false, false, false, false, true, true]);
}

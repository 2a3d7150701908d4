//! What a call pays for its token: the reject of garbage, the parse, the digest, and finding it among many keys.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::{collections::BTreeMap, hint::black_box};

use chrono::{DateTime, Duration};
use criterion::{Criterion, criterion_group, criterion_main};
use statuspulse_keys::{
    Creator, Directory, Key, KeyVersion, LifespanCaps, MasterKey, Pepper, Prefix, Token, VersionState,
    directory::{KeySnapshot, OrganizationPolicy, ReusePolicy},
};
use statuspulse_policy::{Environment, KeyId, KeyVersionId, OrganizationId, ScopeSet};
use uuid::Uuid;

const KEYS: u128 = 100_000;

fn token_number(number: u128) -> Token {
    let mut entropy = [0_u8; 44];
    entropy.split_at_mut(16).0.copy_from_slice(&number.to_be_bytes());
    Token::from_entropy(Prefix::Live, &entropy)
}

fn snapshot(number: u128, pepper: &Pepper) -> KeySnapshot {
    let made = DateTime::UNIX_EPOCH;
    let end = made + Duration::days(90);
    let key = Key {
        id: KeyId::from_uuid(Uuid::from_u128(number)),
        organization_id: OrganizationId::from_uuid(Uuid::from_u128(1)),
        environment: Environment::Production,
        name: "bench".into(),
        scopes: ScopeSet::from_bits(1),
        allowlist: None,
        allow_any: false,
        allowlist_notes: BTreeMap::new(),
        rate_limit_per_minute: None,
        lifespan: Duration::days(90),
        auto_rotate: false,
        successor_public_key: None,
        canary: false,
        current_version: 1,
        created_at: made,
        created_by: Creator::Operator("bench".into()),
        disabled_at: None,
        revoked_at: None,
        revoke_reason: None,
        last_used_at: None,
        last_used_ips: Vec::new(),
        sequence: 1,
    };
    let version = KeyVersion {
        id: KeyVersionId::from_uuid(Uuid::from_u128(number)),
        number: 1,
        state: VersionState::Live,
        lookup_id: Some(pepper.lookup_id(&token_number(number))),
        pepper_version: 1,
        secret_hash: None,
        hint: "sp_live_AAAA…".into(),
        created_at: made,
        expires_at: end,
        valid_until: end,
        claimed_at: None,
    };
    KeySnapshot { key, versions: vec![version] }
}

fn benches(criterion: &mut Criterion) {
    let token = token_number(7);
    let text = token.expose().to_owned();
    let garbage = format!("{}x", &text[..71]);
    criterion.bench_function("Token::parse", |b| b.iter(|| Token::parse(black_box(&text)).is_ok()));
    criterion.bench_function("Token::parse, refused by the checksum", |b| {
        b.iter(|| Token::parse(black_box(&garbage)).is_ok());
    });

    let pepper = Pepper::derive(&MasterKey::new(1, [1; 32]), 1);
    criterion.bench_function("Pepper::lookup_id", |b| b.iter(|| pepper.lookup_id(black_box(&token))));

    let directory = Directory::new();
    directory.apply_organization(OrganizationPolicy {
        id: OrganizationId::from_uuid(Uuid::from_u128(1)),
        slug: "acme".into(),
        allowlist: None,
        caps: LifespanCaps::default(),
        reuse_policy: ReusePolicy::Alert,
        sequence: 1,
    });
    for number in 0..KEYS {
        directory.apply_key(snapshot(number, &pepper));
    }
    let digests: Vec<_> = (0..KEYS).map(|number| pepper.lookup_id(&token_number(number))).collect();
    let mut next = digests.iter().cycle().step_by(7_919);
    criterion.bench_function("Directory::find among 100,000 keys", |b| {
        b.iter(|| directory.find(black_box(next.next().unwrap())).is_some());
    });
}

criterion_group!(keys, benches);
criterion_main!(keys);

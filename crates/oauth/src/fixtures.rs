//! What the tests of this crate start from: the fixtures of the spec's §8, and times that are counted from one instant.

use std::sync::LazyLock;

use chrono::{DateTime, Duration, Utc};
use sha2::{Digest as _, Sha256};
use statuspulse_keys::{Creator, MasterKey};
use statuspulse_policy::{AppId, AppSecretId, Catalog, GrantId, OrganizationId, ScopeSet, UserId};
use uuid::Uuid;

use crate::{
    App, AppKind, AppSecret, AppStatus, ClientId, ClientSecret, DigestKey, Form, Grant, GrantStatus, RedirectUri,
    Resources, TokenFormat, code::Standing, resource::Known,
};

pub(crate) const ISSUER: &str = "https://auth.example";
pub(crate) const AUDIENCE: &str = "https://metrics.example/api";
/// The redirect URI of [`app`], and of the requests that are made for it.
pub(crate) const R: &str = "https://app.example/cb";
/// RFC 7636, Appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::builtin().unwrap());
static AUDIENCES: LazyLock<Vec<String>> = LazyLock::new(|| vec![AUDIENCE.to_owned()]);

pub(crate) fn known() -> Known<'static> {
    Known { public_url: ISSUER, audiences: &AUDIENCES }
}

/// So many seconds after (or before) the consent of [`grant`].
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + Duration::seconds(seconds)
}

pub(crate) fn scopes(names: &str) -> ScopeSet {
    CATALOG.parse_scopes(names.split_whitespace()).unwrap()
}

pub(crate) fn form(text: &str) -> Form {
    Form::parse(text.as_bytes())
}

/// Bytes that look random and follow from a number.
pub(crate) fn entropy<const BYTES: usize>(number: u64) -> [u8; BYTES] {
    let block = |part: u8| Sha256::digest([number.to_be_bytes().as_slice(), &[part]].concat());
    let bytes: Vec<u8> = (0..=255).flat_map(block).take(BYTES).collect();
    bytes.try_into().unwrap()
}

pub(crate) fn digest_key(version: i16) -> DigestKey {
    DigestKey::derive(&MasterKey::new(version, entropy(u64::from(version.unsigned_abs()))))
}

pub(crate) fn client_secret(number: u64) -> ClientSecret {
    ClientSecret::from_entropy(&entropy(number))
}

/// What is kept of [`client_secret`] under a version of the master key.
pub(crate) fn app_secret(number: u64, key_version: i16) -> AppSecret {
    let secret = client_secret(number);
    AppSecret {
        id: AppSecretId::from_uuid(Uuid::from_u128(number.into())),
        digest: digest_key(key_version).secret(secret.expose()),
        key_version,
        last4: secret.last4().to_owned(),
        label: None,
        created_by: Creator::Operator("root".to_owned()),
        created_at: at(-100),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

/// `C` of the spec: confidential, with one secret, number 1.
pub(crate) fn app() -> App {
    App {
        id: AppId::from_uuid(Uuid::from_u128(1)),
        client_id: ClientId::from_entropy(&entropy(1)),
        organization_id: OrganizationId::from_uuid(Uuid::from_u128(1)),
        name: "C".to_owned(),
        kind: AppKind::Confidential,
        require_state: true,
        require_pkce: true,
        token_format: TokenFormat::Opaque,
        scopes: scopes("monitoring:read alerts:write incidents:write"),
        default_scopes: scopes("monitoring:read"),
        refresh_retry_seconds: 0,
        allowlist: None,
        any_port_on_localhost: false,
        audiences: Vec::new(),
        status: AppStatus::Active,
        deleted_at: None,
        tokens_valid_from: at(-1_000),
        created_by: Creator::Operator("root".to_owned()),
        created_at: at(-1_000),
        updated_at: at(-1_000),
        last_used_at: None,
        redirect_uris: vec![RedirectUri::from_stored(R.to_owned())],
        secrets: vec![app_secret(1, 1)],
        sequence: 1,
    }
}

/// `PUB` of the spec.
pub(crate) fn public_app(redirect_uri: &str) -> App {
    App {
        id: AppId::from_uuid(Uuid::from_u128(2)),
        client_id: ClientId::from_entropy(&entropy(2)),
        kind: AppKind::Public,
        redirect_uris: vec![RedirectUri::from_stored(redirect_uri.to_owned())],
        secrets: Vec::new(),
        ..app()
    }
}

/// A live grant of [`app`] that was decided at instant 0, with all that the app may have.
pub(crate) fn grant() -> Grant {
    Grant {
        id: GrantId::from_uuid(Uuid::from_u128(1)),
        user_id: Some(UserId::from_uuid(Uuid::from_u128(1))),
        organization_id: app().organization_id,
        app_id: app().id,
        scopes: app().scopes,
        resources: Resources::from_stored(vec![ISSUER.to_owned(), AUDIENCE.to_owned()]),
        status: GrantStatus::Active,
        revoked_reason: None,
        revoked_at: None,
        generation: 0,
        created_at: at(0),
        last_refresh_at: None,
        absolute_expires_at: Some(Grant::absolute_end(at(0))),
        last_used_at: None,
        last_used_ips: Vec::new(),
        sequence: 0,
    }
}

pub(crate) const fn standing(grant: &Grant) -> Standing<'_> {
    Standing { grant, person_remains: true }
}

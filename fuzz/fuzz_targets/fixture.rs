//! One app that the OAuth targets ask about.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use statuspulse_keys::{Creator, MasterKey};
use statuspulse_oauth::{App, AppKind, AppSecret, AppStatus, ClientId, DigestKey, RedirectUri, TokenFormat};
use statuspulse_policy::Catalog;

pub const REGISTERED: [&str; 2] = ["https://app.example/cb", "http://127.0.0.1/cb"];
pub const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

pub static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::builtin().expect("the built-in catalog"));
pub static KEY: LazyLock<DigestKey> = LazyLock::new(|| DigestKey::derive(&MasterKey::new(1, [7; 32])));

/// An app with one secret: confidential, strict, two scopes, the first one its default.
pub fn app(secret: &str) -> App {
    App {
        id: id(),
        client_id: ClientId::from_entropy(&[1; 16]),
        organization_id: id(),
        name: "app".to_owned(),
        kind: AppKind::Confidential,
        require_state: true,
        require_pkce: true,
        token_format: TokenFormat::Opaque,
        scopes: CATALOG.parse_scopes(["monitoring:read", "alerts:write"]).expect("scopes of the catalog"),
        default_scopes: CATALOG.parse_scopes(["monitoring:read"]).expect("a scope of the catalog"),
        refresh_retry_seconds: 0,
        allowlist: None,
        any_port_on_localhost: false,
        audiences: Vec::new(),
        status: AppStatus::Active,
        deleted_at: None,
        tokens_valid_from: NOW,
        created_by: Creator::Operator("root".to_owned()),
        created_at: NOW,
        updated_at: NOW,
        last_used_at: None,
        redirect_uris: REGISTERED.map(|uri| RedirectUri::from_stored(uri.to_owned())).to_vec(),
        secrets: vec![AppSecret {
            id: id(),
            digest: KEY.secret(secret),
            key_version: KEY.version(),
            last4: "last".to_owned(),
            label: None,
            created_by: Creator::Operator("root".to_owned()),
            created_at: NOW,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }],
        sequence: 0,
    }
}

fn id<Id: std::str::FromStr<Err: std::fmt::Debug>>() -> Id {
    "01900000-0000-7000-8000-000000000001".parse().expect("an id")
}

/// Each byte as an escape: decoding gives the bytes back.
pub fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

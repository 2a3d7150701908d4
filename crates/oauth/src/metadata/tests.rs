use serde_json::{Value, json};

use super::*;
use crate::fixtures::ISSUER;

fn server(scopes: &[&str]) -> Value {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    serde_json::to_value(ServerMetadata::new(ISSUER, scopes)).unwrap()
}

fn resource(scopes: &[&str]) -> Value {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    serde_json::to_value(ResourceMetadata::new(ISSUER, scopes)).unwrap()
}

fn is_bare(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty() || list.iter().any(is_bare),
        Value::Object(members) => members.is_empty() || members.values().any(is_bare),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

#[test]
fn no_member_is_null_or_empty() {
    let documents = [server(&["monitoring:read"]), resource(&["monitoring:read"]), server(&[]), resource(&[])];
    assert!(!documents.iter().any(is_bare));
}

#[test]
fn without_scopes_the_member_is_absent() {
    assert_eq!([server(&[]), resource(&[])].map(|document| document.get("scopes_supported").cloned()), [None, None]);
}

#[test]
fn the_issuer_is_the_public_url_byte_for_byte() {
    assert_eq!([&server(&[])["issuer"], &resource(&[])["resource"]], [ISSUER; 2]);
}

#[test]
fn an_issuer_with_a_path_keeps_it_in_every_address() {
    let document = serde_json::to_value(ServerMetadata::new("https://auth.example/t/x", Vec::new())).unwrap();
    let addresses = document.as_object().unwrap().values().filter_map(Value::as_str);
    assert_eq!(addresses.clone().find(|address| !address.starts_with("https://auth.example/t/x")), None);
}

#[test]
fn the_server_says_what_it_does() {
    let expected = json!({
        "issuer": "https://auth.example",
        "authorization_endpoint": "https://auth.example/oauth/authorize",
        "token_endpoint": "https://auth.example/oauth/token",
        "revocation_endpoint": "https://auth.example/oauth/revoke",
        "introspection_endpoint": "https://auth.example/oauth/introspect",
        "jwks_uri": "https://auth.example/.well-known/jwks.json",
        "scopes_supported": ["monitoring:read"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
        "authorization_code_lifetime": 300,
        "access_token_lifetime": 7_200,
    });
    assert_eq!(server(&["monitoring:read"]), expected);
}

#[test]
fn the_resource_says_whose_tokens_it_takes() {
    let expected = json!({
        "resource": "https://auth.example",
        "authorization_servers": ["https://auth.example"],
        "scopes_supported": ["monitoring:read"],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(resource(&["monitoring:read"]), expected);
}

//! Metadata, signing keys and signed access tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use statuspulse_app::{oauth::cleanup, signing};
use statuspulse_testkit::{TestApp, TestDb};

use crate::{
    client::{Client, confidential, with},
    support::{Api, PUBLIC_URL, World},
};

const SERVER: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/.well-known/jwks.json";

async fn metadata(api: &Api) -> Value {
    api.get(SERVER).send().await.json()
}

/// spec: oauth K1, K3, G20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_says_what_works_and_no_header_moves_it() {
    let world = World::new().await;
    let ask = world.api.get(SERVER).header("host", "evil.example").header("x-forwarded-host", "evil.example");
    let reply = ask.send().await;
    let json = reply.json();
    let expected = json!({
        "issuer": PUBLIC_URL,
        "authorization_endpoint": format!("{PUBLIC_URL}/oauth/authorize"),
        "token_endpoint": format!("{PUBLIC_URL}/oauth/token"),
        "revocation_endpoint": format!("{PUBLIC_URL}/oauth/revoke"),
        "introspection_endpoint": format!("{PUBLIC_URL}/oauth/introspect"),
        "jwks_uri": format!("{PUBLIC_URL}{JWKS}"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "authorization_response_iss_parameter_supported": true,
        "authorization_code_lifetime": 300,
        "access_token_lifetime": 7_200,
    });
    let wrong: Vec<_> =
        expected.as_object().unwrap().iter().filter(|(name, value)| json[name.as_str()] != **value).collect();
    assert_eq!((reply.status, wrong), (200, Vec::new()), "{json}");
}

/// spec: oauth K2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_with_a_path_has_its_document_behind_the_well_known_one() {
    const ISSUER: &str = "https://auth.example/t/x";
    let db = TestDb::new().await;
    let api = Api::published(TestApp::start(&db).await, ISSUER).await;
    let there = api.get(&format!("{SERVER}/t/x")).send().await;
    let elsewhere = api.get(&format!("{SERVER}/t/y")).send().await.status;
    assert_eq!((&there.json()["issuer"], elsewhere), (&json!(ISSUER), 404));
}

/// spec: oauth K4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_of_the_document_is_served() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for (name, value) in metadata(&world.api).await.as_object().unwrap() {
        let Some(path) = value.as_str().and_then(|text| text.strip_prefix(PUBLIC_URL)).filter(|path| !path.is_empty())
        else {
            continue;
        };
        if path.contains('#') || world.api.get(path).send().await.status == 404 {
            wrong.push(name.clone());
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// spec: oauth K5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_document_lists_works_and_nothing_else_does() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let supported = metadata(&world.api).await["grant_types_supported"].clone();
    let mut works = Vec::new();
    for grant in [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "password",
        "implicit",
        "urn:ietf:params:oauth:grant-type:device_code",
    ] {
        let reply = world.api.post("/oauth/token").client(&client).form(&[("grant_type", grant)]).send().await;
        if reply.refused().1 != "unsupported_grant_type" {
            works.push(grant);
        }
    }
    assert_eq!(json!(works), supported);
}

/// spec: oauth K6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_are_open_to_every_origin() {
    let world = World::new().await;
    let mut origins = Vec::new();
    for path in [SERVER, "/.well-known/oauth-protected-resource", JWKS] {
        let reply = world.api.get(path).header("origin", "https://anybody.example").send().await;
        origins.push(reply.header("access-control-allow-origin").to_owned());
    }
    assert_eq!(origins, ["*"; 3]);
}

/// spec: oauth K8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protected_resource_names_its_server() {
    let world = World::new().await;
    let json = world.api.get("/.well-known/oauth-protected-resource").send().await.json();
    assert_eq!(
        (
            &json["resource"],
            &json["authorization_servers"],
            &json["bearer_methods_supported"],
            json["scopes_supported"].is_array()
        ),
        (&json!(PUBLIC_URL), &json!([PUBLIC_URL]), &json!(["header"]), true)
    );
}

/// spec: oauth K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_the_documents_is_empty() {
    let world = World::new().await;
    let mut empty = Vec::new();
    for path in [SERVER, "/.well-known/oauth-protected-resource"] {
        let json = world.api.get(path).send().await.json();
        let bare = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        empty.extend(json.as_object().unwrap().iter().filter(|(_, value)| bare(value)).map(|(name, _)| name.clone()));
    }
    assert_eq!(empty, Vec::<String>::new());
}

async fn keys(api: &Api) -> Vec<Value> {
    api.get(JWKS).send().await.json()["keys"].as_array().unwrap().clone()
}

fn kids(keys: &[Value]) -> Vec<String> {
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// spec: oauth K11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_set_is_public_and_the_same_everywhere() {
    let world = World::new().await;
    cleanup::pass(&world.api.app.app()).await.unwrap();
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let here = keys(&world.api).await;
    let mut members: Vec<&String> = here[0].as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(
        (members, &here),
        (["alg", "crv", "kid", "kty", "use", "x", "y"].map(str::to_owned).iter().collect(), &keys(&second).await)
    );
}

async fn signed(world: &World) -> (Client, String) {
    let client = world.app(with(confidential(), json!({"access_token_format": "jwt"}))).await;
    let tokens = world.tokens(&client).await;
    (client, tokens.access)
}

fn part(token: &str, place: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(place).unwrap()).unwrap()).unwrap()
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_token_holds_what_rfc_9068_asks_for() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let published = kids(&keys(&world.api).await).contains(&header["kid"].as_str().unwrap().to_owned());
    let lives = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(
        (
            &header["typ"],
            &header["alg"],
            published,
            &claims["iss"],
            &claims["sub"],
            &claims["aud"],
            lives,
            &claims["client_id"],
            &claims["scope"],
            claims["jti"].is_string()
        ),
        (
            &json!("at+jwt"),
            &json!("ES256"),
            true,
            &json!(PUBLIC_URL),
            &json!(world.org.owner.id.to_string()),
            &json!(PUBLIC_URL),
            7_200,
            &json!(client.id),
            &json!("monitoring:read"),
            true
        )
    );
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_key_set_can_check_it() {
    let world = World::new().await;
    let (_, token) = signed(&world).await;
    let key = keys(&world.api).await.remove(0);
    let key = DecodingKey::from_ec_components(key["x"].as_str().unwrap(), key["y"].as_str().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_audience(&[PUBLIC_URL]);
    assert!(jsonwebtoken::decode::<Value>(&token, &key, &validation).is_ok());
}

/// spec: oauth K12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_token_can_be_revoked_too() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let before = (world.is_active(&client, &token).await, world.judged(&token, "GET", "/api/v1/monitoring/x").await);
    world.api.revoke(&client, &token).await;
    let after = (world.is_active(&client, &token).await, world.judged(&token, "GET", "/api/v1/monitoring/x").await);
    assert_eq!((before, after), ((true, "allowed".to_owned()), (false, "revoked".to_owned())));
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_are_nobodys() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let kid = header["kid"].as_str().unwrap().to_owned();
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = token.split('.').nth(2).unwrap();
    let wider = with(claims.clone(), json!({"scope": "monitoring:read alerts:write"}));
    let none = json!({"alg": "none", "typ": "at+jwt", "kid": kid});
    let mut hmac = Header::new(Algorithm::HS256);
    (hmac.kid, hmac.typ) = (Some(kid), Some("at+jwt".into()));
    let public = keys(&world.api).await[0]["x"].as_str().unwrap().to_owned();
    let forged = [
        format!("{}.{}.", text(&none), text(&claims)),
        format!("{}.{}.x", text(&none), text(&claims)),
        format!("{}.{}.{signature}", text(&header), text(&wider)),
        format!("{}.{}.{signature}", text(&with(header.clone(), json!({"typ": "JWT"}))), text(&claims)),
        jsonwebtoken::encode(&hmac, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap(),
    ];
    let mut accepted = Vec::new();
    for token in &forged {
        let active = world.is_active(&client, token).await;
        if active || world.judged(token, "GET", "/api/v1/monitoring/x").await == "allowed" {
            accepted.push(token);
        }
    }
    assert_eq!(accepted, Vec::<&String>::new());
}

/// spec: oauth K14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_key_is_published_a_day_before_it_signs_and_the_last_one_stays() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"access_token_format": "jwt"}))).await;
    let (mut seen, mut wrong): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for day in 0..65_u32 {
        cleanup::pass(&world.api.app.app()).await.unwrap();
        let published = kids(&keys(&world.api).await);
        let form = [("grant_type", "client_credentials")];
        let issued = world.api.post("/oauth/token").client(&client).form(&form).send().await.json();
        let signer = part(issued["access_token"].as_str().unwrap(), 0)["kid"].as_str().unwrap().to_owned();
        // Known to whoever has read the set the day before, but for the very first one.
        if day > 0 && !seen.contains(&signer) || !published.contains(&signer) {
            wrong.push(format!("day {day}: {signer}"));
        }
        seen = published;
        world.api.app.advance_days(1).await;
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_changed_at_once_keeps_its_tokens_alive() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let old = part(&token, 0)["kid"].clone();
    world.api.app.advance(std::time::Duration::from_secs(60)).await;
    let app = world.api.app.app();
    let new = signing::rotate(&app, &world.api.app.operator()).await.unwrap();
    let next = world.tokens(&client).await.access;
    let signer = part(&next, 0)["kid"].clone();
    assert_eq!((signer == old, signer, world.is_active(&client, &token).await), (false, json!(new), true));
}

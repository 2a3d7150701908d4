//! Metadata, signing keys and signed access tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use statuspulse_app::{oauth::cleanup, signing};
use statuspulse_testkit::{TestApp, TestDb};

use crate::{
    client::{Client, Tokens, confidential, parameter, public, with},
    support::{Api, PUBLIC_URL, Reply, World},
};

const SERVER: &str = "/.well-known/oauth-authorization-server";
const RESOURCE: &str = "/.well-known/oauth-protected-resource";
pub(crate) const JWKS: &str = "/.well-known/jwks.json";

pub(crate) async fn metadata(api: &Api) -> Value {
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

/// spec: oauth K1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_is_the_public_url_byte_for_byte_wherever_it_stands() {
    let db = TestDb::new().await;
    let api = Api::published(TestApp::start(&db).await, "https://Auth.example:8443").await;
    let server = metadata(&api).await;
    let resource = api.get(RESOURCE).send().await.json();
    let told = [&server["issuer"], &resource["resource"], &resource["authorization_servers"][0]];
    assert_eq!(told, [&json!("https://Auth.example:8443"); 3]);
}

/// spec: oauth K3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scopes_are_those_of_the_catalog() {
    let world = World::new().await;
    let catalog = world.api.get("/v1/scopes").send().await.json();
    let mut names: Vec<String> = Vec::new();
    for resource in catalog["resources"].as_array().unwrap() {
        names.extend(resource["scopes"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()));
    }
    let list = |json: &Value| {
        let scopes = json["scopes_supported"].as_array().unwrap();
        let mut scopes: Vec<String> = scopes.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        scopes.sort();
        scopes
    };
    names.sort();
    let resource = world.api.get(RESOURCE).send().await.json();
    assert_eq!([list(&metadata(&world.api).await), list(&resource)], [names.clone(), names]);
}

/// spec: oauth §6.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_are_read_and_not_written_to() {
    let world = World::new().await;
    let mut told = Vec::new();
    for path in [SERVER, RESOURCE, JWKS] {
        let head = world.api.ask("HEAD", path).send().await;
        let post = world.api.post(path).json(&json!({})).send().await;
        let allowed = ["GET", "HEAD", "POST"].map(|method| post.header("allow").contains(method));
        told.push((head.status, head.header("content-type").to_owned(), post.status, allowed));
    }
    assert_eq!(told, vec![(200, "application/json".to_owned(), 405, [true, true, false]); 3]);
}

/// spec: oauth K2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_with_a_path_has_its_document_behind_the_well_known_one() {
    const ISSUER: &str = "https://auth.example/t/x";
    let db = TestDb::new().await;
    let api = Api::published(TestApp::start(&db).await, ISSUER).await;
    let there = api.get(&format!("{SERVER}/t/x")).send().await;
    let mut elsewhere = Vec::new();
    for path in ["/t/y", "/t", "/t/x/", "/t/x/y", "/T/x", "//t/x", "/t%2Fx"] {
        elsewhere.push(api.get(&format!("{SERVER}{path}")).send().await.status);
    }
    let endpoint = there.json()["token_endpoint"].clone();
    assert_eq!(
        (&there.json()["issuer"], endpoint, there.header("access-control-allow-origin"), elsewhere),
        (&json!(ISSUER), json!(format!("{ISSUER}/oauth/token")), "*", vec![404; 7])
    );
}

/// spec: oauth K8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_with_a_path_has_its_document_behind_the_well_known_name() {
    const ISSUER: &str = "https://auth.example/t/x";
    let db = TestDb::new().await;
    let api = Api::published(TestApp::start(&db).await, ISSUER).await;
    let there = api.get(&format!("{RESOURCE}/t/x")).send().await;
    let mut elsewhere = Vec::new();
    for path in ["/t/y", "/t", "/t/x/", "/T/x", "//t/x"] {
        elsewhere.push(api.get(&format!("{RESOURCE}{path}")).send().await.status);
    }
    assert_eq!(
        (&there.json()["resource"], there.header("access-control-allow-origin"), elsewhere),
        (&json!(ISSUER), "*", vec![404; 5])
    );
}

/// spec: oauth K2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_without_a_path_has_one_document_alone() {
    let world = World::new().await;
    let mut told = Vec::new();
    for path in ["", "/", "/t/x", "//"] {
        told.push(world.api.get(&format!("{SERVER}{path}")).send().await.status);
    }
    assert_eq!(told, [200, 404, 404, 404]);
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
async fn every_grant_of_the_document_gives_tokens_and_no_other_is_known() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let supported = metadata(&world.api).await["grant_types_supported"].clone();
    let code = world.code(&client).await;
    let tokens = Tokens::of(&world.redeem(&client, &code).await);
    let next = world.refresh(&client, &tokens.refresh).await.status;
    let ask = async |grant: &str| {
        let form = [("grant_type", grant), ("username", "x"), ("password", "x"), ("device_code", "x")];
        world.api.post("/oauth/token").client(&client).form(&form).send().await.refused()
    };
    let own = ask("client_credentials").await;
    let mut others = Vec::new();
    for grant in [
        "password",
        "implicit",
        "Authorization_Code",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ] {
        others.push(ask(grant).await.1);
    }
    assert_eq!(
        (supported, next, own.0, others),
        (
            json!(["authorization_code", "refresh_token", "client_credentials"]),
            200,
            200,
            vec!["unsupported_grant_type".to_owned(); 6]
        )
    );
}

/// spec: oauth K5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_authenticate_of_the_document_works_and_no_other_does() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let open = world.app(public()).await;
    let tokens = world.tokens(&open).await;
    let grant = ("grant_type", "client_credentials");
    let ask = async |form: &[(&str, &str)]| world.api.post("/oauth/token").form(form).send().await.status;
    let basic = world.api.post("/oauth/token").client(&client).form(&[grant]).send().await.status;
    let post = ask(&[grant, ("client_id", &client.id), ("client_secret", &client.secret)]).await;
    let none = world.refresh(&open, &tokens.refresh).await.status;
    let (kind, assertion) =
        ("urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln");
    let form = [grant, ("client_id", &client.id), ("client_assertion_type", kind), ("client_assertion", assertion)];
    let asserted = ask(&form).await;
    let digest = world.api.post("/oauth/token").header("authorization", "Digest username=x").form(&[grant]);
    let others = [asserted, digest.send().await.status].map(|status| (400..=401).contains(&status));
    assert_eq!(([basic, post, none], others), ([200; 3], [true; 2]));
}

/// spec: oauth K5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_be_answered_of_the_document_works_and_no_other_does() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for (name, value) in [
        ("response_type", "code"),
        ("response_mode", "query"),
        ("code_challenge_method", "S256"),
        ("response_type", "token"),
        ("response_type", "id_token"),
        ("response_type", "code token"),
        ("response_mode", "fragment"),
        ("response_mode", "form_post"),
        ("code_challenge_method", "plain"),
        ("code_challenge_method", "S512"),
    ] {
        let reply = world.authorize(&client, &[(name, value)]).await;
        told.push((reply.status, parameter_or_nothing(&reply)));
    }
    let (kind, request) = ("unsupported_response_type", "invalid_request");
    let errors = [kind, kind, kind, request, request, request, request].map(|error| (303, error.to_owned()));
    assert_eq!((&told[..3], &told[3..]), (&[(); 3].map(|()| (200, String::new()))[..], &errors[..]));
}

fn parameter_or_nothing(reply: &Reply) -> String {
    if reply.location().is_empty() { String::new() } else { parameter(reply.location(), "error").unwrap_or_default() }
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

pub(crate) async fn keys(api: &Api) -> Vec<Value> {
    api.get(JWKS).send().await.json()["keys"].as_array().unwrap().clone()
}

pub(crate) fn kids(keys: &[Value]) -> Vec<String> {
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

pub(crate) async fn signed(world: &World) -> (Client, String) {
    let client = world.app(with(confidential(), json!({"access_token_format": "jwt"}))).await;
    let tokens = world.tokens(&client).await;
    (client, tokens.access)
}

pub(crate) fn part(token: &str, place: usize) -> Value {
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

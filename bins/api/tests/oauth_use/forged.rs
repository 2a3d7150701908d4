//! Signed tokens that somebody else made, or changed (RFC 8725). The tests know a private key that the server trusts, so
//! that each rule beside the signature is shown by itself.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, with},
    discovery::{JWKS, keys, part, signed},
    support::World,
};

const READ: &str = "/v1/forward-auth/api/v1/monitoring/x";

/// A key pair of the test.
struct Pair {
    private: EncodingKey,
    x: String,
    y: String,
}

fn pair() -> Pair {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
    Pair { private: EncodingKey::from_ec_der(document.as_ref()), x, y }
}

/// A key pair whose public half the server publishes and accepts; it never signs with it.
async fn trusted(world: &World) -> Pair {
    let pair = pair();
    let statement = format!(
        "INSERT INTO oauth_signing_keys
             (kid, public_x, public_y, private_sealed, key_version, publish_at, sign_from, sign_until, publish_until, seq)
         SELECT 'trusted', '{}', '{}', '', 99, at, at, at, at + interval '9 days', take_feed_number()
         FROM (SELECT now() - interval '1 day' AS at) AS yesterday",
        pair.x, pair.y
    );
    world.db.client().await.batch_execute(&statement).await.unwrap();
    world.api.app.replica.catch_up().await;
    pair
}

fn header(kid: &str) -> Header {
    Header { typ: Some("at+jwt".to_owned()), kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) }
}

fn sealed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn text(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Whether anybody takes a token: its own client, a resource server, a gateway.
async fn taken(world: &World, client: &Client, token: &str) -> [bool; 3] {
    let gateway = world.api.get(READ).peer("127.0.0.1").key(token).send().await.status;
    [
        world.is_active(client, token).await,
        world.judged(token, "GET", "/api/v1/monitoring/x").await == "allowed",
        gateway == 200,
    ]
}

/// Those of some tokens, by name, that anybody takes.
async fn accepted<'a>(world: &World, client: &Client, tokens: &'a [(&'a str, String)]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (name, token) in tokens {
        if taken(world, client, token).await != [false; 3] {
            found.push(*name);
        }
    }
    found
}

/// The control of the tests below: what they change is all that is wrong with their tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_under_a_key_that_is_published_is_taken() {
    let world = World::new().await;
    let pair = trusted(&world).await;
    let (client, token) = signed(&world).await;
    let made = sealed(&header("trusted"), &part(&token, 1), &pair.private);
    assert_eq!(taken(&world, &client, &made).await, [true; 3]);
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_a_signature_is_nobodys() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let (kid, signature) = (part(&token, 0)["kid"].clone(), token.split('.').nth(2).unwrap());
    let claims = token.split('.').nth(1).unwrap();
    let mut tokens = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = text(&json!({"alg": alg, "typ": "at+jwt", "kid": kid}));
        for end in ["", "x", signature] {
            tokens.push((alg, format!("{header}.{claims}.{end}")));
        }
    }
    let own = token.split('.').next().unwrap();
    // As signatures of nothing: r and s both 0, and none at all.
    tokens.push(("zero", format!("{own}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 64]))));
    tokens.push(("empty", format!("{own}.{claims}.")));
    tokens.push(("two parts", format!("{own}.{claims}")));
    tokens.push(("five parts", format!("{token}.a.b")));
    assert_eq!(accepted(&world, &client, &tokens).await, Vec::<&str>::new());
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_key_is_no_shared_secret() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let set = world.api.get(JWKS).send().await.text;
    let key = keys(&world.api).await.remove(0);
    let member = |name: &str| key[name].as_str().unwrap().to_owned();
    let raw = |name: &str| URL_SAFE_NO_PAD.decode(member(name)).unwrap();
    let point = [vec![4], raw("x"), raw("y")].concat();
    // SubjectPublicKeyInfo of a P-256 key: what stands in front of the point.
    let der = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=").unwrap();
    let der = [der, point.clone()].concat();
    let lines = STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &lines[..64], &lines[64..]);
    let secrets: [Vec<u8>; 9] = [
        member("x").into(),
        member("y").into(),
        raw("x"),
        point,
        der,
        pem.clone().into(),
        pem.trim_end().into(),
        key.to_string().into(),
        set.into(),
    ];
    let mut tokens = Vec::new();
    for secret in &secrets {
        for (name, alg) in [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
            let header = Header { alg, ..header(&member("kid")) };
            tokens.push((name, sealed(&header, &part(&token, 1), &EncodingKey::from_secret(secret))));
        }
    }
    assert_eq!((accepted(&world, &client, &tokens).await, tokens.len()), (Vec::new(), 27));
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_claim_breaks_the_signature() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let (other, _) = signed(&world).await;
    let (claims, signature) = (part(&token, 1), token.split('.').nth(2).unwrap());
    let head = token.split('.').next().unwrap();
    let changes = [
        ("scope", json!({"scope": "monitoring:read alerts:write"})),
        ("sub", json!({"sub": "somebody"})),
        ("aud", json!({"aud": "https://other.example"})),
        ("exp", json!({"exp": claims["exp"].as_i64().unwrap() + 1})),
        ("client_id", json!({"client_id": other.id})),
        ("jti", json!({"jti": uuid::Uuid::nil()})),
        ("more", json!({"admin": true})),
    ];
    let tokens = changes.map(|(name, fields)| {
        let changed = with(claims.clone(), fields);
        (name, format!("{head}.{}.{signature}", text(&changed)))
    });
    assert_eq!(accepted(&world, &client, &tokens).await, Vec::<&str>::new());
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_signs_nothing_however_the_token_brings_it_along() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let (kid, claims, pair) = (part(&token, 0)["kid"].as_str().unwrap().to_owned(), part(&token, 1), pair());
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": pair.x, "y": pair.y, "kid": kid, "alg": "ES256", "use": "sig"});
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk).unwrap();
    let url = Some("https://evil.example/jwks.json".to_owned());
    let tokens = [
        ("kid of ours", sealed(&header(&kid), &claims, &pair.private)),
        ("kid of its own", sealed(&header("mine"), &claims, &pair.private)),
        ("jwk", sealed(&Header { jwk: Some(jwk), ..header(&kid) }, &claims, &pair.private)),
        ("jku", sealed(&Header { jku: url.clone(), ..header(&kid) }, &claims, &pair.private)),
        ("x5u", sealed(&Header { x5u: url, ..header(&kid) }, &claims, &pair.private)),
    ];
    assert_eq!(accepted(&world, &client, &tokens).await, Vec::<&str>::new());
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_signature_everything_else_has_to_hold() {
    let world = World::new().await;
    let pair = trusted(&world).await;
    let (client, token) = signed(&world).await;
    let claims = part(&token, 1);
    let now = world.api.app.env.now().timestamp();
    let sign = |header: &Header, fields: Value| sealed(header, &with(claims.clone(), fields), &pair.private);
    let of_type = |typ: Option<&str>| Header { typ: typ.map(str::to_owned), ..header("trusted") };
    let usual = header("trusted");
    let tokens = [
        ("type JWT", sign(&of_type(Some("JWT")), json!({}))),
        ("type id token", sign(&of_type(Some("id+jwt")), json!({}))),
        ("no type", sign(&of_type(None), json!({}))),
        ("no kid", sign(&Header { kid: None, ..header("trusted") }, json!({}))),
        ("foreign issuer", sign(&usual, json!({"iss": "https://evil.example"}))),
        ("issuer with a slash", sign(&usual, json!({"iss": "http://auth.test/"}))),
        ("ended", sign(&usual, json!({"exp": now}))),
        ("nobody's id", sign(&usual, json!({"jti": uuid::Uuid::nil()}))),
        ("an end that is no number", sign(&usual, json!({"exp": "tomorrow"}))),
        ("no id", sign(&usual, json!({"jti": null}))),
        ("no claims of ours", sealed(&usual, &json!({"sub": "x"}), &pair.private)),
    ];
    assert_eq!(accepted(&world, &client, &tokens).await, Vec::<&str>::new());
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_token_revokes_nothing() {
    let world = World::new().await;
    let (client, token) = signed(&world).await;
    let kid = part(&token, 0)["kid"].as_str().unwrap().to_owned();
    let forged = sealed(&header(&kid), &part(&token, 1), &pair().private);
    let reported = world.api.post("/v1/leaks").json(&json!({"tokens": [forged]})).send().await.status;
    eventually("the report was worked on", async || !world.events("key.leaked").await.is_empty()).await;
    let revoked = world.api.revoke(&client, &forged).await.status;
    assert_eq!((reported, revoked, taken(&world, &client, &token).await), (202, 200, [true; 3]));
}

/// spec: oauth K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_token_is_refused_unread() {
    let world = World::new().await;
    let pair = trusted(&world).await;
    let (client, token) = signed(&world).await;
    let claims = with(part(&token, 1), json!({"padding": "x".repeat(4_096)}));
    let tokens = [("long", sealed(&header("trusted"), &claims, &pair.private))];
    assert_eq!(accepted(&world, &client, &tokens).await, Vec::<&str>::new());
}

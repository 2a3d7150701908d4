//! Secrets: shown once, useless without the master key, told apart by a checksum, and never in what an owner reads.

use serde_json::{Value, json};
use statuspulse_oauth::{OpaqueToken, TokenKind};
use statuspulse_testkit::{TestApp, TestDb, eventually};

use crate::{
    client::{Client, Tokens, basic, confidential, with},
    support::{Api, PUBLIC_URL, Reply, World},
};

const READ: &str = "/v1/forward-auth/api/v1/monitoring/x";
/// 32 bytes that are not those of the other tests.
const OTHER_MASTER_KEY: &str = "b3RoZXItc3RhdHVzcHVsc2UtbWFzdGVyLWtleS0zMmI=";

fn apps(rest: &str) -> String {
    format!("/v1/orgs/acme/apps{rest}")
}

async fn read(world: &World, path: &str) -> Reply {
    world.api.get(path).cookie(&world.owner).send().await
}

async fn add_secret(world: &World, client: &Client, body: &Value) -> (Value, Client) {
    let added = world.owner("POST", &apps(&format!("/{}/secrets", client.app)), body).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let json = added.json();
    let secret = json["client_secret"].as_str().unwrap().to_owned();
    (json["secret"].clone(), Client { secret, ..client.clone() })
}

/// Status of a token request with a client's secret, at an instance.
async fn asked(api: &Api, client: &Client) -> u16 {
    api.post("/oauth/token").client(client).form(&[("grant_type", "client_credentials")]).send().await.status
}

/// spec: oauth N3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_but_the_creating_one_shows_a_secret() {
    let world = World::new().await;
    let created = world.owner("POST", &apps(""), &confidential()).await;
    let json = created.json();
    let secret = json["client_secret"].as_str().unwrap();
    let path = apps(&format!("/{}", json["app"]["id"].as_str().unwrap()));
    let added = world.owner("POST", &format!("{path}/secrets"), &json!({"label": "next"})).await;
    let json = added.json();
    let next = json["client_secret"].as_str().unwrap();
    let first = read(&world, &path).await.json()["secrets"][1]["id"].as_str().unwrap().to_owned();
    let others = [
        read(&world, &path).await,
        read(&world, &apps("")).await,
        read(&world, &format!("{path}/failures")).await,
        world.owner("PATCH", &path, &json!({"name": "Renamed"})).await,
        world.owner("DELETE", &format!("{path}/secrets/{first}"), &json!({})).await,
    ];
    let shown: Vec<bool> =
        others.iter().map(|reply| reply.text.contains(secret) || reply.text.contains(next)).collect();
    let once = (created.text.matches(secret).count(), added.text.matches(next).count(), added.text.contains(secret));
    let kept = [created.header("cache-control"), added.header("cache-control")];
    assert_eq!((shown, once, kept), (vec![false; 5], (1, 1, false), ["no-store"; 2]));
}

/// spec: oauth N3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_known_by_its_end_its_times_and_its_maker() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    asked(&world.api, &client).await;
    let path = apps(&format!("/{}", client.app));
    let secret = async || read(&world, &path).await.json()["secrets"][0].clone();
    eventually("the use is shown", async || !secret().await["last_used_at"].is_null()).await;
    let shown = secret().await;
    let now = world.api.app.env.now();
    let at = |name: &str| shown[name].as_str().map(|text| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert_eq!(
        (&shown["last4"], at("created_at"), at("last_used_at"), at("expires_at"), &shown["created_by"]["email"]),
        (&json!(client.secret[51..]), Some(now), Some(now), None, &json!("owner@acme.test"))
    );
}

/// spec: oauth N3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_has_no_secret_and_gets_none() {
    let world = World::new().await;
    let created = world.owner("POST", &apps(""), &crate::client::public()).await.json();
    let path = apps(&format!("/{}/secrets", created["app"]["id"].as_str().unwrap()));
    let added = world.owner("POST", &path, &json!({})).await.status;
    assert_eq!((created.get("client_secret"), &created["app"]["secrets"], added), (None, &json!([]), 409));
}

/// spec: oauth N9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overlap_ends_to_the_second_on_every_instance() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = world.app(confidential()).await;
    let (_, next) = add_secret(&world, &client, &json!({"overlap_seconds": 3_600})).await;
    world.api.app.advance(std::time::Duration::from_secs(3_599)).await;
    let before = [asked(&world.api, &client).await, asked(&second, &client).await];
    world.api.app.advance(std::time::Duration::from_secs(1)).await;
    let after = [asked(&world.api, &client).await, asked(&second, &client).await];
    let next = [asked(&world.api, &next).await, asked(&second, &next).await];
    assert_eq!((before, after, next), ([200; 2], [401; 2], [200; 2]));
}

/// spec: oauth N9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn left_out_the_overlap_is_a_week_and_an_earlier_end_stays() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    for body in [json!({"overlap_seconds": 60}), json!({})] {
        world.api.app.advance(std::time::Duration::from_secs(10)).await;
        add_secret(&world, &client, &body).await;
    }
    let secrets = read(&world, &apps(&format!("/{}", client.app))).await.json()["secrets"].clone();
    let now = world.api.app.env.now();
    let ends = [0, 1, 2].map(|place| {
        let end = secrets[place]["expires_at"].as_str();
        end.map(|text| (text.parse::<chrono::DateTime<chrono::Utc>>().unwrap() - now).num_seconds())
    });
    assert_eq!(ends, [None, Some(604_800), Some(50)]);
}

/// spec: oauth N9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_secret_also_asks_about_and_ends_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let before = world.is_active(&client, &token).await;
    let (_, next) = add_secret(&world, &client, &json!({"overlap_seconds": 0})).await;
    let told =
        [world.api.introspect(&client, &token).await.refused(), world.api.revoke(&client, &token).await.refused()];
    let refused = [(); 2].map(|()| (401, "invalid_client".to_owned()));
    assert_eq!((before, told, world.is_active(&next, &token).await), (true, refused, true));
}

/// spec: oauth N9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_deleted_is_refused_on_the_other_instance_too() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let old = read(&world, &apps(&format!("/{}", client.app))).await.json()["secrets"][0]["id"].clone();
    let (_, next) = add_secret(&world, &client, &json!({})).await;
    // Introspection is answered from memory, so it is what would go on.
    let before = second.introspect(&client, &token).await.status;
    let path = apps(&format!("/{}/secrets/{}", client.app, old.as_str().unwrap()));
    let deleted = world.owner("DELETE", &path, &json!({})).await.status;
    eventually("the other instance refuses it", async || second.introspect(&client, &token).await.status == 401).await;
    assert_eq!((before, deleted, second.introspect(&next, &token).await.status), (200, 204, 200));
}

/// Who has a copy of the database and another master key, however the check of the key is got around.
async fn with_another_master_key(world: &World) -> Api {
    let statement = "TRUNCATE master_keys CASCADE";
    world.db.client().await.batch_execute(statement).await.unwrap();
    let app = TestApp::builder(&world.db).master_key(OTHER_MASTER_KEY).clock(world.api.app.clock()).start().await;
    Api::published(app, PUBLIC_URL).await
}

/// spec: oauth N12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_master_key_nothing_starts_over_a_copy() {
    let world = World::new().await;
    let opened = TestApp::builder(&world.db).master_key(OTHER_MASTER_KEY).try_open().await;
    assert!(opened.is_err());
}

/// spec: oauth N12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_master_key_no_token_and_no_secret_verifies() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let signed = world.app(with(confidential(), json!({"access_token_format": "jwt"}))).await;
    let code = world.code(&client).await;
    let (tokens, jwt) = (world.tokens(&client).await, world.tokens(&signed).await);
    let before = [world.is_active(&client, &tokens.access).await, world.is_active(&signed, &jwt.access).await];
    let copy = with_another_master_key(&world).await;
    let secret = asked(&copy, &client).await;
    // Somebody who can write to the copy gives the app a secret under his own key.
    let own = copy.app.secrets.digest_key().unwrap().secret(&client.secret);
    let hex: String = own.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let statement = format!("UPDATE oauth_app_secrets SET digest = '\\x{hex}' WHERE app_id = '{}'", client.app);
    world.db.client().await.batch_execute(&statement).await.unwrap();
    let redeemed = copy.redeem(&client, &code, &[]).await.refused();
    let refreshed = copy.refresh(&client, &tokens.refresh, &[]).await.refused();
    let mut used = Vec::new();
    for token in [&tokens.access, &jwt.access] {
        used.push(copy.get(READ).peer("127.0.0.1").key(token).send().await.status);
    }
    let refused = (400, "invalid_grant".to_owned());
    assert_eq!((before, secret, redeemed, refreshed, used), ([true; 2], 401, refused.clone(), refused, vec![401; 2]));
}

/// spec: oauth N12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_master_key_the_signing_key_signs_nothing() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"access_token_format": "jwt"}))).await;
    world.tokens(&client).await;
    let key = world.db.client().await.query_one("SELECT private_sealed FROM oauth_signing_keys", &[]).await.unwrap();
    let sealed: Vec<u8> = key.get(0);
    // PKCS #8 of a P-256 key: a sequence with the curve's name in it.
    let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let readable = sealed.windows(curve.len()).any(|window| window == curve);
    let copy = with_another_master_key(&world).await;
    let published = copy.get(crate::discovery::JWKS).send().await.json()["keys"].clone();
    assert_eq!((readable, published), (false, json!([])));
}

/// spec: oauth N12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_secrets_under_two_master_keys_have_nothing_in_common() {
    let (one, other) = (TestDb::new().await, TestDb::new().await);
    let one = TestApp::start(&one).await;
    let other = TestApp::builder(&other).master_key(OTHER_MASTER_KEY).start().await;
    let token = OpaqueToken::from_entropy(TokenKind::Access, &[7; 44]);
    let digests = [&one, &other].map(|app| app.secrets.token_digests(&token));
    assert!(!digests[0][0].matches(&digests[1][0]));
}

/// A text with the form of a token and one character changed.
fn mistyped(token: &str, at: usize) -> String {
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

/// spec: oauth N13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_token_is_mistyped_nobody_asks_the_database() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    world.is_active(&client, &token).await;
    let before = world.api.app.replica.queries();
    let mut told = Vec::new();
    for at in [6, 20, 40, 60, 69] {
        let reply = world.api.get(READ).peer("127.0.0.1").key(&mistyped(&token, at)).send().await;
        told.push(reply.outcome());
    }
    assert_eq!((told, world.api.app.replica.queries() - before), (vec![(401, "malformed".to_owned()); 5], 0));
}

/// spec: oauth N13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_token_is_refused_while_the_database_is_away() {
    let db = TestDb::on_own_cluster().await;
    let api = Api::published(TestApp::start(&db).await, PUBLIC_URL).await;
    let world = World::around(db, api).await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let unused = OpaqueToken::from_entropy(TokenKind::Access, &[7; 44]);
    world.db.cluster().kill_postgres().unwrap();
    let wrong = world.api.get(READ).peer("127.0.0.1").key(&mistyped(&token, 30)).send().await.outcome();
    let asked = world.api.introspect(&client, &mistyped(&token, 30)).await.text;
    // The control: what has to be looked up can't be.
    let right = world.api.get(READ).peer("127.0.0.1").key(unused.expose()).send().await.outcome();
    assert_eq!(
        (wrong, asked.as_str(), right),
        ((401, "malformed".to_owned()), r#"{"active":false}"#, (503, "unavailable".to_owned()))
    );
}

async fn failures(world: &World, client: &Client, query: &str) -> Reply {
    read(world, &apps(&format!("/{}/failures{query}", client.app))).await
}

/// spec: oauth N17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_has_its_reason_time_address_and_the_id_of_its_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (code, tokens) = (world.code(&client).await, world.tokens(&client).await);
    let later = async || world.api.app.advance(std::time::Duration::from_secs(1)).await;
    let of_code = async |more: (&str, &str)| world.api.redeem(&client, &code, &[more]).await;
    let ask = world.api.post("/oauth/token").peer("198.51.100.9").header("authorization", basic(&client.id, "wrong"));
    let mut replies = vec![(ask.form(&[("grant_type", "client_credentials")]).send().await, "secret_unknown")];
    later().await;
    replies.push((of_code(("code_verifier", &"a".repeat(43))).await, "verifier_mismatch"));
    later().await;
    replies.push((of_code(("redirect_uri", "https://app.example/cX")).await, "redirect_uri_mismatch"));
    later().await;
    replies.push((world.refresh(&client, "sp_rt_nonsense").await, "refresh_token_malformed"));
    later().await;
    let wider = world.api.refresh(&client, &tokens.refresh, &[("scope", "checks:read")]).await;
    replies.push((wider, "scope_not_granted"));
    let reply = failures(&world, &client, "").await;
    let items = reply.json()["items"].as_array().unwrap().clone();
    let told: Vec<(String, String)> = items
        .iter()
        .rev()
        .map(|item| (item["request_id"].as_str().unwrap().to_owned(), item["reason"].as_str().unwrap().to_owned()))
        .collect();
    let expected: Vec<(String, String)> =
        replies.iter().map(|(reply, reason)| (reply.request_id().to_owned(), (*reason).to_owned())).collect();
    let ips = [&items[4]["ip"], &items[3]["ip"]];
    let hidden = [code.as_str(), &tokens.refresh, &client.secret, "nonsense"].map(|text| reply.text.contains(text));
    assert_eq!(
        (told, ips, items[0]["occurred_at"].is_string(), hidden),
        (expected, [&json!("198.51.100.9"), &json!("203.0.113.7")], true, [false; 4])
    );
}

/// spec: oauth N17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_well_and_what_is_anothers_is_no_failure_of_this_app() {
    let world = World::new().await;
    let (client, other) = (world.app(confidential()).await, world.app(confidential()).await);
    let code = world.code(&client).await;
    world.redeem(&other, &code).await;
    let tokens = Tokens::of(&world.redeem(&client, &code).await);
    world.is_active(&client, &tokens.access).await;
    world.api.app.flush().await;
    let lists = [failures(&world, &client, "").await.json(), failures(&world, &other, "").await.json()];
    let reasons = lists
        .map(|list| list["items"].as_array().unwrap().iter().map(|item| item["reason"].clone()).collect::<Vec<_>>());
    assert_eq!(reasons, [vec![], vec![json!("code_foreign")]]);
}

/// spec: oauth N17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_read_by_the_organization_alone() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = apps(&format!("/{}/failures", client.app));
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let elsewhere = path.replace("acme", "other");
    let (_, reader) = world.key(&["apps:read"]).await;
    let (_, weak) = world.key(&["checks:read"]).await;
    let told = [
        world.api.get(&path).cookie(&stranger).send().await.status,
        world.api.get(&elsewhere).cookie(&stranger).send().await.status,
        world.api.get(&path).send().await.status,
        world.api.get(&path).key(&weak).send().await.status,
        world.api.get(&path).key(&reader).send().await.status,
        failures(&world, &client, "?limit=0").await.status,
        failures(&world, &client, "?cursor=x").await.status,
    ];
    assert_eq!(told, [404, 404, 401, 403, 200, 422, 400]);
}

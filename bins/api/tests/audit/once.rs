//! Exactly one event for each happening, with what an investigation asks first.

use serde_json::{Value, json};

use crate::{
    client::confidential,
    help::{CHECKS, EVENTS, EXPORT, KEYS, asked, question},
    support::{PEER, Reply, World},
};

const AGENT: &str = "probe/1";

/// What the trail has of a request, without what differs from run to run; a number in place of one event when there is not one.
async fn told(world: &World, reply: &Reply) -> Value {
    let events = world.trail_of(reply).await;
    let [event] = events.as_slice() else { return json!(events.len()) };
    let fingerprinted = event["fingerprint"].as_str().is_some_and(|hex| hex.len() == "\\x".len() + 32);
    let whole = event["ip"] == PEER && event["user_agent"] == AGENT && fingerprinted;
    assert!(whole, "{event}");
    json!([event["action"], event["outcome"], event["reason"], event["status"], event["method"], event["route"]])
}

struct Scene {
    world: World,
}

impl Scene {
    async fn new() -> Self {
        Self { world: World::new().await }
    }

    async fn told(&self, reply: &Reply) -> Value {
        told(&self.world, reply).await
    }

    async fn judged(&self, question: &Value) -> Value {
        self.told(&self.world.call_like(question).await).await
    }

    /// A call of our own API as the owner.
    async fn owner(&self, method: &str, path: &str, body: &Value) -> Value {
        let ask = self.world.api.ask(method, path).browser(&self.world.owner).header("user-agent", AGENT);
        let reply = ask.json(body).send().await;
        self.told(&reply).await
    }

    async fn with_key(&self, token: &str, path: &str) -> Value {
        let reply = self.world.api.get(path).key(token).header("user-agent", AGENT).send().await;
        self.told(&reply).await
    }
}

/// spec: audit A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_call_has_one_event_at_verify_and_at_forward_auth() {
    let scene = Scene::new().await;
    let (_, token) = scene.world.key(&["checks:read"]).await;
    let verify = scene.judged(&question(&token)).await;
    // Through a gateway in front the address would be that of the client; here the client is the gateway's machine.
    let forwarded = scene.world.api.get("/v1/forward-auth/api/v1/checks").peer("127.0.0.1").key(&token);
    let forwarded = forwarded.header("user-agent", AGENT).send().await;
    let events = scene.world.trail_of(&forwarded).await;
    let kept = |name: &str| events.iter().map(|event| event[name].clone()).collect::<Vec<_>>();
    assert_eq!(
        (verify, forwarded.status, kept("action"), kept("route"), kept("user_agent"), kept("ip")),
        (
            json!(["api.call", "allowed", null, 200, "GET", "/api/v1/checks/**"]),
            200,
            vec![json!("api.call")],
            vec![json!("/api/v1/checks/**")],
            vec![json!(AGENT)],
            vec![json!("127.0.0.1")]
        )
    );
}

/// Of a limit's 429 as soon as there is one.
///
/// spec: audit A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_a_known_key_has_one_event() {
    let scene = Scene::new().await;
    let (dead, ended) = scene.world.key(&["checks:read"]).await;
    scene.world.owner("POST", &format!("{KEYS}/{dead}/revoke"), &json!({})).await;
    let mut wanted = statuspulse_testkit::key_of("production", &["checks:read"]);
    wanted.allowed_cidrs = Some(vec!["198.51.100.0/24".into()]);
    let (_, elsewhere) = scene.world.key_like(wanted).await;
    let (_, narrow) = scene.world.key(&["routes:read"]).await;
    let told = [
        scene.judged(&question(&ended)).await,
        scene.judged(&question(&elsewhere)).await,
        scene.judged(&question(&narrow)).await,
    ];
    let route = "/api/v1/checks/**";
    assert_eq!(
        told,
        [
            json!(["api.call", "denied", "revoked", 401, "GET", route]),
            json!(["api.call", "denied", "ip_not_allowed", 403, "GET", route]),
            json!(["api.call", "denied", "insufficient_scope", 403, "GET", route]),
        ]
    );
}

/// spec: audit A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_exchange_and_a_bad_one_have_one_event_each() {
    let scene = Scene::new().await;
    let client = scene.world.app(confidential()).await;
    let mut told = Vec::new();
    for grant_type in ["client_credentials", "refresh_token"] {
        let ask = scene.world.api.post("/oauth/token").client(&client).header("user-agent", AGENT);
        let form = [("grant_type", grant_type), ("refresh_token", "sp_rt_nobody")];
        let form = if grant_type == "client_credentials" { &form[..1] } else { &form[..] };
        told.push(scene.told(&ask.form(form).send().await).await);
    }
    let good = json!(["oauth.token", "allowed", null, 200, "POST", "/oauth/token"]);
    let bad = json!(["oauth.refresh", "denied", told[1][2], 400, "POST", "/oauth/token"]);
    assert!(told[1][2].is_string());
    assert_eq!(told, [good, bad]);
}

/// Its row is written within the change, before there is an answer and so a status.
///
/// spec: audit A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_has_one_event() {
    let scene = Scene::new().await;
    let (id, _) = scene.world.key(&["checks:read"]).await;
    let told = scene.owner("PATCH", &format!("{KEYS}/{id}"), &json!({"name": "another"})).await;
    assert_eq!(told, json!(["key.update", "allowed", null, null, "PATCH", "/v1/orgs/{org}/keys/{id}"]));
}

/// spec: audit A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_read_the_log_has_one_event() {
    let scene = Scene::new().await;
    let (_, reader) = scene.world.key(&["audit:read"]).await;
    let (id, token) = scene.world.key(&["checks:read"]).await;
    scene.world.call(&token).await;
    let page = scene.world.read(EVENTS).await.json();
    let event = page["items"][0]["id"].as_str().unwrap();
    let told = [
        scene.owner("GET", EVENTS, &Value::Null).await,
        scene.with_key(&reader, EVENTS).await,
        scene.owner("GET", &format!("{EVENTS}/{event}"), &Value::Null).await,
        scene.owner("GET", EXPORT, &Value::Null).await,
        scene.owner("GET", "/v1/orgs/acme/audit/checkpoints", &Value::Null).await,
        scene.owner("GET", &format!("{KEYS}/{id}/suggestions"), &Value::Null).await,
        scene.owner("POST", &format!("{KEYS}/{id}/allowlist/preview"), &json!({"allowed_cidrs": null})).await,
    ];
    let read = |method: &str, route: &str| json!(["audit.read", "allowed", null, 200, method, route]);
    let (events, export) = ("/v1/orgs/{org}/audit/events", "/v1/orgs/{org}/audit/export");
    assert_eq!(
        told,
        [
            read("GET", events),
            read("GET", events),
            read("GET", "/v1/orgs/{org}/audit/events/{id}"),
            json!(["audit.export", "allowed", null, 200, "GET", export]),
            read("GET", "/v1/orgs/{org}/audit/checkpoints"),
            read("GET", "/v1/orgs/{org}/keys/{id}/suggestions"),
            read("POST", "/v1/orgs/{org}/keys/{id}/allowlist/preview"),
        ]
    );
}

/// spec: audit A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_that_is_refused_has_one_event_too() {
    let scene = Scene::new().await;
    let (_, narrow) = scene.world.key(&["checks:read"]).await;
    let told = [
        scene.owner("GET", &format!("{EVENTS}?acton=key.create"), &Value::Null).await,
        scene.owner("GET", &format!("{EXPORT}?format=xml"), &Value::Null).await,
        scene.with_key(&narrow, EVENTS).await,
    ];
    let refused = |reason: &str, status: u16, route: &str| json!(["api.call", "denied", reason, status, "GET", route]);
    let (events, export) = ("/v1/orgs/{org}/audit/events", "/v1/orgs/{org}/audit/export");
    assert_eq!(
        told,
        [
            refused("unknown_parameter", 422, events),
            refused("unknown_format", 422, export),
            refused("insufficient_scope", 403, events)
        ]
    );
}

/// What was typed where an id belongs may be an address or a secret: neither could be taken out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_a_reading_holds_ids_and_words_alone() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    for actor in ["198.51.100.77", &id] {
        world.read(&format!("{EVENTS}?actor={actor}&ip=198.51.100.77&action=key.")).await;
    }
    let details: Vec<Value> = world.events("audit.read").await.iter().map(|event| event["detail"].clone()).collect();
    let kept = |name: &str| details.iter().map(|detail| detail[name].clone()).collect::<Vec<_>>();
    assert_eq!(
        (kept("actor"), kept("by_actor"), kept("by_address"), kept("action")),
        (vec![Value::Null, json!(id)], vec![json!(true), Value::Null], vec![json!(true); 2], vec![json!("key."); 2])
    );
    assert!(!json!(details).to_string().contains("198.51"), "{details:?}");
}

/// The event of a call as its reader gets it: every field of the contract, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_just_the_fields_of_the_contract() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let reply = world.call_like(&asked(&token, json!({"path": format!("{CHECKS}/7")}))).await;
    let page = world.read(&format!("{EVENTS}?actor={id}")).await.json();
    let event = &page["items"][0];
    let names: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    let mut contract = [
        "id",
        "stream",
        "sequence",
        "occurred_at",
        "action",
        "outcome",
        "reason",
        "actor",
        "method",
        "route",
        "status",
        "ip",
        "country",
        "user_agent",
        "fingerprint",
        "request_id",
        "detail",
    ];
    contract.sort_unstable();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let hex = event["fingerprint"].as_str().unwrap();
    let lower = hex.len() == 32 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert_eq!(
        (sorted, &event["actor"], &event["request_id"], lower),
        (
            contract.to_vec(),
            &json!({"kind": "api_key", "id": id, "version": 1}),
            &json!(reply.header("x-request-id")),
            true
        )
    );
}

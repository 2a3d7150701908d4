//! Successors that travel sealed: only the recipient can open them, and their first use is their claim.

use std::io::Read as _;

use age::{armor::ArmoredReader, secrecy::ExposeSecret as _, x25519::Identity};
use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    help::{KEYS, Scene},
    receiver::Receiver,
};

const EVENTS: [&str; 3] = ["key.successor_ready", "key.successor_claimed", "key.recipient_changed"];

struct Sealed {
    scene: Scene,
    receiver: Receiver,
    identity: Identity,
    id: String,
    old: String,
}

impl Sealed {
    /// A key with a recipient, seven days before its end, its successor told.
    async fn new() -> Self {
        let scene = Scene::new().await;
        let receiver = Receiver::start().await;
        scene.endpoint(&receiver, &EVENTS).await;
        let identity = Identity::generate();
        let recipient = identity.to_public().to_string();
        let (id, old) = scene
            .key_like(|key| {
                key.auto_rotate = true;
                key.successor_public_key = Some(recipient);
            })
            .await;
        scene.days(83).await;
        assert_eq!(scene.prepare_successors().await, 1);
        scene.send().await;
        Self { scene, receiver, identity, id, old }
    }

    fn armoured(&self) -> String {
        self.receiver.data_of("key.successor_ready").last().unwrap()["sealed"].as_str().unwrap().to_owned()
    }

    fn opened(&self) -> String {
        open(&self.armoured(), &self.identity).unwrap()
    }

    async fn key(&self) -> Value {
        self.scene.shown(&format!("{KEYS}/{}", self.id)).await
    }
}

fn open(armoured: &str, identity: &Identity) -> Option<String> {
    let decryptor = age::Decryptor::new(ArmoredReader::new(armoured.as_bytes())).ok()?;
    let mut reader = decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).ok()?;
    let mut text = String::new();
    reader.read_to_string(&mut text).ok()?;
    Some(text)
}

/// spec: keys K37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sealed_successor_opens_with_the_private_key_and_works() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    assert_eq!([sealed.scene.judged(&token).await, sealed.scene.judged(&sealed.old).await], ["allowed", "allowed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_identity_opens_nothing() {
    let sealed = Sealed::new().await;
    assert_eq!(open(&sealed.armoured(), &Identity::generate()), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_key_is_nowhere_with_us() {
    let sealed = Sealed::new().await;
    let client = sealed.scene.world.db.client().await;
    let row = client.query_one("SELECT jsonb_agg(to_jsonb(e))::text FROM webhook_events e", &[]).await.unwrap();
    let text: String = row.get(0);
    assert!(!text.contains(sealed.identity.to_string().expose_secret()) && !text.contains(&sealed.opened()[8..24]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_pending_until_it_is_used() {
    let sealed = Sealed::new().await;
    assert_eq!(
        (&sealed.key().await["successor"]["status"], &sealed.key().await["version"]),
        (&json!("pending"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_first_use_is_its_claim() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    sealed.scene.judged(&token).await;
    eventually("the use is a claim", async || sealed.key().await["version"] == json!(2)).await;
    sealed.scene.send().await;
    let key = sealed.key().await;
    let whole = key["expires_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
        - sealed.scene.world.api.app.env.now();
    assert_eq!(
        (&key["successor"]["status"], whole.num_days(), sealed.receiver.data_of("key.successor_claimed").len()),
        (&json!("claimed"), 90, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_by_the_old_token_makes_another_secret_and_cancels_the_sealed_one() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    let claimed = sealed.scene.world.api.post("/v1/keys/self/successor").key(&sealed.old).send().await;
    let fresh = claimed.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(
        (claimed.status, sealed.scene.judged(&token).await, sealed.scene.judged(&fresh).await),
        (201, "unknown".to_owned(), "allowed".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ciphertext_is_deleted_with_the_end_of_the_version_before() {
    let sealed = Sealed::new().await;
    sealed.scene.days(7).await;
    sealed.scene.prepare_successors().await;
    let client = sealed.scene.world.db.client().await;
    let left = "SELECT count(*) FROM webhook_events WHERE data ? 'sealed'";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_end_of_the_old_version_an_unused_one_ends_too() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    sealed.scene.days(7).await;
    let before_the_pass = sealed.scene.judged(&token).await;
    sealed.scene.prepare_successors().await;
    assert_eq!([before_the_pass, sealed.scene.judged(&token).await], ["expired", "unknown"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_recipient_changes_what_was_sealed_before_is_dead_and_sealed_anew() {
    let mut sealed = Sealed::new().await;
    let stolen = sealed.opened();
    sealed.identity = Identity::generate();
    let change = json!({"successor_public_key": sealed.identity.to_public().to_string()});
    sealed.scene.owner("PATCH", &format!("{KEYS}/{}", sealed.id), &change).await;
    sealed.scene.prepare_successors().await;
    sealed.scene.send().await;
    let told = sealed.receiver.data_of("key.recipient_changed").len();
    assert_eq!(
        (sealed.scene.judged(&stolen).await, sealed.scene.judged(&sealed.opened()).await, told),
        ("unknown".to_owned(), "allowed".to_owned(), 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_takes_its_sealed_successor_along() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    sealed.scene.owner("POST", &format!("{KEYS}/{}/revoke", sealed.id), &json!({})).await;
    assert_eq!(sealed.scene.judged(&token).await, "unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_by_a_person_fills_the_slot_and_cancels_the_sealed_one() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    let rotated = sealed.scene.owner("POST", &format!("{KEYS}/{}/rotate", sealed.id), &json!({})).await.json();
    let fresh = rotated["token"].as_str().unwrap();
    assert_eq!(
        (&rotated["key"]["version"], sealed.scene.judged(&token).await, sealed.scene.judged(fresh).await),
        (&json!(2), "unknown".to_owned(), "allowed".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_inside_an_overlap_ends_when_the_sealed_one_is_made() {
    let scene = Scene::new().await;
    let recipient = Identity::generate().to_public().to_string();
    let (id, first) = scene
        .key_like(|key| {
            key.auto_rotate = true;
            key.successor_public_key = Some(recipient);
            key.expires_in_days = Some(2);
        })
        .await;
    scene.seconds(60).await;
    scene.owner("POST", &format!("{KEYS}/{id}/rotate"), &json!({"overlap_seconds": 604_800})).await;
    scene.seconds(86_400).await;
    let before = scene.judged(&first).await;
    scene.prepare_successors().await;
    assert_eq!([before, scene.judged(&first).await], ["allowed", "revoked"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_is_told_that_a_successor_waits_and_nothing_sealed() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint_like(&json!({"url": receiver.url, "kind": "slack", "events": EVENTS})).await;
    let recipient = Identity::generate().to_public().to_string();
    scene
        .key_like(|key| {
            key.auto_rotate = true;
            key.successor_public_key = Some(recipient);
        })
        .await;
    scene.days(83).await;
    scene.prepare_successors().await;
    scene.send().await;
    let got = receiver.got();
    assert!(got.len() == 1 && !got[0].body.contains("AGE ENCRYPTED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_to_end_earlier_takes_its_sealed_successor_along() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    let end = sealed.scene.world.api.app.env.now() + chrono::Duration::days(1);
    sealed.scene.owner("PATCH", &format!("{KEYS}/{}", sealed.id), &json!({"expires_at": end})).await;
    let before = sealed.scene.judged(&token).await;
    sealed.scene.prepare_successors().await;
    sealed.scene.send().await;
    assert_eq!([before, sealed.scene.judged(&sealed.opened()).await], ["unknown", "allowed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_that_ends_the_key_ends_its_sealed_successor_at_once() {
    let sealed = Sealed::new().await;
    let token = sealed.opened();
    let body = json!({"max_lifespan_days": {"production": 30}, "confirm": true});
    assert_eq!(sealed.scene.owner("PATCH", "/v1/orgs/acme/settings", &body).await.status, 200);
    assert_eq!([sealed.scene.judged(&sealed.old).await, sealed.scene.judged(&token).await], ["expired", "expired"]);
}

//! Several live secrets with overlap (oauth §2.6).

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, confidential},
    help::{error, outcome, outcomes, tokens},
    support::{Api, Reply, World},
};

const HOUR: u64 = 3_600;

/// An app with a second secret beside its first: before and after.
struct Renewed {
    world: World,
    old: Client,
    new: Client,
}

impl Renewed {
    async fn with_overlap(seconds: u64) -> Self {
        let world = World::new().await;
        let old = world.app(confidential()).await;
        // A secret of its own moment, so that the list has an order.
        world.api.app.advance(Duration::from_secs(1)).await;
        let path = format!("/v1/orgs/acme/apps/{}/secrets", old.app);
        let reply = world.owner("POST", &path, &json!({"overlap_seconds": seconds})).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let secret = reply.json()["client_secret"].as_str().unwrap().to_owned();
        let new = Client { secret, ..old.clone() };
        Self { world, old, new }
    }

    /// Newest first.
    async fn secrets(&self) -> Vec<Value> {
        let path = format!("/v1/orgs/acme/apps/{}", self.old.app);
        let app = self.world.api.get(&path).browser(&self.world.owner).send().await.json();
        app["secrets"].as_array().unwrap().clone()
    }

    /// What an app gets for itself with a secret.
    async fn ask(&self, api: &Api, client: &Client) -> Reply {
        let form = [("grant_type", "client_credentials")];
        api.post("/oauth/token").client(client).form(&form).send().await
    }

    async fn both(&self, api: &Api) -> [crate::help::Outcome; 2] {
        [outcome(&self.ask(api, &self.old).await), outcome(&self.ask(api, &self.new).await)]
    }

    /// The id of the secret that the event of an exchange names.
    async fn named(&self, client: &Client) -> Value {
        let reply = self.ask(&self.world.api, client).await;
        self.world.trail_of(&reply).await[0]["detail"]["secret_id"].clone()
    }
}

/// spec: oauth F18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_the_overlap_both_secrets_are_accepted() {
    let renewed = Renewed::with_overlap(HOUR).await;
    renewed.world.api.app.advance(Duration::from_secs(HOUR - 1)).await;
    assert_eq!(renewed.both(&renewed.world.api).await, [tokens(), tokens()]);
}

/// spec: oauth F18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_an_exchange_names_the_secret_that_was_used() {
    let renewed = Renewed::with_overlap(HOUR).await;
    let ids: Vec<Value> = renewed.secrets().await.iter().map(|secret| secret["id"].clone()).collect();
    let named = [renewed.named(&renewed.new).await, renewed.named(&renewed.old).await];
    assert_eq!(named.to_vec(), ids);
}

/// spec: oauth F18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_use_of_a_secret_is_shown_and_of_no_other() {
    let renewed = Renewed::with_overlap(HOUR).await;
    renewed.ask(&renewed.world.api, &renewed.old).await;
    let used = async || {
        let secrets = renewed.secrets().await;
        secrets.iter().map(|secret| !secret["last_used_at"].is_null()).collect::<Vec<bool>>()
    };
    // It is written behind the answer.
    eventually("the use is written", async || used().await.contains(&true)).await;
    assert_eq!(used().await, [false, true]);
}

/// spec: oauth F19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_overlap_the_old_secret_is_refused_on_every_instance() {
    let renewed = Renewed::with_overlap(HOUR).await;
    let second = renewed.world.second().await;
    renewed.world.api.app.advance(Duration::from_secs(HOUR)).await;
    let told = [renewed.both(&renewed.world.api).await, renewed.both(&second).await];
    assert_eq!(told, [(); 2].map(|()| [error("invalid_client"), tokens()]));
}

/// spec: oauth F19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_overlap_the_old_secret_ends_at_once() {
    let renewed = Renewed::with_overlap(0).await;
    assert_eq!(renewed.both(&renewed.world.api).await, [error("invalid_client"), tokens()]);
}

/// spec: oauth F19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_deleted_is_refused_on_every_instance() {
    let renewed = Renewed::with_overlap(HOUR).await;
    let second = renewed.world.second().await;
    let before = renewed.both(&second).await;
    let old = renewed.secrets().await[1]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/orgs/acme/apps/{}/secrets/{old}", renewed.old.app);
    let deleted = renewed.world.owner("DELETE", &path, &json!({})).await.status;
    let after = [renewed.both(&renewed.world.api).await, renewed.both(&second).await];
    let ended = [error("invalid_client"), tokens()];
    assert_eq!((before, deleted < 300, after), ([tokens(), tokens()], true, [ended.clone(), ended]));
}

/// spec: oauth F19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_secret_may_not_ask_about_tokens_either() {
    let renewed = Renewed::with_overlap(HOUR).await;
    let second = renewed.world.second().await;
    renewed.world.api.app.advance(Duration::from_secs(HOUR)).await;
    let asked = [&renewed.world.api, &second].map(|api| api.introspect(&renewed.old, "x"));
    let told = futures_util::future::join_all(asked).await;
    assert_eq!(outcomes(&told), vec![error("invalid_client"); 2]);
}

/// spec: oauth F18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_secrets_refuses_nobody_who_asks_at_the_same_time() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let second = world.second().await;
    let path = format!("/v1/orgs/acme/apps/{}/secrets", client.app);
    let body = json!({"overlap_seconds": HOUR});
    let adding = world.owner("POST", &path, &body);
    let asking = (0..20).map(|number| {
        let api = if number % 2 == 0 { &world.api } else { &second };
        api.post("/oauth/token").client(&client).form(&[("grant_type", "client_credentials")]).send()
    });
    let (added, told) = tokio::join!(adding, futures_util::future::join_all(asking));
    assert_eq!((added.status, outcomes(&told)), (201, vec![tokens(); 20]));
}

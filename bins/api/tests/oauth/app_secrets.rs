//! Client secrets over REST: several live ones, an overlap, never none (oauth §2.5, §2.6).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    client::{Client, confidential, public, with},
    help::APPS,
    support::{Reply, World},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: i64 = 604_800;

/// A world with an app that has the secret of its registration.
async fn registered() -> (World, Client) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    (world, client)
}

impl World {
    async fn add_secret(&self, client: &Client, body: &Value) -> Reply {
        self.owner("POST", &client.path("/secrets"), body).await
    }

    /// The client with a secret that is a second newer than all others.
    async fn renewed(&self, client: &Client, body: &Value) -> Client {
        self.api.app.advance(SECOND).await;
        let reply = self.add_secret(client, body).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        Client { secret: reply.json()["client_secret"].as_str().unwrap().to_owned(), ..client.clone() }
    }

    async fn end_secret(&self, client: &Client, secret: &str) -> Reply {
        self.owner("DELETE", &client.path(&format!("/secrets/{secret}")), &json!({})).await
    }

    /// The ids of the app's secrets, newest first.
    async fn secrets(&self, client: &Client) -> Vec<String> {
        let app = self.shown(client).await;
        app["secrets"].as_array().unwrap().iter().map(|held| held["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Seconds from now to the ends of the app's secrets, newest first.
    async fn ends(&self, client: &Client) -> Vec<Option<i64>> {
        let now = self.api.app.env.now();
        let app = self.shown(client).await;
        let end =
            |held: &Value| Some((held["expires_at"].as_str()?.parse::<DateTime<Utc>>().unwrap() - now).num_seconds());
        app["secrets"].as_array().unwrap().iter().map(end).collect()
    }

    /// Whether the token endpoint takes the secret.
    async fn takes(&self, client: &Client) -> bool {
        let form = [("grant_type", "client_credentials")];
        self.api.post("/oauth/token").client(client).form(&form).send().await.status == 200
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_is_shown_once_and_kept_by_nobody() {
    let (world, client) = registered().await;
    world.api.app.advance(SECOND).await;
    let reply = world.add_secret(&client, &json!({"label": "Deploy \u{1F511}"})).await;
    let json = reply.json();
    let secret = json["client_secret"].as_str().unwrap().to_owned();
    let listed = world.shown(&client).await["secrets"][0].clone();
    let again = [world.read(&client.path("")).await.text, world.read(APPS).await.text, world.dump().await];
    let mut members: Vec<&String> = json.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(
        (
            (reply.status, reply.header("cache-control"), members),
            (&json["secret"], &json["secret"]["label"], json["secret"]["last4"].as_str().unwrap()),
            again.map(|text| text.contains(&secret))
        ),
        (
            (201, "no-store", vec![&"client_secret".to_owned(), &"secret".to_owned()]),
            (&listed, &json!("Deploy \u{1F511}"), &secret[secret.len() - 4..]),
            [false; 3]
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_word_the_earlier_secret_ends_after_a_week() {
    let (world, client) = registered().await;
    world.api.app.advance(SECOND).await;
    let reply = world.api.post(&client.path("/secrets")).browser(&world.owner).send().await;
    assert_eq!((reply.status, world.ends(&client).await), (201, vec![None, Some(WEEK)]), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_secrets_are_good_until_the_overlap_is_over() {
    let (world, old) = registered().await;
    let new = world.renewed(&old, &json!({"overlap_seconds": 3_600})).await;
    let mut seen = vec![(world.takes(&old).await, world.takes(&new).await)];
    world.api.app.advance(HOUR - SECOND).await;
    seen.push((world.takes(&old).await, world.takes(&new).await));
    world.api.app.advance(SECOND).await;
    seen.push((world.takes(&old).await, world.takes(&new).await));
    assert_eq!(seen, [(true, true), (true, true), (false, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_overlap_ends_every_earlier_secret_at_once_on_every_instance() {
    let (world, first) = registered().await;
    let second = world.renewed(&first, &json!({})).await;
    let third = world.renewed(&second, &json!({"overlap_seconds": 0})).await;
    let other = world.second().await;
    let form = [("grant_type", "client_credentials")];
    let mut elsewhere = Vec::new();
    for client in [&first, &second, &third] {
        elsewhere.push(other.post("/oauth/token").client(client).form(&form).send().await.status);
    }
    let here = [world.takes(&first).await, world.takes(&second).await, world.takes(&third).await];
    assert_eq!((here, elsewhere), ([false, false, true], vec![401, 401, 200]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_end_stays_and_a_later_one_comes_nearer() {
    let (world, client) = registered().await;
    for overlap in [3_600, 60, 7_200] {
        world.renewed(&client, &json!({"overlap_seconds": overlap})).await;
    }
    assert_eq!(world.ends(&client).await, [None, Some(7_200), Some(59), Some(59)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_has_five_live_secrets_at_most() {
    let (world, client) = registered().await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(world.add_secret(&client, &json!({})).await.outcome());
    }
    let mut expected = vec![(201, String::new()); 4];
    expected.push((409, "too_many_secrets".to_owned()));
    assert_eq!((seen, world.secrets(&client).await.len()), (expected, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_secret_makes_room() {
    let (world, client) = registered().await;
    for _ in 0..4 {
        world.renewed(&client, &json!({"overlap_seconds": 3_600})).await;
    }
    let ids = world.secrets(&client).await;
    world.end_secret(&client, &ids[4]).await;
    let after_an_end = world.add_secret(&client, &json!({"overlap_seconds": 3_600})).await.status;
    let full = world.add_secret(&client, &json!({"overlap_seconds": 3_600})).await.status;
    world.api.app.advance(HOUR).await;
    let after_the_overlap = world.add_secret(&client, &json!({})).await.status;
    assert_eq!([after_an_end, full, after_the_overlap], [201, 409, 201]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_overlap_a_full_app_gets_a_new_secret_too() {
    let (world, client) = registered().await;
    for _ in 0..4 {
        world.renewed(&client, &json!({})).await;
    }
    let leaked = world.renewed(&client, &json!({"overlap_seconds": 0})).await;
    assert_eq!((world.takes(&leaked).await, world.takes(&client).await), (true, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_ended_at_once_and_twice_is_no_error() {
    let (world, old) = registered().await;
    let new = world.renewed(&old, &json!({})).await;
    let ids = world.secrets(&old).await;
    let first = world.end_secret(&old, &ids[1]).await;
    let second = world.end_secret(&old, &ids[1]).await;
    let events = world.events("app.secret_revoke").await;
    let told: Vec<_> = events.iter().map(|event| json!([event["request_id"], event["detail"]["secret_id"]])).collect();
    assert_eq!(
        ([first.status, second.status], [world.takes(&old).await, world.takes(&new).await], told),
        ([204, 204], [false, true], vec![json!([first.request_id(), ids[1]])])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_live_secret_stays() {
    let (world, old) = registered().await;
    let alone = world.secrets(&old).await;
    let only = world.end_secret(&old, &alone[0]).await.outcome();
    world.renewed(&old, &json!({"overlap_seconds": 0})).await;
    let ids = world.secrets(&old).await;
    let last = world.end_secret(&old, &ids[0]).await.outcome();
    let refused = (409, "last_secret".to_owned());
    assert_eq!([only, last], [refused.clone(), refused]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_are_ended_at_once_one_stays() {
    let (world, client) = registered().await;
    world.renewed(&client, &json!({})).await;
    let ids = world.secrets(&client).await;
    let (one, two) = tokio::join!(world.end_secret(&client, &ids[0]), world.end_secret(&client, &ids[1]));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_are_added_at_once_five_are_live() {
    let (world, client) = registered().await;
    let body = json!({});
    let replies = futures_util::future::join_all((0..8).map(|_| world.add_secret(&client, &body))).await;
    let count = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!((count(201), count(409), world.secrets(&client).await.len()), (4, 4, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_gets_no_secret() {
    let world = World::new().await;
    let client = world.app(public()).await;
    let reply = world.add_secret(&client, &json!({})).await;
    assert_eq!((reply.outcome(), world.secrets(&client).await.len()), ((409, "app_is_public".to_owned()), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_another_app_or_of_none_is_not_found() {
    let (world, client) = registered().await;
    let other = world.app(confidential()).await;
    world.renewed(&other, &json!({})).await;
    let theirs = world.secrets(&other).await[1].clone();
    let mut seen = Vec::new();
    for secret in [theirs.as_str(), "00000000-0000-7000-8000-000000000000", "nonsense", &client.app] {
        seen.push(world.end_secret(&client, secret).await.outcome());
    }
    assert_eq!((seen, world.takes(&other).await), (vec![(404, "not_found".to_owned()); 4], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlap_and_label_have_bounds() {
    let (world, client) = registered().await;
    let mut seen = Vec::new();
    for body in [
        json!({"overlap_seconds": -1}),
        json!({"overlap_seconds": 7_776_001}),
        json!({"overlap_seconds": "60"}),
        json!({"overlap_seconds": null}),
        json!({"label": ""}),
        json!({"label": "x".repeat(101)}),
        json!({"label": "a\nb"}),
        json!({"label": "a\u{202e}b"}),
        json!({"label": "a\u{0}"}),
        json!({"label": client.secret}),
        json!({"overlap": 60}),
    ] {
        let reply = world.add_secret(&client, &body).await;
        let field = reply.fields().join(", ").split(':').next().unwrap().to_owned();
        seen.push((reply.status, field, reply.text.contains(&client.secret)));
    }
    let fields = [["overlap_seconds"; 4].as_slice(), &["label"; 6], &["overlap"]].concat();
    let expected: Vec<_> = fields.into_iter().map(|field| (422, field.to_owned(), false)).collect();
    assert_eq!((seen, world.secrets(&client).await.len()), (expected, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_overlap_and_label_are_taken() {
    let (world, client) = registered().await;
    world.api.app.advance(SECOND).await;
    let body = json!({"overlap_seconds": 7_776_000, "label": "\u{1F511}".repeat(100)});
    let status = world.add_secret(&client, &body).await.status;
    assert_eq!((status, world.ends(&client).await), (201, vec![None, Some(7_776_000)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_is_one_event_without_the_secret() {
    let (world, client) = registered().await;
    let reply = world.add_secret(&client, &json!({"overlap_seconds": 60})).await;
    let events = world.events("app.secret_create").await;
    let told: Vec<_> = events
        .iter()
        .map(|e| {
            json!([e["request_id"], e["detail"]["app_id"], e["detail"]["secret_id"], e["detail"]["overlap_seconds"]])
        })
        .collect();
    let expected = json!([reply.request_id(), client.app, reply.json()["secret"]["id"], 60]);
    assert_eq!(told, [expected]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_app_can_get_a_new_secret_before_it_comes_back() {
    let (world, old) = registered().await;
    world.change_app(&old, &json!({"status": "suspended"})).await;
    let new = world.renewed(&old, &json!({"overlap_seconds": 0})).await;
    let while_suspended = world.takes(&new).await;
    world.change_app(&old, &json!({"status": "active"})).await;
    assert_eq!([while_suspended, world.takes(&new).await, world.takes(&old).await], [false, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_secrets_are_alike() {
    let world = World::new().await;
    let mut secrets = Vec::new();
    for name in ["a", "b", "c"] {
        let client = world.app(with(confidential(), json!({"name": name}))).await;
        secrets.push(world.renewed(&client, &json!({})).await.secret);
        secrets.push(client.secret);
    }
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets.len(), 6);
}

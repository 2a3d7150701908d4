//! Which redirect URI is followed: equality of bytes, and the ports of loopback addresses (oauth §3.2, §3.3).

use serde_json::json;

use crate::{
    client::{Client, REDIRECT, authorize_path, confidential, encoded, public, with},
    help::{fields, is_page},
    support::World,
};

/// Those of the redirect URIs, byte for byte as they stand in the query, that are followed.
async fn followed<'u>(world: &World, client: &Client, uris: &[&'u str]) -> Vec<&'u str> {
    let path = authorize_path(client, &[("redirect_uri", "")]);
    let mut followed = Vec::new();
    for uri in uris {
        let reply = world.read(&format!("{path}&redirect_uri={uri}")).await;
        if !is_page(&reply) {
            followed.push(*uri);
        }
    }
    followed
}

/// spec: oauth C1, C2, C3, C6, C9, C11, C12, C13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_resembles_the_registered_address_is_followed() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let uris = [
        "https://app.example/cb%2f",
        "https://app.example/cb/",
        "https://app.example/cb%3f",
        "https://app.example/cb%23",
        "https://app.example/cb%23f",
        "https://app.example/cb%3fx%3d1",
        "https://app.example/cb;x",
        "https://app.example/cb/../cb",
        "https://app.example/./cb",
        "https://app.example//cb",
        "https://app.example/",
        "https://app.example",
        "https://app.example/cb2",
        "https://app.example/c",
        "https://app.example/CB",
        "https://app.EXAMPLE/cb",
        "HTTPS://app.example/cb",
        "http://app.example/cb",
        "//app.example/cb",
        "/cb",
        "app.example/cb",
        "https://app.example:443/cb",
        "https://app.example:8443/cb",
        "https://app.example./cb",
        "https://www.app.example/cb",
        "https://app.example.evil.example/cb",
        "https://evil.example/https://app.example/cb",
        "https://app.example@evil.example/cb",
        "https://user@app.example/cb",
        "https://evil.example%5c@app.example/cb",
        "https://app.example%5c.evil.example/cb",
        "https:app.example/cb",
        "https:/app.example/cb",
        "https:%5c%5capp.example/cb",
        "https://app%2eexample/%2563b",
        "https://app.example/%2563b",
        "https://app.example/cb%00",
        "https://app.example/cb%00.evil.example",
        "%00https://app.example/cb",
        "https://app.example/cb%0a",
        "https://app.example/cb%0d%0aSet-Cookie:%20a=b",
        "https://app.example/cb%09",
        "https://app.example/cb%20",
        "+https://app.example/cb",
        "https://app.example/cb+",
        "https://app.example/cb%ff",
        "https://app.example/cb%",
        "https://app.example/cb%zz",
        "https://app.example/c%d0%b1",
        "https://%ef%bd%81pp.example/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://*.example/cb",
        "",
    ];
    assert_eq!(followed(&world, &client, &uris).await, <[&str; 0]>::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_one_byte_is_a_mismatch() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut changed = Vec::new();
    for at in 0..=REDIRECT.len() {
        let (before, after) = REDIRECT.split_at(at);
        changed.extend(["x", ".", "/"].map(|byte| format!("{before}{byte}{after}")));
        if let Some(byte) = after.bytes().next() {
            changed.push(format!("{before}{}", &after[1..]));
            changed.push(format!("{before}{}{}", char::from(byte ^ 0x01), &after[1..]));
            changed.push(format!("{before}{}{}", char::from(byte ^ 0x20), &after[1..]));
        }
    }
    let encoded: Vec<String> = changed.iter().map(|uri| encoded(&[("", uri)]).split_off(1)).collect();
    let uris: Vec<&str> = encoded.iter().map(String::as_str).collect();
    assert_eq!((followed(&world, &client, &uris).await, uris.len()), (vec![], 6 * REDIRECT.len() + 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parameter_is_decoded_exactly_once() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"redirect_uris": ["https://app.example/c%20b+c?x=%2F"]}))).await;
    let uris = [
        "https%3A%2F%2Fapp.example%2Fc%2520b%2Bc%3Fx%3D%252F",
        "https://app.example/c%2520b%2Bc?x=%252F",
        "https://app.example/c%2520b%2Bc?x=%252f",
        "https://app.example/c%20b%2Bc?x=%2F",
        "https://app.example/c%2520b+c?x=%252F",
        "https://app.example/c%252520b%2Bc?x=%25252F",
    ];
    assert_eq!(followed(&world, &client, &uris).await, uris[..2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_registered_address_is_one_of_its_own() {
    let world = World::new().await;
    let both = json!({"redirect_uris": ["https://app.example/one", "https://b.example/two"]});
    let client = world.app(with(confidential(), both)).await;
    let uris = ["https://app.example/one", "https://b.example/two", "https://app.example/two", "https://b.example/one"];
    assert_eq!(followed(&world, &client, &uris).await, uris[..2]);
}

/// spec: oauth C16, C17, C18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loopback_address_takes_every_port_that_there_is_and_nothing_else() {
    let world = World::new().await;
    let client =
        world.app(with(public(), json!({"redirect_uris": ["http://127.0.0.1/cb", "http://[::1]:3000/cb?x=1"]}))).await;
    let uris = [
        "http://127.0.0.1/cb",
        "http://127.0.0.1:1/cb",
        "http://127.0.0.1:65535/cb",
        "http://[::1]/cb?x=1",
        "http://[::1]:51004/cb?x=1",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:080/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:%2b80/cb",
        "http://127.0.0.1:8%200/cb",
        "http://127.0.0.1:80:80/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1:evil@evil.example/cb",
        "http://127.0.0.1:51004.evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:51004/CB",
        "http://127.0.0.1:51004/cb/",
        "http://127.0.0.1:51004/cb?x=1",
        "http://127.0.0.1:51004/cb%23",
        "http://127.0.0.1:51004",
        "https://127.0.0.1:51004/cb",
        "HTTP://127.0.0.1:51004/cb",
        "http://user@127.0.0.1:51004/cb",
        "http://127.0.0.2:51004/cb",
        "http://127.1:51004/cb",
        "http://2130706433:51004/cb",
        "http://0x7f.0.0.1:51004/cb",
        "http://0177.0.0.1:51004/cb",
        "http://127.0.0.1%5c@evil.example/cb",
        "http://localhost:51004/cb",
        "http://0.0.0.0:51004/cb",
        "http://[::1]:51004/cb",
        "http://[0:0:0:0:0:0:0:1]:51004/cb?x=1",
        "http://[::0001]:51004/cb?x=1",
        "http://[::ffff:127.0.0.1]:51004/cb",
        "http://[::1%2500]:51004/cb?x=1",
    ];
    assert_eq!(followed(&world, &client, &uris).await, uris[..5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confidential_app_on_the_loopback_takes_every_port_too() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"redirect_uris": ["http://127.0.0.1/cb"]}))).await;
    let uris = ["http://127.0.0.1:51004/cb"];
    assert_eq!(followed(&world, &client, &uris).await, uris);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localhost_takes_other_ports_only_where_the_app_says_so() {
    let world = World::new().await;
    let client = world.app(with(public(), json!({"redirect_uris": ["http://localhost/cb"]}))).await;
    let uris = [
        "http://localhost/cb",
        "http://localhost:51004/cb",
        "http://LOCALHOST:51004/cb",
        "http://localhost.:51004/cb",
        "http://localhost.evil.example/cb",
        "http://localhost:51004/cb2",
        "http://127.0.0.1:51004/cb",
        "https://localhost:51004/cb",
    ];
    let without = followed(&world, &client, &uris).await;
    world.change_app(&client, &fields("any_port_on_localhost", json!(true))).await;
    assert_eq!((without, followed(&world, &client, &uris).await), (uris[..1].to_vec(), uris[..2].to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_scheme_gets_its_answer() {
    let world = World::new().await;
    let client = world.app(with(public(), json!({"redirect_uris": ["com.example.app:/cb"]}))).await;
    let page = world.authorize(&client, &[]).await;
    let reply = world.api.allow(&world.owner, &page).await;
    assert!(reply.location().starts_with("com.example.app:/cb?code=sp_ac_"), "{}", reply.location());
}

/// spec: oauth A1, A2, A5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_or_address_that_is_given_twice_or_can_not_be_read_is_none() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.app(with(confidential(), json!({"redirect_uris": ["https://b.example/"]}))).await;
    let (good, id) = (authorize_path(&client, &[]), client.id.as_str());
    let (without_id, without_uri) =
        (authorize_path(&client, &[("client_id", "")]), authorize_path(&client, &[("redirect_uri", "")]));
    let mut accepted = Vec::new();
    for path in [
        format!("{good}&client_id={id}"),
        format!("{good}&client_id={}", other.id),
        format!("{good}&client_id="),
        format!("{without_id}&client_id=&client_id={id}"),
        format!("{without_id}&client_id={id}%00"),
        format!("{without_id}&client_id={id}%20"),
        format!("{without_id}&client_id=%20{id}"),
        format!("{without_id}&client_id={}", id.to_uppercase()),
        format!("{without_id}&client_id={}", id.trim_start_matches("sp_app_")),
        format!("{without_id}&client_id={id}%ff"),
        format!("{without_id}&client_id={}", client.app),
        format!("{without_id}&Client_Id={id}"),
        format!("{without_id}&client_id[]={id}"),
        format!("{without_id}&client_id=%25"),
        format!("{good}&redirect_uri={REDIRECT}"),
        format!("{good}&redirect_uri=https://evil.example/"),
        format!("{good}&redirect_uri="),
        format!("{without_uri}&redirect_uri="),
        format!("{without_uri}&redirect_uri=https://b.example/"),
        format!("{without_uri}&Redirect_URI={REDIRECT}"),
        format!("{without_uri}&redirect_uri[]={REDIRECT}"),
    ] {
        let replies = [world.read(&path).await, world.api.get(&path).send().await];
        if !replies.iter().all(is_page) {
            accepted.push((path, replies.map(|reply| (reply.status, reply.location().to_owned()))));
        }
    }
    assert_eq!((accepted, world.kept().await), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_or_deleted_app_looks_like_an_unknown_one_to_strangers_too() {
    let world = World::new().await;
    let (suspended, deleted) = (world.app(confidential()).await, world.app(confidential()).await);
    world.change_app(&suspended, &fields("status", json!("suspended"))).await;
    world.owner("DELETE", &deleted.path(""), &json!({})).await;
    let unknown = Client { id: "sp_app_AAAAAAAAAAAAAAAAAAAAAA".to_owned(), ..suspended.clone() };
    let mut texts = Vec::new();
    for client in [&suspended, &deleted, &unknown] {
        let reply = world.api.get(&authorize_path(client, &[])).send().await;
        texts.push((is_page(&reply), reply.text.replace(reply.request_id(), "")));
    }
    texts.dedup();
    assert!(texts.len() == 1 && texts[0].0, "{texts:?}");
}

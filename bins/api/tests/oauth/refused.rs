//! Requests that end at a page of ours: nobody is redirected for a wrong app or redirect URI.

use serde_json::json;

use crate::{
    client::{Client, STATE, authorize_path, confidential, encoded, public, with},
    support::{Reply, World},
};

/// `page` of the spec: 400, HTML, no `Location`, no form.
fn is_page(reply: &Reply) -> bool {
    reply.status == 400
        && reply.header("content-type").starts_with("text/html")
        && reply.location().is_empty()
        && !reply.text.contains("<form")
}

/// The visible text, without the request id.
fn text(reply: &Reply) -> String {
    reply.text.replace(reply.request_id(), "")
}

async fn refused(app: serde_json::Value, redirect: &str) -> Reply {
    let world = World::new().await;
    let client = world.app(app).await;
    world.authorize(&client, &[("redirect_uri", redirect)]).await
}

/// spec: oauth A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_client_id_there_is_a_page() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = world.authorize(&client, &[("client_id", "")]).await;
    assert!(is_page(&reply), "{} {}", reply.status, reply.text);
}

/// spec: oauth A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_client_gets_the_same_page_and_no_echo() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let missing = world.authorize(&client, &[("client_id", "")]).await;
    let unknown = world.authorize(&client, &[("client_id", "<nope>")]).await;
    assert_eq!((is_page(&unknown), text(&unknown), unknown.text.contains("nope")), (true, text(&missing), false));
}

/// spec: oauth A5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_uri_is_required_even_where_one_is_registered() {
    let reply = refused(confidential(), "").await;
    assert!(is_page(&reply), "{} {}", reply.status, reply.text);
}

/// spec: oauth A6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_app_gets_a_page() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.change_app(&client, &json!({"status": "suspended"})).await;
    let reply = world.authorize(&client, &[]).await;
    assert!(is_page(&reply), "{} {}", reply.status, reply.text);
}

/// spec: oauth A9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_told_which_ones_there_are() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[]);
    let mut seen = Vec::new();
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let reply = world.api.ask(method, &path).cookie(&world.owner).send().await;
        seen.push((reply.status, reply.header("allow").to_owned()));
    }
    assert_eq!(seen, vec![(405, "GET, POST, HEAD".to_owned()); 3]);
}

/// spec: oauth A10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_64_kib_is_too_long() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let long = "x".repeat(64 * 1024 - 600);
    let reply = world.authorize(&client, &[("foo", &long)]).await;
    assert_eq!((reply.status, reply.location()), (414, ""));
}

/// spec: oauth A11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_sent_to_the_sign_in_and_nowhere_else() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = world.api.get(&authorize_path(&client, &[("scope", "bogus")])).send().await;
    assert!(reply.status == 303 && reply.location().starts_with("/login?request="), "{}", reply.location());
}

/// spec: oauth C1, C2, C3, C6, C9, C11, C12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_uri_that_differs_in_any_byte_is_refused() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut accepted = Vec::new();
    for uri in [
        "https://app.example/cb/",
        "https://app.example/CB",
        "https://APP.example/cb",
        "https://app.example/cb#f",
        "https://app.example@evil.example/cb",
        "https://evil.example\\@app.example/cb",
        "http://app.example/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.example/cb?x=1",
        "https://app.example:443/cb",
        "https://sub.app.example/cb",
        " https://app.example/cb",
        "https://app.example/cb ",
        "https://app.example/%63b",
    ] {
        let reply = world.authorize(&client, &[("redirect_uri", uri)]).await;
        if !is_page(&reply) {
            accepted.push((uri, reply.status));
        }
    }
    assert_eq!(accepted, []);
}

/// spec: oauth C13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_break_in_the_redirect_uri_makes_no_header() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let query = encoded(&[("client_id", &client.id), ("response_type", "code"), ("state", STATE)]);
    let path = format!("/oauth/authorize?{query}&redirect_uri=https://app.example/cb%0d%0aSet-Cookie:%20a=b");
    let reply = world.api.get(&path).cookie(&world.owner).send().await;
    assert!(is_page(&reply) && reply.header("set-cookie").is_empty(), "{}", reply.text);
}

/// spec: oauth C17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loopback_of_ipv6_takes_any_port_too() {
    let world = World::new().await;
    let client = world.app(with(public(), json!({"redirect_uris": ["http://[::1]/cb"]}))).await;
    let reply = world.authorize(&client, &[("redirect_uri", "http://[::1]:51004/cb")]).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

/// spec: oauth C18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localhost_is_not_the_loopback_address() {
    let reply = refused(public(), "http://localhost:51004/cb").await;
    assert!(is_page(&reply), "{} {}", reply.status, reply.text);
}

/// spec: oauth C21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirect_uris_that_can_be_misread_are_not_registered() {
    let world = World::new().await;
    let long = format!("https://app.example/{}", "x".repeat(2_048));
    let mut wrong = Vec::new();
    for uri in [
        "http://app.example/cb",
        "https://*.example/cb",
        "https://app.example/cb#x",
        "https://app.example/cb#",
        "javascript:alert(1)",
        "/cb",
        "https://user@app.example/cb",
        &long,
        "https://app.example/c\nb",
    ] {
        let app = with(confidential(), json!({"redirect_uris": [uri]}));
        let reply = world.owner("POST", "/v1/orgs/acme/apps", &app).await;
        if reply.status != 422 || !reply.fields()[0].starts_with("redirect_uris[0]: ") {
            wrong.push((uri.to_owned(), reply.text));
        }
    }
    let listed = world.api.get("/v1/orgs/acme/apps").cookie(&world.owner).send().await.json();
    assert_eq!((wrong, &listed["items"]), (Vec::new(), &json!([])));
}

/// spec: oauth C22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registered_query_is_kept_and_extended() {
    let world = World::new().await;
    let app = with(confidential(), json!({"redirect_uris": ["https://app.example/cb?tenant=7"]}));
    let client: Client = world.app(app).await;
    let page = world.authorize(&client, &[]).await;
    let reply = world.api.allow(&world.owner, &page).await;
    let start = "https://app.example/cb?tenant=7&code=sp_ac_";
    let rest = ["&state=st-12345678", "&iss="].iter().all(|part| reply.location().contains(part));
    assert!(reply.location().starts_with(start) && rest, "{}", reply.location());
}

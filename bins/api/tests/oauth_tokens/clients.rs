//! Client authentication (oauth §4.4).

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use crate::{
    client::{Client, Tokens, basic, confidential, encoded, public, with},
    help::{error, face, invalid_grant, outcome, outcomes, redemption, rotation, tokens},
    support::{Ask, Reply, World},
};

const WRONG: &str = "sp_cs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Has the form of a client id and is nobody's.
const NOBODY: &str = "sp_app_AAAAAAAAAAAAAAAAAAAAAA";

/// The usual app with a code of it.
async fn coded() -> (World, Client, String) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    (world, client, code)
}

/// A redemption whose client says who it is in some other way.
fn asks<'w>(world: &'w World, client: &Client, code: &str) -> Ask<'w> {
    world.api.post("/oauth/token").raw_form(redemption(client, code))
}

/// The same with more in the body.
async fn with_body(world: &World, client: &Client, code: &str, more: &[(&str, &str)]) -> Reply {
    let body = format!("{}&{}", redemption(client, code), encoded(more));
    world.api.post("/oauth/token").raw_form(body).send().await
}

/// spec: oauth F1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_secret_in_a_basic_header_is_accepted_with_the_scheme_in_any_case() {
    let (world, client, _) = coded().await;
    let mut told = Vec::new();
    for scheme in ["Basic", "basic", "BASIC"] {
        let code = world.code(&client).await;
        let header = client.basic().replacen("Basic", scheme, 1);
        told.push(outcome(&asks(&world, &client, &code).header("authorization", header).send().await));
    }
    assert_eq!(told, vec![tokens(); 3]);
}

/// spec: oauth F2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_in_a_basic_header_is_challenged_and_leaves_the_code_usable() {
    let (world, client, code) = coded().await;
    let wrong = asks(&world, &client, &code).header("authorization", basic(&client.id, WRONG)).send().await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(
        (outcomes([&wrong, &right]), wrong.header("www-authenticate")),
        (vec![error("invalid_client"), tokens()], r#"Basic realm="StatusPulse""#)
    );
}

/// spec: oauth F2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_compared_exactly() {
    let (world, client, code) = coded().await;
    let secret = &client.secret;
    let almost = [
        format!("{secret} "),
        format!(" {secret}"),
        format!("{secret}\n"),
        format!("{secret}%00"),
        secret.to_uppercase(),
        secret.get(..54).unwrap().to_owned(),
        String::new(),
    ];
    let mut told = Vec::new();
    for secret in almost {
        told.push(outcome(
            &asks(&world, &client, &code).header("authorization", basic(&client.id, &secret)).send().await,
        ));
    }
    assert_eq!(told, vec![error("invalid_client"); 7]);
}

/// spec: oauth F3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_in_the_body_is_challenged_like_one_in_the_header() {
    let (world, client, code) = coded().await;
    let posted = with_body(&world, &client, &code, &[("client_id", &client.id), ("client_secret", WRONG)]).await;
    let header = asks(&world, &client, &code).header("authorization", basic(&client.id, WRONG)).send().await;
    assert_eq!((outcome(&posted), face(&posted)), (error("invalid_client"), face(&header)));
}

/// spec: oauth F3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_secret_in_the_body_is_accepted() {
    let (world, client, code) = coded().await;
    let more = [("client_id", client.id.as_str()), ("client_secret", &client.secret)];
    assert_eq!(outcome(&with_body(&world, &client, &code, &more).await), tokens());
}

/// spec: oauth F4, F24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_wrong_ended_suspended_and_deleted_look_the_same() {
    let world = World::new().await;
    let [client, rotated, suspended, deleted] = [
        world.app(confidential()).await,
        world.app(confidential()).await,
        world.app(confidential()).await,
        world.app(confidential()).await,
    ];
    let path = |client: &Client, rest: &str| format!("/v1/orgs/acme/apps/{}{rest}", client.app);
    let added = world.owner("POST", &path(&rotated, "/secrets"), &json!({"overlap_seconds": 0})).await.status;
    world.suspend(&suspended).await;
    let gone = world.owner("DELETE", &path(&deleted, ""), &json!({})).await.status;
    let headers = [
        basic(NOBODY, WRONG),
        basic("nope", WRONG),
        basic(&client.id, WRONG),
        rotated.basic(),
        suspended.basic(),
        deleted.basic(),
        basic(&suspended.id, WRONG),
    ];
    let mut faces = BTreeSet::new();
    for header in &headers {
        faces.insert(face(&asks(&world, &client, "x").header("authorization", header).send().await));
    }
    assert_eq!((added, gone, faces.len()), (201, 204, 1), "{faces:?}");
}

/// spec: oauth F24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_app_is_refused_like_a_wrong_secret() {
    let (world, client, code) = coded().await;
    world.suspend(&client).await;
    let suspended = world.redeem(&client, &code).await;
    let wrong = asks(&world, &client, &code).header("authorization", basic(&client.id, WRONG)).send().await;
    assert_eq!((outcome(&suspended), face(&suspended)), (error("invalid_client"), face(&wrong)));
}

/// spec: oauth F5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_not_a_client() {
    let (world, client, code) = coded().await;
    let mut told = vec![outcome(&asks(&world, &client, &code).send().await)];
    for more in [[("client_id", "")], [("client_secret", &client.secret)]] {
        told.push(outcome(&with_body(&world, &client, &code, &more).await));
    }
    assert_eq!(told, vec![error("invalid_client"); 3]);
}

/// spec: oauth F6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confidential_app_needs_its_secret() {
    let (world, client, code) = coded().await;
    let bare = with_body(&world, &client, &code, &[("client_id", &client.id)]).await;
    let empty = with_body(&world, &client, &code, &[("client_id", &client.id), ("client_secret", "")]).await;
    let header = asks(&world, &client, &code).header("authorization", basic(&client.id, "")).send().await;
    let right = world.redeem(&client, &code).await;
    let refused = error("invalid_client");
    assert_eq!(outcomes([&bare, &empty, &header, &right]), [refused.clone(), refused.clone(), refused, tokens()]);
}

/// spec: oauth F7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ways_at_once_are_a_bad_request_and_harm_nothing() {
    let (world, client, code) = coded().await;
    let mut told = Vec::new();
    let secrets: [&[(&str, &str)]; 3] = [
        &[("client_secret", &client.secret)],
        &[("client_id", &client.id), ("client_secret", &client.secret)],
        &[("client_id", &client.id), ("client_secret", WRONG)],
    ];
    for more in secrets {
        let body = format!("{}&{}", redemption(&client, &code), encoded(more));
        told.push(outcome(&world.api.send_raw(&client, body).await));
    }
    told.push(outcome(&world.redeem(&client, &code).await));
    assert_eq!(told, [vec![error("invalid_request"); 3], vec![tokens()]].concat());
}

/// spec: oauth F9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_in_header_and_body_is_fine_and_another_one_is_not() {
    let (world, client, code) = coded().await;
    let other = world.app(confidential()).await;
    let mut told = Vec::new();
    for id in [other.id.as_str(), "nope", "%00", client.id.as_str()] {
        let body = format!("{}&client_id={id}", redemption(&client, &code));
        told.push(outcome(&world.api.send_raw(&client, body).await));
    }
    assert_eq!(told, [vec![error("invalid_request"); 3], vec![tokens()]].concat());
}

/// spec: oauth F12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_and_secret_of_a_basic_header_are_decoded_as_a_form() {
    let (world, client, code) = coded().await;
    let partly = |text: &str| text.replace('_', "%5F").replace('-', "%2d");
    let whole = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let mut told = Vec::new();
    let headers = [
        basic(&partly(&client.id), &partly(&client.secret)),
        basic(&whole(&client.id), &whole(&client.secret)),
        // Decoded once and no more.
        basic(&client.id, &partly(&client.secret).replace('%', "%25")),
    ];
    for header in headers {
        told.push(outcome(&asks(&world, &client, &code).header("authorization", header).send().await));
    }
    // The second one is a valid replay: it was authenticated.
    assert_eq!(told, [tokens(), invalid_grant(), error("invalid_client")]);
}

/// spec: oauth F13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_secrets_need_no_encoding() {
    let (world, client, code) = coded().await;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let reply = world.redeem(&client, &code).await;
    assert_eq!((plain(&client.id), plain(&client.secret), outcome(&reply)), (true, true, tokens()));
}

/// spec: oauth F14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_and_secret_in_the_url_are_not_read() {
    let (world, client, code) = coded().await;
    let both = encoded(&[("client_id", &client.id), ("client_secret", &client.secret)]);
    let secret = encoded(&[("client_secret", &client.secret)]);
    let ask = |query: &str| world.api.post(&format!("/oauth/token?{query}"));
    let all = ask(&both).raw_form(redemption(&client, &code)).send().await;
    let half = ask(&secret).raw_form(format!("{}&client_id={}", redemption(&client, &code), client.id)).send().await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&all, &half, &right]), [error("invalid_client"), error("invalid_client"), tokens()]);
}

/// spec: oauth F15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_says_its_id_and_proves_the_verifier() {
    let world = World::new().await;
    let client = world.app(public()).await;
    let code = world.code(&client).await;
    let bare = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    let right = world.redeem(&client, &code).await;
    let refreshed = world.refresh(&client, &Tokens::of(&right).refresh).await;
    assert_eq!(outcomes([&bare, &right, &refreshed]), [invalid_grant(), tokens(), tokens()]);
}

/// spec: oauth F15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_with_a_secret_is_refused() {
    let world = World::new().await;
    let client = world.app(public()).await;
    let code = world.code(&client).await;
    let posted = with_body(&world, &client, &code, &[("client_id", &client.id), ("client_secret", WRONG)]).await;
    let header = asks(&world, &client, &code).header("authorization", basic(&client.id, WRONG)).send().await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&posted, &header, &right]), [error("invalid_client"), error("invalid_client"), tokens()]);
}

/// spec: oauth F5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_is_refused() {
    let (world, client, code) = coded().await;
    let assertion = [
        ("client_id", client.id.as_str()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", "eyJhbGciOiJub25lIn0.e30."),
    ];
    let bare = with_body(&world, &client, &code, &assertion).await;
    let body = format!("{}&{}", redemption(&client, &code), encoded(&assertion));
    let beside = world.api.send_raw(&client, body).await;
    assert_eq!(outcomes([&bare, &beside]), vec![error("invalid_client"); 2]);
}

/// spec: oauth F2, G23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_authorization_header_is_never_a_fault_of_ours() {
    let (world, client, code) = coded().await;
    let long = format!("Basic {}", "QUFB".repeat(2_000));
    let headers: [&[u8]; 17] = [
        b"",
        b" ",
        b"Basic",
        b"Basic ",
        b"Basic =",
        b"Basic !!!!",
        b"Basic YTpi YTpi",
        b"Basic YQ==",
        b"Basic Og==",
        b"Basic AAAA",
        b"Basic /////w==",
        b"Basic JTAwOiUwMA==",
        b"Basic JXp6OiV6eg==",
        b"\xff\xfe",
        b"Bearer sp_at_x",
        b"Digest username=\"x\"",
        long.as_bytes(),
    ];
    let mut told = Vec::new();
    for header in headers {
        let reply = asks(&world, &client, &code).raw_header("authorization", header).send().await;
        told.push((String::from_utf8_lossy(header).into_owned(), outcome(&reply)));
    }
    let expected: Vec<_> =
        headers.iter().map(|header| (String::from_utf8_lossy(header).into_owned(), error("invalid_client"))).collect();
    assert_eq!(told, expected);
}

/// spec: oauth F7, G23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_authorization_headers_are_a_bad_request() {
    let (world, client, code) = coded().await;
    let twice = asks(&world, &client, &code).client(&client).client(&client).send().await;
    let mixed = asks(&world, &client, &code).client(&client).header("authorization", "Bearer x").send().await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&twice, &mixed, &right]), [error("invalid_request"), error("invalid_request"), tokens()]);
}

/// A redemption or refresh of an app from an address.
async fn from(world: &World, client: &Client, ip: &str, body: String) -> Reply {
    world.api.post("/oauth/token").peer(ip).client(client).raw_form(body).send().await
}

/// spec: oauth F25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_its_addresses_an_app_gets_no_tokens_and_loses_none() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"allowed_cidrs": ["203.0.113.0/24"]}))).await;
    let code = world.code(&client).await;
    let outside = from(&world, &client, "198.51.100.1", redemption(&client, &code)).await;
    let inside = from(&world, &client, "203.0.113.99", redemption(&client, &code)).await;
    let refresh = Tokens::of(&inside).refresh;
    let refused = from(&world, &client, "198.51.100.1", rotation(&refresh)).await;
    let refreshed = from(&world, &client, "203.0.113.99", rotation(&refresh)).await;
    assert_eq!(
        outcomes([&outside, &inside, &refused, &refreshed]),
        [error("invalid_client"), tokens(), error("invalid_client"), tokens()]
    );
}

/// spec: oauth F25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_an_address_names_none_and_looks_like_a_wrong_secret() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"allowed_cidrs": ["203.0.113.0/24"]}))).await;
    let outside = from(&world, &client, "198.51.100.1", redemption(&client, "x")).await;
    let wrong = asks(&world, &client, "x").header("authorization", basic(&client.id, WRONG)).send().await;
    let named = ["198.51", "203.0"].map(|part| outside.text.contains(part));
    assert_eq!((face(&outside), named), (face(&wrong), [false, false]));
}

/// spec: oauth F25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarding_header_of_nobody_who_is_trusted_does_not_bring_an_app_inside() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"allowed_cidrs": ["203.0.113.0/24"]}))).await;
    let code = world.code(&client).await;
    let ask = asks(&world, &client, &code).client(&client).peer("198.51.100.1");
    let reply = ask.header("x-forwarded-for", "203.0.113.7").header("forwarded", "for=203.0.113.7").send().await;
    assert_eq!(outcome(&reply), error("invalid_client"));
}

/// Sends wrong secrets; answers how many of which status came.
async fn guess(world: &World, id: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        let ask = world.api.post("/oauth/token").header("authorization", basic(id, WRONG));
        statuses.push(ask.raw_form(rotation("x")).send().await.status);
    }
    statuses
}

/// spec: oauth F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_twenty_failures_the_right_secret_has_to_wait_too() {
    let (world, client, code) = coded().await;
    let failures = guess(&world, &client.id, 20).await;
    let reply = world.redeem(&client, &code).await;
    assert_eq!(
        (failures, outcome(&reply), reply.header("retry-after")),
        (vec![401; 20], (429, "temporarily_unavailable".to_owned()), "60")
    );
}

/// spec: oauth F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nineteen_failures_make_nobody_wait() {
    let (world, client, code) = coded().await;
    guess(&world, &client.id, 19).await;
    assert_eq!(outcome(&world.redeem(&client, &code).await), tokens());
}

/// spec: oauth F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_another_address_the_app_goes_on_and_so_does_another_app() {
    let (world, client, code) = coded().await;
    let other = world.app(confidential()).await;
    let other_code = world.code(&other).await;
    guess(&world, &client.id, 30).await;
    let elsewhere = from(&world, &client, "198.51.100.1", redemption(&client, &code)).await;
    let beside = world.redeem(&other, &other_code).await;
    assert_eq!(outcomes([&elsewhere, &beside]), [tokens(), tokens()]);
}

/// spec: oauth F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_ends_with_the_window_and_the_code_is_still_good() {
    let (world, client, code) = coded().await;
    guess(&world, &client.id, 25).await;
    world.api.app.advance(Duration::from_secs(59)).await;
    let early = world.redeem(&client, &code).await;
    world.api.app.advance(Duration::from_secs(1)).await;
    let late = world.redeem(&client, &code).await;
    assert_eq!((early.status, early.header("retry-after"), outcome(&late)), (429, "1", tokens()));
}

/// spec: oauth F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_nobody_knows_is_limited_the_same_way() {
    let world = World::new().await;
    let statuses = [guess(&world, NOBODY, 22).await, guess(&world, "nope", 22).await];
    assert_eq!(statuses, [(); 2].map(|()| [vec![401; 20], vec![429; 2]].concat()));
}

/// spec: oauth F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_wrong_secrets_at_once_twenty_are_looked_at() {
    let (world, client, _) = coded().await;
    let asked = (0..40).map(|_| guess(&world, &client.id, 1));
    let mut statuses = futures_util::future::join_all(asked).await.concat();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![401; 20], vec![429; 20]].concat());
}

/// spec: oauth F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_failed_authentication_is_not_counted() {
    let (world, client, code) = coded().await;
    for _ in 0..30 {
        world.redeem(&client, "no code").await;
        world.api.redeem(&client, &code, &[("grant_type", "nope")]).await;
    }
    assert_eq!(outcome(&world.redeem(&client, &code).await), tokens());
}

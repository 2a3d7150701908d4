//! The token endpoint as HTTP: methods, media types, parameters, and what no answer may hold (oauth §4.1 to §4.3).

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    client::{Client, Tokens, VERIFIER, basic, confidential, encoded, public, with},
    help::{error, face, invalid_grant, outcome, outcomes, redemption, rotation, tokens},
    support::{PUBLIC_URL, Reply, World},
};

/// The usual app with a code of it.
async fn coded() -> (World, Client, String) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    (world, client, code)
}

/// spec: oauth G1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_not_allowed_and_redeem_nothing() {
    let (world, client, code) = coded().await;
    let path = format!("/oauth/token?{}", redemption(&client, &code));
    let mut told = Vec::new();
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let reply = world.api.ask(method, &path).client(&client).send().await;
        told.push((reply.status, reply.header("allow").to_owned()));
    }
    let right = world.redeem(&client, &code).await;
    assert_eq!((told, outcome(&right)), (vec![(405, "POST, OPTIONS".to_owned()); 5], tokens()));
}

/// spec: oauth G1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_in_the_query_are_not_read() {
    let (world, client, code) = coded().await;
    let ask = |query: &str| world.api.post(&format!("/oauth/token?{query}")).client(&client);
    let all = ask(&redemption(&client, &code)).raw_form("").send().await;
    let bare = ask(&redemption(&client, &code)).send().await;
    let grant = ask("grant_type=authorization_code").raw_form(rotation("x").replace("grant_type", "g")).send().await;
    let beside = ask("grant_type=nope&code=nope&code=nope").raw_form(redemption(&client, &code)).send().await;
    let refused = error("invalid_request");
    assert_eq!(outcomes([&all, &bare, &grant, &beside]), [refused.clone(), refused.clone(), refused, tokens()]);
}

/// spec: oauth G2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sent_as_a_form_is_a_bad_request_and_harms_nothing() {
    let (world, client, code) = coded().await;
    let body = json!({
        "grant_type": "authorization_code", "code": code, "redirect_uri": client.redirect, "code_verifier": VERIFIER,
    });
    let mut told = vec![outcome(&world.api.post("/oauth/token").client(&client).json(&body).send().await)];
    let types = [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencodedx",
        "application/x-www-form-urlencoded/x",
        "",
        "application/json; application/x-www-form-urlencoded",
    ];
    for media_type in types {
        let ask = world.api.post("/oauth/token").client(&client).header("content-type", media_type);
        told.push(outcome(&ask.body(redemption(&client, &code)).send().await));
    }
    told.push(outcome(&world.api.post("/oauth/token").client(&client).body(redemption(&client, &code)).send().await));
    let twice = world.api.post("/oauth/token").client(&client).header("content-type", "text/plain");
    told.push(outcome(&twice.raw_form(redemption(&client, &code)).send().await));
    let odd = world.api.post("/oauth/token").client(&client).raw_header("content-type", b"\xff");
    told.push(outcome(&odd.body(redemption(&client, &code)).send().await));
    told.push(outcome(&world.redeem(&client, &code).await));
    assert_eq!(told, [vec![error("invalid_request"); 10], vec![tokens()]].concat());
}

/// spec: oauth G4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charset_and_the_case_of_the_media_type_make_no_difference() {
    let (world, client, _) = coded().await;
    let mut told = Vec::new();
    let types = [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "application/x-www-form-urlencoded;charset=utf-8",
        "Application/X-WWW-Form-URLEncoded; charset=\"utf-8\"",
    ];
    for media_type in types {
        let code = world.code(&client).await;
        let ask = world.api.post("/oauth/token").client(&client).header("content-type", media_type);
        told.push(outcome(&ask.body(redemption(&client, &code)).send().await));
    }
    assert_eq!(told, vec![tokens(); 4]);
}

/// spec: oauth G7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_not_served_is_unsupported() {
    let (world, client, code) = coded().await;
    let mut told = Vec::new();
    let grants = [
        "password",
        "implicit",
        "Authorization_Code",
        "AUTHORIZATION_CODE",
        "urn%3Ax",
        "authorization_code+",
        "%00",
        "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code",
        "refresh_token%00",
    ];
    for grant in grants {
        let body = redemption(&client, &code).replace("=authorization_code", &format!("={grant}"));
        told.push(outcome(&world.api.send_raw(&client, body).await));
    }
    told.push(outcome(&world.redeem(&client, &code).await));
    assert_eq!(told, [vec![error("unsupported_grant_type"); grants.len()], vec![tokens()]].concat());
}

/// spec: oauth G7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_left_out_is_a_bad_request() {
    let (world, client, code) = coded().await;
    let mut told = Vec::new();
    for grant in ["", "&grant_type=", "&grant_type"] {
        let body = redemption(&client, &code).replace("grant_type=authorization_code", grant);
        told.push(outcome(&world.api.send_raw(&client, body).await));
    }
    assert_eq!(told, vec![error("invalid_request"); 3]);
}

/// spec: oauth G8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_the_app_may_not_use_is_told_apart() {
    let world = World::new().await;
    let client = world.app(public()).await;
    let form = [("grant_type", "client_credentials"), ("client_id", &client.id)];
    let reply = world.api.post("/oauth/token").form(&form).send().await;
    assert_eq!(outcome(&reply), error("unauthorized_client"));
}

/// All parameters that may be there once.
const ONCE: [&str; 12] = [
    "grant_type",
    "code",
    "redirect_uri",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "code_verifier",
    "refresh_token",
    "scope",
    "token",
    "token_type_hint",
];

/// Every known parameter twice beside a good request: what comes of each.
async fn repeated(world: &World, client: &Client, good: &str) -> Vec<crate::help::Outcome> {
    let mut told = Vec::new();
    for name in ONCE {
        let same = url::form_urlencoded::parse(good.as_bytes()).find(|(key, _)| key == name);
        let own = if name == "client_id" { client.id.clone() } else { "x".to_owned() };
        let value = same.map_or(own, |(_, value)| value.into_owned());
        let others = good.split('&').filter(|pair| pair.split('=').next() != Some(name));
        let bare: Vec<String> = others.map(str::to_owned).collect();
        let pairs = [
            [encoded(&[(name, &value)]), encoded(&[(name, &value)])],
            [encoded(&[(name, &value)]), format!("{name}=")],
            [encoded(&[(name, &value)]), format!("{name}=%00")],
        ];
        for pair in pairs {
            let body = [bare.as_slice(), &pair].concat().join("&");
            told.push(outcome(&world.api.send_raw(client, body).await));
        }
    }
    told
}

/// spec: oauth G9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_parameter_twice_is_a_bad_request_and_the_code_stays_usable() {
    let (world, client, code) = coded().await;
    let told = repeated(&world, &client, &redemption(&client, &code)).await;
    let right = world.redeem(&client, &code).await;
    assert_eq!((told, outcome(&right)), (vec![error("invalid_request"); 36], tokens()));
}

/// spec: oauth G9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_parameter_twice_is_a_bad_request_and_the_refresh_token_stays_usable() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let given = world.tokens(&client).await;
    let told = repeated(&world, &client, &rotation(&given.refresh)).await;
    let right = world.refresh(&client, &given.refresh).await;
    assert_eq!((told, outcome(&right)), (vec![error("invalid_request"); 36], tokens()));
}

/// spec: oauth G9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_or_secret_twice_in_the_body_is_a_bad_request() {
    let (world, client, code) = coded().await;
    let (id, secret) = (format!("&client_id={}", client.id), format!("&client_secret={}", client.secret));
    let ask = |more: String| {
        let body = format!("{}{more}", redemption(&client, &code));
        world.api.post("/oauth/token").raw_form(body).send()
    };
    let twice = [ask(format!("{id}{id}{secret}")).await, ask(format!("{id}{secret}{secret}")).await];
    let once = ask(format!("{id}{secret}")).await;
    assert_eq!((outcomes(&twice), outcome(&once)), (vec![error("invalid_request"); 2], tokens()));
}

/// spec: oauth G9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_parameter_is_ignored_also_twice() {
    let (world, client, code) = coded().await;
    let body = format!("{}&foo=1&foo=2&%00=1&%ff&state=x&Code=y&code%5B%5D=z", redemption(&client, &code));
    assert_eq!(outcome(&world.api.send_raw(&client, body).await), tokens());
}

/// spec: oauth G12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_16_kib_is_too_large_and_one_of_16_kib_is_not() {
    let (world, client, code) = coded().await;
    let padded = |length: usize| {
        let body = format!("{}&pad=", redemption(&client, &code));
        let pad = "x".repeat(length - body.len());
        body + &pad
    };
    let over = world.api.send_raw(&client, padded(16 * 1_024 + 1)).await;
    let full = world.api.send_raw(&client, padded(16 * 1_024)).await;
    assert_eq!(outcomes([&over, &full]), [(413, "invalid_request".to_owned()), tokens()]);
}

/// spec: oauth G13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_parameters_and_nested_ones_are_ignored() {
    let (world, client, code) = coded().await;
    let many = format!("{}{}", redemption(&client, &code), "&a".repeat(5_000));
    let nested = format!("a%5Bb%5D=c&a[b][c]=d&a[=&]=&{}", rotation("x"));
    let (many, nested) = (world.api.send_raw(&client, many).await, world.api.send_raw(&client, nested).await);
    assert_eq!(outcomes([&many, &nested]), [tokens(), invalid_grant()]);
}

/// One of every refusal that the token endpoint has, each with secrets in it.
struct Refusals {
    client: Client,
    code: String,
    given: Tokens,
    replies: Vec<Reply>,
}

impl Refusals {
    async fn collect() -> (World, Self) {
        let (world, client, code) = coded().await;
        let given = world.tokens(&client).await;
        let other = world.app(confidential()).await;
        let narrow = world.app(with(confidential(), json!({"allowed_cidrs": ["198.51.100.0/24"]}))).await;
        let public = world.app(public()).await;
        let secret = format!("&client_secret={}", client.secret);
        let good = redemption(&client, &code);
        let bodies = [
            String::new(),
            "%".to_owned(),
            good.replace("code=", "c="),
            good.replace("redirect_uri=", "r="),
            good.replace("cb", "CB"),
            good.replace("code_verifier=d", "code_verifier=e"),
            good.replace("code_verifier=", "code_verifier=%00"),
            good.replace("authorization_code", "password"),
            format!("{good}&{good}"),
            format!("{good}{secret}"),
            format!("{good}&resource=https%3A%2F%2Funknown.example"),
            format!("{good}&client_id={}", other.id),
            format!("{good}&client_assertion=x"),
            good.replace(&code, &given.refresh),
            good.replace(&code, &format!("{code}%27%22%3Cb%3E")),
            rotation(&code),
            format!("{}&scope=checks:read", rotation(&given.refresh)),
            format!("{}&scope=%22bogus%5C", rotation(&given.refresh)),
            "grant_type=client_credentials&scope=checks:read".to_owned(),
            "grant_type=client_credentials&resource=ftp%3A%2F%2Fx%23y".to_owned(),
            format!("pad={}", "x".repeat(17_000)),
        ];
        let mut replies = Vec::new();
        for body in bodies {
            replies.push(world.api.send_raw(&client, body).await);
        }
        replies.push(world.redeem(&other, &code).await);
        replies.push(world.redeem(&narrow, &code).await);
        let form = [("grant_type", "client_credentials"), ("client_id", public.id.as_str())];
        replies.push(world.api.post("/oauth/token").form(&form).send().await);
        replies.push(world.api.post("/oauth/token").client(&client).json(&json!({"code": code})).send().await);
        replies.push(world.api.get(&format!("/oauth/token?{good}{secret}")).client(&client).send().await);
        for authorization in [basic(&client.id, &given.refresh), basic("nope", &client.secret), "Basic x".into()] {
            let ask = world.api.post("/oauth/token").header("authorization", authorization);
            replies.push(ask.raw_form(good.clone()).send().await);
        }
        for _ in 0..21 {
            let ask = world.api.post("/oauth/token").header("authorization", basic(&other.id, &client.secret));
            replies.push(ask.raw_form(good.clone()).send().await);
        }
        (world, Self { client, code, given, replies })
    }
}

/// spec: oauth G15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_shows_what_was_presented_or_what_is_behind() {
    let (_world, refusals) = Refusals::collect().await;
    let Refusals { client, code, given, replies } = refusals;
    let words = [
        client.secret.as_str(),
        &code,
        &given.access,
        &given.refresh,
        &client.id,
        VERIFIER,
        "app.example",
        "checks:read",
        "bogus",
        "sp_",
        "/",
        "panic",
        "SELECT",
        "sql",
        "diesel",
        "postgres",
        "actix",
        "serde",
        "rust",
        "oauth_",
        "203.0",
        "198.51",
        "<",
        "secret_unknown",
        "verifier_mismatch",
    ];
    let shown: Vec<_> = replies
        .iter()
        .flat_map(|reply| words.iter().filter(|word| reply.text.contains(**word)).map(|word| (*word, &reply.text)))
        .collect();
    assert_eq!((replies.len() > 40, shown), (true, Vec::new()));
}

/// spec: oauth G15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_is_printable_ascii_without_quotes_and_backslashes() {
    let (_world, refusals) = Refusals::collect().await;
    let odd: Vec<String> = refusals
        .replies
        .iter()
        .map(|reply| reply.json()["error_description"].as_str().unwrap_or("\u{0}").to_owned())
        .filter(|text| !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'))
        .collect();
    assert_eq!(odd, Vec::<String>::new());
}

/// spec: oauth G16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_has_a_registered_error_and_its_status() {
    let (_world, refusals) = Refusals::collect().await;
    let seen: BTreeSet<_> = refusals.replies.iter().map(outcome).collect();
    let expected = [
        error("invalid_client"),
        error("invalid_grant"),
        error("invalid_request"),
        error("invalid_scope"),
        error("invalid_target"),
        error("unauthorized_client"),
        error("unsupported_grant_type"),
        (405, "invalid_request".to_owned()),
        (413, "invalid_request".to_owned()),
        (429, "temporarily_unavailable".to_owned()),
    ];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// spec: oauth G16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_errors_are_equal_bytes() {
    let (_world, refusals) = Refusals::collect().await;
    let told: BTreeSet<_> = refusals.replies.iter().map(outcome).collect();
    let bodies: BTreeSet<_> = refusals.replies.iter().map(|reply| (reply.status, reply.text.clone())).collect();
    assert_eq!(bodies.len(), told.len(), "{bodies:?}");
}

/// spec: oauth G23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_is_a_fault_of_ours_and_each_has_an_id_of_its_own() {
    let (_world, refusals) = Refusals::collect().await;
    let faults = refusals.replies.iter().filter(|reply| reply.status >= 500).count();
    let ids: BTreeSet<_> = refusals.replies.iter().map(|reply| reply.request_id().to_owned()).collect();
    let real = ids.iter().all(|id| uuid::Uuid::parse_str(id).is_ok_and(|id| !id.is_nil()));
    assert_eq!((faults, ids.len(), real), (0, refusals.replies.len(), true));
}

/// spec: oauth G23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_a_request_is_never_the_callers_word() {
    let (world, client, _) = coded().await;
    let id = "0190a0a0-0000-7000-8000-00000000cafe";
    let reply = world.api.post("/oauth/token").client(&client).header("x-request-id", id).raw_form("").send().await;
    assert_ne!(reply.request_id(), id);
}

/// The answer to a browser that asks whether a page of this origin may call: status, and the headers about it.
async fn preflight(world: &World, origin: &str) -> (u16, [String; 4]) {
    let ask = world.api.ask("OPTIONS", "/oauth/token").header("origin", origin);
    let ask = ask.header("access-control-request-method", "POST");
    let reply = ask.header("access-control-request-headers", "authorization").send().await;
    let names =
        ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-credentials", "vary"];
    (reply.status, names.map(|name| reply.header(name).to_owned()))
}

/// A world with apps of several origins.
async fn with_origins() -> (World, Client) {
    let world = World::new().await;
    let uris = json!({"redirect_uris": ["https://spa.example/cb", "http://127.0.0.1/cb"]});
    let page = world.app(with(public(), uris)).await;
    world.app(confidential()).await;
    (world, page)
}

/// spec: oauth G19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_public_app_may_call_without_a_browsers_credentials() {
    let (world, _) = with_origins().await;
    let told = preflight(&world, "https://spa.example").await;
    assert_eq!(told, (204, ["https://spa.example", "POST", "", "Origin"].map(str::to_owned)));
}

/// spec: oauth G19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_may_not_call() {
    let (world, _) = with_origins().await;
    let origins = [
        "https://evil.example",
        "https://app.example",
        "http://spa.example",
        "https://spa.example:8443",
        "https://spa.example.evil.example",
        "https://SPA.example",
        "http://127.0.0.1",
        "null",
        "*",
        PUBLIC_URL,
    ];
    let mut allowed = BTreeSet::new();
    for origin in origins {
        allowed.insert(preflight(&world, origin).await.1);
    }
    assert_eq!(allowed, BTreeSet::from([["", "", "", "Origin"].map(str::to_owned)]));
}

/// spec: oauth G19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_public_app_may_read_tokens_and_errors() {
    let (world, page) = with_origins().await;
    let code = world.code(&page).await;
    let ask = |origin: &'static str, code: &str| {
        let body = format!("{}&client_id={}", redemption(&page, code), page.id);
        world.api.post("/oauth/token").header("origin", origin).raw_form(body).send()
    };
    let replies = [
        ask("https://evil.example", "x").await,
        ask("https://spa.example", "x").await,
        ask("https://spa.example", &code).await,
    ];
    let told = replies.each_ref().map(|reply| {
        let headers = ["access-control-allow-origin", "access-control-allow-credentials", "vary"];
        (reply.status, headers.map(|name| reply.header(name).to_owned()))
    });
    let read = |origin: &str| [origin, "", "Origin"].map(str::to_owned);
    assert_eq!(told, [(400, read("")), (400, read("https://spa.example")), (200, read("https://spa.example"))]);
}

/// spec: oauth G19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_a_suspended_app_may_not_call_any_more() {
    let (world, page) = with_origins().await;
    world.suspend(&page).await;
    assert_eq!(preflight(&world, "https://spa.example").await.1[0], "");
}

/// spec: oauth G20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_moves_the_issuer() {
    let world = World::new().await;
    let path = "/.well-known/oauth-authorization-server";
    let plain = world.api.get(path).send().await;
    let moved = world.api.get(path).header("host", "evil.example").header("x-forwarded-host", "evil.example");
    let moved = moved.header("x-forwarded-proto", "https").header("x-forwarded-prefix", "/evil");
    let moved = moved.header("forwarded", "host=evil.example;proto=https").send().await;
    assert_eq!(
        (face(&moved), &moved.json()["issuer"], moved.text.contains("evil")),
        (face(&plain), &json!(PUBLIC_URL), false)
    );
}

/// spec: oauth G20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_of_a_trusted_proxy_moves_the_issuer_either() {
    let db = statuspulse_testkit::TestDb::new().await;
    let api = crate::support::Api::behind(&db, "203.0.113.0/24", "x-forwarded-for").await;
    let moved = api.get("/.well-known/oauth-authorization-server").header("host", "evil.example");
    let moved = moved.header("x-forwarded-host", "evil.example").send().await;
    assert_eq!((&moved.json()["issuer"], moved.text.contains("evil")), (&json!(PUBLIC_URL), false));
}

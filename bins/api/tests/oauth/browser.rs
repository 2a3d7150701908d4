//! What browsers are told beside the text: policies, headers, methods, and pages that repeat nothing.

use serde_json::json;

use crate::{
    client::{Client, authorize_path, confidential, encoded, parameters, public, with},
    help::is_page,
    support::{PUBLIC_URL, Reply, World},
};

/// The names of an answer's CORS headers.
fn cors(reply: &Reply) -> Vec<String> {
    let names = reply.headers.keys().map(|name| name.as_str().to_owned());
    names.filter(|name| name.starts_with("access-control")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_origin_is_let_in_by_cors_at_the_pages_also_not_by_a_preflight() {
    let world = World::new().await;
    let client = world.app(with(public(), json!({"redirect_uris": ["https://spa.example/cb"]}))).await;
    let mut seen = Vec::new();
    for origin in ["https://spa.example", "https://evil.example", PUBLIC_URL, "null"] {
        for (method, path) in [
            ("GET", authorize_path(&client, &[])),
            ("HEAD", authorize_path(&client, &[])),
            ("POST", "/oauth/authorize".to_owned()),
            ("OPTIONS", "/oauth/authorize".to_owned()),
            ("GET", "/login".to_owned()),
            ("POST", "/login".to_owned()),
            ("OPTIONS", "/login".to_owned()),
            ("POST", "/logout".to_owned()),
            ("OPTIONS", "/logout".to_owned()),
        ] {
            let ask = world.api.ask(method, &path).cookie(&world.owner).header("origin", origin);
            let reply = ask.header("access-control-request-method", "POST").send().await;
            let preflight = method != "OPTIONS" || reply.status == 405;
            if !cors(&reply).is_empty() || !preflight {
                seen.push((origin, method, path, reply.status, cors(&reply)));
            }
        }
    }
    assert_eq!(seen, []);
}

/// spec: oauth A9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_method_is_405_with_allow() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for path in ["/oauth/authorize", "/login", "/logout"] {
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            let reply = world.api.ask(method, path).cookie(&world.owner).send().await;
            seen.push((path, reply.status, reply.header("allow").to_owned()));
        }
    }
    let allowed = |path| if path == "/logout" { "POST" } else { "GET, POST, HEAD" };
    let expected: Vec<_> = seen.iter().map(|(path, ..)| (*path, 405, allowed(*path).to_owned())).collect();
    assert_eq!(seen, expected);
}

/// spec: oauth D2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_lets_the_form_lead_to_the_app_s_origin_alone() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for (uri, expected) in [
        ("https://app.example/cb?tenant=7", "https://app.example"),
        ("https://app.example:8443/cb", "https://app.example:8443"),
        ("https://APP.example/cb", "https://app.example"),
        ("http://127.0.0.1/cb", "http://127.0.0.1"),
        ("http://127.0.0.1:8123/cb", "http://127.0.0.1:8123"),
        ("http://[::1]/cb", "http:"),
        ("http://localhost/cb", "http://localhost"),
        ("com.example.app:/cb", "com.example.app:"),
    ] {
        let client = world.app(with(public(), json!({"redirect_uris": [uri]}))).await;
        let page = world.authorize(&client, &[]).await;
        let policy = page.header("content-security-policy").to_owned();
        let actual = policy.split("form-action 'self' ").nth(1).unwrap_or_default().to_owned();
        if actual != expected {
            seen.push((uri, policy));
        }
    }
    assert_eq!(seen, []);
}

/// spec: oauth D1, D3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_carries_the_same_protection() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let consent = world.authorize(&client, &[]).await;
    world.api.allow(&world.owner, &consent).await;
    let used = world.api.allow(&world.owner, &consent).await;
    let pages = [
        consent,
        world.api.get("/login").send().await,
        world.read("/login").await,
        world.api.post("/login").form(&[]).send().await,
        world.api.get("/oauth/authorize").send().await,
        world.api.get(&format!("/oauth/authorize?{}", "x".repeat(9_000))).send().await,
        world.api.post("/oauth/authorize").form(&[]).send().await,
        world.api.post("/oauth/authorize").json(&json!({})).send().await,
        world.api.ask("PUT", "/oauth/authorize").send().await,
        used,
    ];
    let held = |page: &Reply| {
        let policy = page.header("content-security-policy");
        let parts = [
            "default-src 'none'",
            "style-src 'self'",
            "img-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ];
        parts.iter().all(|part| policy.contains(part))
            && !policy.contains("unsafe")
            && page.header("content-type") == "text/html; charset=utf-8"
            && page.header("x-frame-options") == "DENY"
            && page.header("referrer-policy") == "no-referrer"
            && page.header("cache-control") == "no-store"
            && page.header("x-content-type-options") == "nosniff"
    };
    let seen: Vec<(u16, bool)> = pages.iter().map(|page| (page.status, held(page))).collect();
    let expected = [200, 200, 200, 403, 400, 414, 403, 400, 405, 409].map(|status| (status, true));
    assert_eq!(seen, expected);
}

/// spec: oauth B27
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_redirect_is_303_and_kept_by_nobody() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let allowed = world.api.allow(&world.owner, &page).await;
    let replies = [
        allowed,
        world.authorize(&client, &[]).await,
        world.authorize(&client, &[("scope", "bogus")]).await,
        world.api.get(&authorize_path(&client, &[])).send().await,
    ];
    let seen = replies.each_ref().map(|reply| {
        let headers = ["cache-control", "referrer-policy", "x-content-type-options"];
        (reply.status, headers.map(|name| reply.header(name)), reply.text.as_str())
    });
    assert_eq!(seen, [(303, ["no-store", "no-referrer", "nosniff"], ""); 4]);
}

/// spec: oauth A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_repeats_what_was_sent() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let evil = "\"'><script>alert(document.domain)</script><a href=//evil.example>";
    let mut seen = Vec::new();
    for replaced in [
        [("client_id", evil), ("state", evil)],
        [("redirect_uri", evil), ("state", evil)],
        [("redirect_uri", "javascript:alert(1)//evil.example"), ("scope", evil)],
        [("client_id", ""), ("foo", evil)],
    ] {
        let reply = world.authorize(&client, &replaced).await;
        let repeats = ["script", "evil.example", "alert("].iter().any(|text| reply.text.contains(text));
        seen.push((is_page(&reply), repeats));
    }
    assert_eq!(seen, [(true, false); 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_names_the_id_of_its_answer_and_the_trail_has_it() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = world.authorize(&client, &[("redirect_uri", "https://evil.example/")]).await;
    let events = world.events("oauth.authorize").await;
    let ids: Vec<&str> = events.iter().map(|event| event["request_id"].as_str().unwrap()).collect();
    assert_eq!((ids, reply.text.contains(reply.request_id())), (vec![reply.request_id()], true));
}

/// spec: oauth A10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_has_at_most_eight_kib() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = format!("{}&foo=", authorize_path(&client, &[]));
    let base = path.len() - "/oauth/authorize?".len();
    let mut seen = Vec::new();
    for length in [8 * 1024, 8 * 1024 + 1] {
        let filler = "x".repeat(length - base);
        let member = world.api.get(&format!("{path}{filler}")).cookie(&world.owner).send().await;
        let stranger = world.api.get(&format!("{path}{filler}")).send().await;
        let head = world.api.ask("HEAD", &format!("{path}{filler}")).cookie(&world.owner).send().await;
        seen.push([member.status, stranger.status, head.status]);
    }
    assert_eq!((seen, world.kept().await), (vec![[200, 303, 200], [414, 414, 414]], 2));
}

/// spec: oauth B25, B26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_is_that_of_the_metadata_in_every_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let metadata = world.api.get("/.well-known/oauth-authorization-server").header("host", "evil.example").send().await;
    let page = world.authorize(&client, &[]).await;
    let replies = [
        world.api.allow(&world.owner, &page).await,
        world.authorize(&client, &[]).await,
        world.authorize(&client, &[("scope", "bogus")]).await,
        world.authorize(&client, &[("state", "")]).await,
    ];
    let issuers = replies.each_ref().map(|reply| {
        let found: Vec<_> = parameters(reply.location()).into_iter().filter(|(name, _)| name == "iss").collect();
        (found.len(), json!(found[0].1))
    });
    let issuer = metadata.json()["issuer"].clone();
    assert_eq!(issuers, std::array::from_fn(|_| (1, issuer.clone())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_header_moves_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let ask = |path: &str| {
        let ask = world.api.get(path).header("host", "evil.example").header("x-forwarded-host", "evil.example");
        ask.header("forwarded", "host=evil.example;proto=https").header("x-forwarded-proto", "https")
    };
    let away = ask(&authorize_path(&client, &[])).send().await;
    let error = ask(&authorize_path(&client, &[("scope", "bogus")])).cookie(&world.owner).send().await;
    let page = ask(&authorize_path(&client, &[])).cookie(&world.owner).send().await;
    let evil = [&away, &error, &page].map(|reply| format!("{:?}{}", reply.headers, reply.text).contains("evil"));
    assert_eq!((evil, away.location().starts_with("/login?")), ([false; 3], true));
}

/// spec: oauth C22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_keeps_the_registered_query_too_and_goes_into_no_fragment() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for uri in ["https://app.example/cb?tenant=7", "https://app.example/cb?", "https://app.example/cb?a=b&"] {
        let client = world.app(with(confidential(), json!({"redirect_uris": [uri]}))).await;
        let error = world.authorize(&client, &[("scope", "bogus")]).await;
        let glue = if uri.ends_with('7') { "&" } else { "" };
        let start = format!("{uri}{glue}error=invalid_scope&");
        seen.push((error.location().starts_with(&start), error.location().contains('#')));
    }
    assert_eq!(seen, [(true, false); 3]);
}

/// Values at which parsers stumble.
const NASTY: [&str; 14] = [
    "",
    "%00",
    "%ff%fe",
    "%zz",
    "%",
    "%25%30%30",
    "%0d%0aX-Evil:%201",
    "%e2%80%ae",
    "'%20OR%201=1--",
    "%22%3e%3cscript%3e",
    "%f0%9f%94%91",
    "..%2f..%2f",
    "%2b%2b+",
    "[]",
];

/// Puts each of them into each parameter, of a good request as a second value too.
async fn stumbles(world: &World, client: &Client, signed_in: bool) -> Vec<(String, u16)> {
    let good = authorize_path(client, &[]);
    let (mut wrong, mut asked) = (Vec::new(), 0_u16);
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "request",
        "request_uri",
        "resource",
        "organization",
        "%00",
    ] {
        for value in NASTY {
            let replaced = authorize_path(client, &[(name, "")]);
            for path in [format!("{replaced}&{name}={value}"), format!("{good}&{name}={value}")] {
                asked += 1;
                // What strangers ask for is limited by address.
                let (peer, ask) = (format!("2001:db8:{asked:x}::1"), world.api.get(&path));
                let ask = if signed_in { ask.cookie(&world.owner) } else { ask.peer(&peer) };
                let reply = ask.send().await;
                let headers = reply.headers.contains_key("x-evil");
                if ![200, 303, 400].contains(&reply.status) || headers || reply.text.contains("<script") {
                    wrong.push((path, reply.status));
                }
            }
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_any_parameter_breaks_the_endpoint() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let wrong = [stumbles(&world, &client, true).await, stumbles(&world, &client, false).await].concat();
    assert_eq!(wrong, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_of_the_sign_in_breaks_it() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for value in NASTY {
        for path in
            [format!("/login?request={value}"), format!("/login?request=x&request={value}"), format!("/login?{value}")]
        {
            let reply = world.api.get(&path).send().await;
            if reply.status != 200 || reply.text.contains("<script") {
                wrong.push((path, reply.status));
            }
        }
    }
    assert_eq!(wrong, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_comes_back_as_it_was_sent_however_it_was_encoded() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[("state", ""), ("scope", "bogus")]);
    let mut seen = Vec::new();
    for (sent, meant) in [
        ("a+b", "a b"),
        ("a%20b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%26code%3Dx", "a&code=x"),
        ("%2520", "%20"),
        ("%3d%23%3f", "=#?"),
        ("a=b", "a=b"),
    ] {
        let reply = world.read(&format!("{path}&state={sent}")).await;
        let states: Vec<String> = parameters(reply.location())
            .into_iter()
            .filter(|(name, _)| name == "state")
            .map(|(_, value)| value)
            .collect();
        if states != [meant] {
            seen.push((sent, reply.location().to_owned()));
        }
    }
    assert_eq!(seen, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_of_2048_characters_is_taken() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let state = "~".repeat(2_048);
    let reply = world.authorize(&client, &[("state", &state), ("scope", "bogus")]).await;
    let sent = encoded(&[("state", &state)]);
    assert!(reply.location().contains(&sent), "{}", reply.location());
}

/// spec: oauth D11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_names_where_it_leads_for_every_kind_of_address() {
    let world = World::new().await;
    let mut unnamed = Vec::new();
    for (uri, named) in [
        ("https://app.example:8443/cb", "app.example"),
        ("http://127.0.0.1/cb", "127.0.0.1"),
        ("http://[::1]/cb", "[::1]"),
        ("com.example.app:/cb", "com.example.app:"),
    ] {
        let client = world.app(with(public(), json!({"redirect_uris": [uri]}))).await;
        let page = world.authorize(&client, &[]).await;
        if !page.text.contains(&format!("sent to <strong class=\"name\">{named}</strong>")) {
            unnamed.push((uri, page.text));
        }
    }
    assert_eq!(unnamed, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_never_signs_in_is_slowed_down_and_nobody_else() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[]);
    let mut slowed = None;
    for _ in 0..2_000 {
        let reply = world.api.get(&path).peer("198.51.100.1").send().await;
        if reply.status != 303 {
            slowed = Some((reply.status, reply.header("retry-after").to_owned(), reply.location().to_owned()));
            break;
        }
    }
    let other = world.api.get(&path).peer("198.51.100.2").send().await.status;
    let signed_in = world.api.get(&path).peer("198.51.100.1").cookie(&world.owner).send().await.status;
    assert_eq!((slowed, other, signed_in), (Some((429, "60".to_owned(), String::new())), 303, 200));
}

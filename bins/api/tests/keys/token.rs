//! The token and where it may come from (§2).

use serde_json::{Value, json};

use crate::{
    help::{KEYS, nobodys_token, plain},
    support::{Reply, World},
};

const OWN: &str = "/v1/keys/self";

/// How a token is judged through `/v1/verify`, and whether anything was hashed or asked of the database for it.
async fn judged_and_cost(world: &World, token: &str) -> (String, usize, usize) {
    // The gateway's own key is checked once, before.
    world.call(token).await;
    let cost = || (world.api.app.gate.hashes(), world.api.app.replica.queries());
    let (hashes, queries) = cost();
    let code = world.call(token).await;
    (code, cost().0 - hashes, cost().1 - queries)
}

async fn own(world: &World, authorization: &[&str]) -> Reply {
    let mut ask = world.api.get(OWN);
    for line in authorization {
        ask = ask.header("authorization", line);
    }
    ask.send().await
}

/// spec: keys K1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_credential_is_missing_one() {
    let world = World::new().await;
    assert_eq!(own(&world, &[]).await.outcome(), (401, "missing".into()));
}

/// spec: keys K1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_challenge_of_a_missing_credential_names_no_error() {
    let world = World::new().await;
    let challenge = own(&world, &[]).await.header("www-authenticate").to_owned();
    assert!(challenge.starts_with("Bearer ") && !challenge.contains("error"), "{challenge}");
}

/// spec: keys K2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_scheme_is_no_credential() {
    let world = World::new().await;
    assert_eq!(own(&world, &["Basic dXNlcjpwYXNz"]).await.outcome(), (401, "missing".into()));
}

/// spec: keys K3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheme_is_accepted_in_any_case() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut statuses = Vec::new();
    for scheme in ["bearer", "BEARER", "Bearer", "bEaReR"] {
        statuses.push(own(&world, &[&format!("{scheme} {token}")]).await.status);
    }
    assert_eq!(statuses, [200; 4]);
}

/// spec: keys K4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_with_a_character_more_or_less_is_malformed_and_costs_nothing() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut judged = Vec::new();
    for spelling in [&token[..71], &format!("{token}A"), &format!("{token}X")] {
        judged.push(judged_and_cost(&world, spelling).await);
    }
    assert_eq!(judged, vec![("malformed".to_owned(), 0, 0); 3]);
}

/// spec: keys K5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_last_character_is_caught_by_the_checksum_before_any_query() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let other = if token.ends_with('A') { 'B' } else { 'A' };
    let judged = judged_and_cost(&world, &format!("{}{other}", &token[..71])).await;
    assert_eq!(judged, ("malformed".into(), 0, 0));
}

/// spec: keys K6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_test_token_behind_the_live_prefix_is_malformed() {
    let world = World::new().await;
    let (_, token) = world.created(&json!({"environment": "staging"})).await;
    let judged = judged_and_cost(&world, &token.replace("sp_test_", "sp_live_")).await;
    assert_eq!(judged, ("malformed".into(), 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_never_repaired() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let spellings = [
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        token.to_uppercase(),
        token.replace("sp_live_", "SP_LIVE_"),
        format!("{token}="),
        format!("{}+", &token[..71]),
        format!("{}é", &token[..70]),
        String::new(),
    ];
    let mut codes = Vec::new();
    for spelling in &spellings {
        codes.push(world.call(spelling).await);
    }
    assert_eq!(codes, ["malformed"; 9]);
}

/// spec: keys K7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_inside_of_a_token_is_malformed_and_no_fault_of_ours() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut codes = Vec::new();
    for spelling in ["\0".to_owned(), format!("{}\0", &token[..71]), format!("{token}\0"), format!("\0{token}")] {
        codes.push(world.call(&spelling).await);
    }
    assert_eq!(codes, ["malformed"; 4]);
}

/// spec: keys K7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_in_the_rest_of_a_question_is_no_fault_of_ours_either() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let question = json!({"token": token, "method": "GE\u{0}T", "path": "/api/v1/\u{0}", "user_agent": "a\u{0}b"});
    let verdict = world.api.verify(&world.gateway, &question).await;
    // What can't be stored must not get lost either.
    let lost = world.api.app.recorder.lost();
    world.api.app.flush().await;
    assert_eq!((verdict["code"].clone(), world.api.app.recorder.lost() - lost), (json!("insufficient_scope"), 0));
}

/// spec: keys K8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kib_of_credential_are_refused_and_nothing_is_hashed() {
    let world = World::new().await;
    let hashes = world.api.app.gate.hashes();
    let reply = own(&world, &[&format!("Bearer {}", "a".repeat(100 * 1024))]).await;
    assert_eq!((reply.outcome(), world.api.app.gate.hashes() - hashes), ((401, "malformed".into()), 0));
}

/// spec: keys K9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_credentials_are_malformed_whether_the_same_or_not() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let good = format!("Bearer {token}");
    let mut outcomes = Vec::new();
    for second in [good.as_str(), &format!("Bearer {}", world.gateway), "Basic dXNlcjpwYXNz", ""] {
        outcomes.push(own(&world, &[&good, second]).await.outcome());
    }
    assert_eq!(outcomes, vec![(401, "malformed".to_owned()); 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bearer_with_anything_but_one_token_is_malformed() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let lines = ["Bearer".to_owned(), format!("Bearer  {token}"), format!("Bearer {token} {token}")];
    let lines = lines.into_iter().chain([format!("Bearer\t{token}"), format!("Bearer {token},{token}")]);
    let mut outcomes = Vec::new();
    for line in lines {
        outcomes.push(own(&world, &[&line]).await.outcome());
    }
    assert_eq!(outcomes, vec![(401, "malformed".to_owned()); 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_is_not_ascii_is_malformed() {
    let world = World::new().await;
    let reply = world.api.get(OWN).raw_header("authorization", b"Bearer sp_live_\xff\xfe").send().await;
    assert_eq!(reply.outcome(), (401, "malformed".into()));
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_the_authorization_header_is_a_credential() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let form = format!("access_token={token}&token={token}");
    let in_form = |path| world.api.post(path).header("content-type", "application/x-www-form-urlencoded");
    let replies = [
        world.api.get(&format!("{OWN}?access_token={token}&token={token}&key={token}")).send().await,
        world.api.get(OWN).header("x-api-key", &token).send().await,
        world.api.get(OWN).header("cookie", format!("authorization={token}; statuspulse_key={token}")).send().await,
        world.api.get(OWN).header("proxy-authorization", format!("Bearer {token}")).send().await,
        in_form("/v1/verify").body(form).send().await,
    ];
    assert_eq!(replies.map(|reply| reply.outcome()), [const { 401 }; 5].map(|status| (status, "missing".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_as_the_sessions_cookie_is_no_session() {
    let world = World::new().await;
    let (_, token) = world.key(&["keys:read"]).await;
    let reply = world.api.get(KEYS).header("cookie", format!("statuspulse_session={token}")).send().await;
    assert_eq!(reply.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_well_formed_token_of_nobody_is_unknown_and_is_never_hashed() {
    let world = World::new().await;
    let (code, hashes, _) = judged_and_cost(&world, &nobodys_token()).await;
    assert_eq!((code.as_str(), hashes), ("unknown", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_challenge_of_a_refused_token_names_the_error() {
    let world = World::new().await;
    let challenge = own(&world, &["Bearer x"]).await.header("www-authenticate").to_owned();
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_have_the_prefix_of_their_environment_and_seventy_two_characters() {
    let world = World::new().await;
    let mut forms = Vec::new();
    for environment in ["production", "staging", "analytics"] {
        let (_, token) = world.created(&json!({"environment": environment})).await;
        forms.push((token[..8].to_owned(), token.len()));
    }
    let wanted = ["sp_live_", "sp_test_", "sp_live_"].map(|prefix| (prefix.to_owned(), 72));
    assert_eq!(forms, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hint_is_the_prefix_and_four_characters_and_no_more_of_the_token_is_shown_again() {
    let world = World::new().await;
    let created = world.create(&plain()).await.json();
    let token = created["token"].as_str().unwrap();
    let shown = world.shown(created["key"]["id"].as_str().unwrap()).await;
    let expected: Value = format!("{}…", &token[..12]).into();
    assert_eq!((&shown["hint"], &created["key"]["hint"], shown.get("token")), (&expected, &expected, None));
}

//! Answers to the consent page that its person did not give, or gives twice.

use serde_json::json;
use statuspulse_policy::Role;

use crate::{
    client::{authorize_path, confidential, hidden, parameter, with},
    help::{MINUTE, under_their_ids, went},
    support::{Browser, PUBLIC_URL, Reply, World},
};

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// A consent page's form as somebody sends it.
struct Form {
    handle: String,
    csrf: String,
}

impl Form {
    fn of(page: &Reply) -> Self {
        Self { handle: hidden(&page.text, "request"), csrf: hidden(&page.text, "csrf_token") }
    }

    fn allowing(&self) -> Vec<(&str, &str)> {
        let form = [("request", self.handle.as_str()), ("csrf_token", &self.csrf), ("decision", "allow")];
        form.into_iter().chain([("scope", "monitoring:read")]).collect()
    }

    async fn send(&self, world: &World, browser: &Browser, headers: &[(&'static str, &str)]) -> Reply {
        let ask = headers
            .iter()
            .fold(world.api.post("/oauth/authorize").cookie(browser), |ask, (name, value)| ask.header(name, value));
        ask.form(&self.allowing()).send().await
    }
}

/// A world in which the owner has a consent page before her.
async fn asked() -> (World, Form) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let form = Form::of(&world.authorize(&client, &[]).await);
    (world, form)
}

fn forbidden() -> (u16, String) {
    (403, String::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_belongs_to_one_session_of_its_person() {
    let (world, form) = asked().await;
    let other = world.api.sign_in(&world.org.owner).await;
    let with_own_token = Form { csrf: other.csrf.clone(), handle: form.handle.clone() };
    let replies = [form.send(&world, &other, &[]).await, with_own_token.send(&world, &other, &[]).await];
    assert_eq!((replies.map(|reply| went(&reply)), world.codes().await), ([forbidden(), forbidden()], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_another_session_is_refused() {
    let (world, form) = asked().await;
    let (_, stranger) = world.member("dev", Role::Developer).await;
    let second = world.api.sign_in(&world.org.owner).await;
    let mut seen = Vec::new();
    for csrf in [&stranger.csrf, &second.csrf, &form.csrf.to_uppercase(), &format!("{} ", form.csrf), &String::new()] {
        let forged = Form { handle: form.handle.clone(), csrf: csrf.clone() };
        seen.push(went(&forged.send(&world, &world.owner, &[("origin", PUBLIC_URL)]).await));
    }
    assert_eq!((seen, world.codes().await), (vec![forbidden(); 5], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_nothing_is_decided() {
    let (world, form) = asked().await;
    let reply = world.api.post("/oauth/authorize").header("origin", PUBLIC_URL).form(&form.allowing()).send().await;
    assert_eq!((went(&reply), world.codes().await), (forbidden(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_sign_out_the_open_page_decides_nothing() {
    let (world, form) = asked().await;
    world.owner("DELETE", "/v1/session", &json!({})).await;
    let reply = form.send(&world, &world.owner, &[("origin", PUBLIC_URL)]).await;
    assert_eq!((went(&reply), world.codes().await), (forbidden(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_own_origin_may_send_the_form() {
    let (world, form) = asked().await;
    let mut seen = Vec::new();
    for origin in [
        "https://evil.example",
        "https://auth.test",
        "http://auth.test:81",
        "http://auth.test.evil.example",
        "http://auth.test/",
        "HTTP://AUTH.TEST",
        "http://evil.example http://auth.test",
        "null",
        "",
    ] {
        seen.push(went(&form.send(&world, &world.owner, &[("origin", origin)]).await));
    }
    seen.push(went(
        &form.send(&world, &world.owner, &[("origin", PUBLIC_URL), ("origin", "https://evil.example")]).await,
    ));
    assert_eq!((seen, world.codes().await), (vec![forbidden(); 10], 0));
}

/// spec: oauth D5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_crosses_sites_is_refused_whatever_else_it_says() {
    let (world, form) = asked().await;
    let mut seen = Vec::new();
    for site in ["cross-site", "same-site", "SAME-ORIGIN", "", "same-origin, cross-site"] {
        let headers = [("origin", PUBLIC_URL), ("sec-fetch-site", site)];
        seen.push(went(&form.send(&world, &world.owner, &headers).await));
    }
    let null = [("origin", "null"), ("sec-fetch-site", "none")];
    seen.push(went(&form.send(&world, &world.owner, &null).await));
    assert_eq!((seen, world.codes().await), (vec![forbidden(); 6], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_answer_does_not_use_the_page_up() {
    let (world, form) = asked().await;
    let (_, stranger) = world.member("dev", Role::Developer).await;
    let foreign = Form { handle: form.handle.clone(), csrf: stranger.csrf.clone() };
    let forged = [
        form.send(&world, &world.owner, &[("origin", "https://evil.example")]).await.status,
        foreign.send(&world, &world.owner, &[]).await.status,
        foreign.send(&world, &stranger, &[]).await.status,
    ];
    let own = form.send(&world, &world.owner, &[]).await.status;
    assert_eq!((forged, own), ([403; 3], 303));
}

/// spec: oauth D4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_says_something_twice_or_nothing_clear_is_refused() {
    let (world, form) = asked().await;
    let (handle, csrf) = (format!("request={}", form.handle), format!("csrf_token={}", form.csrf));
    let mut seen = Vec::new();
    for body in [
        format!("{handle}&{csrf}&scope=monitoring:read"),
        format!("{handle}&{csrf}&scope=monitoring:read&decision="),
        format!("{handle}&{csrf}&scope=monitoring:read&decision=ALLOW"),
        format!("{handle}&{csrf}&scope=monitoring:read&decision=allow&decision=allow"),
        format!("{handle}&{csrf}&scope=monitoring:read&decision=deny&decision=allow"),
        format!("{handle}&{handle}&{csrf}&scope=monitoring:read&decision=allow"),
        format!("{handle}&{csrf}&{csrf}&scope=monitoring:read&decision=allow"),
        format!("{handle}%00&{csrf}&scope=monitoring:read&decision=allow"),
        format!("{handle}&{csrf}%ff&scope=monitoring:read&decision=allow"),
        format!("{handle}%20&{csrf}&scope=monitoring:read&decision=allow"),
        format!("request={}&{csrf}&scope=monitoring:read&decision=allow", "x".repeat(9_000)),
    ] {
        let ask = world.api.post("/oauth/authorize").cookie(&world.owner).header("origin", PUBLIC_URL);
        seen.push(went(&ask.raw_form(body).send().await));
    }
    assert_eq!((seen, world.codes().await), (vec![forbidden(); 11], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_form_decides_nothing() {
    let (world, form) = asked().await;
    let fields =
        json!({"request": form.handle, "csrf_token": form.csrf, "decision": "allow", "scope": "monitoring:read"});
    let body = crate::client::encoded(&form.allowing());
    let ask = || world.api.post("/oauth/authorize").cookie(&world.owner).header("origin", PUBLIC_URL);
    let replies = [
        ask().json(&fields).send().await,
        ask().body(body.clone()).send().await,
        ask().header("content-type", "text/plain").body(body.clone()).send().await,
        ask().raw_form(format!("{body}&x={}", "x".repeat(16 * 1024))).send().await,
    ];
    let query = world.api.post(&format!("/oauth/authorize?{body}")).cookie(&world.owner).form(&[]).send().await;
    let seen = replies.map(|reply| (reply.status, reply.location().is_empty()));
    let expected = [(400, true), (400, true), (400, true), (413, true)];
    assert_eq!((seen, went(&query), world.codes().await), (expected, forbidden(), 0));
}

/// spec: oauth D9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_serves_until_the_last_second_of_five_minutes() {
    let (world, form) = asked().await;
    world.api.app.advance(MINUTE * 5 - SECOND).await;
    assert_eq!(form.send(&world, &world.owner, &[]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_denied_allows_nothing_any_more() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let denied = world.api.decide(&world.owner, &page, "deny", &[]).await;
    let again = world.api.allow(&world.owner, &page).await;
    world.api.app.advance(MINUTE * 5).await;
    let later = world.api.allow(&world.owner, &page).await;
    let error = parameter(denied.location(), "error");
    let refused = (409, String::new());
    assert_eq!(
        (error.as_deref(), [went(&again), went(&later)], world.codes().await),
        (Some("access_denied"), [refused.clone(), refused], 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_answers_on_two_instances_one_counts() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let second = world.second().await;
    let answers = (0..10).map(|at| {
        let api = if at % 2 == 0 { &world.api } else { &second };
        api.allow(&world.owner, &page)
    });
    let replies = futures_util::future::join_all(answers).await;
    let count = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!(([count(303), count(409)], world.codes().await), ([1, 9], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_allow_and_deny_at_once_one_counts() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let (allowed, denied) = tokio::join!(
        world.api.allow(&world.owner, &page),
        world.api.decide(&world.owner, &page, "deny", &["monitoring:read"]),
    );
    let mut statuses = [allowed.status, denied.status];
    statuses.sort_unstable();
    assert_eq!((statuses, world.codes().await), ([303, 409], usize::from(allowed.status == 303)));
}

/// spec: oauth D7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_are_two_decisions_each_for_its_own_app() {
    let world = World::new().await;
    let one = world.app(confidential()).await;
    let two = world.app(with(confidential(), json!({"redirect_uris": ["https://two.example/cb"]}))).await;
    let (first, second) = (world.authorize(&one, &[]).await, world.authorize(&two, &[]).await);
    // Tab 1 sends the hidden fields of tab 2: the answer belongs to the request that the handle names.
    let swapped = world.api.allow(&world.owner, &second).await;
    let code = parameter(swapped.location(), "code").unwrap();
    let stolen = world.redeem(&one, &code).await.refused();
    let redeemed = world.redeem(&two, &code).await.status;
    let own = world.api.allow(&world.owner, &first).await;
    let goes = [&swapped, &own].map(|reply| reply.location().split('?').next().unwrap().to_owned());
    assert_eq!(
        (goes.each_ref().map(String::as_str), stolen, redeemed),
        (["https://two.example/cb", "https://app.example/cb"], (400, "invalid_grant".to_owned()), 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_beside_the_handle_change_nothing() {
    let world = World::new().await;
    let client = world
        .app(with(confidential(), json!({"redirect_uris": ["https://app.example/cb", "https://b.example/"]})))
        .await;
    let form = Form::of(&world.authorize(&client, &[]).await);
    let others =
        [("redirect_uri", "https://b.example/"), ("state", "other"), ("code_challenge", "x"), ("client_id", "x")];
    let path = authorize_path(&client, &[("redirect_uri", "https://b.example/"), ("state", "third")]);
    let ask = world.api.post(&path).cookie(&world.owner).header("origin", PUBLIC_URL);
    let reply = ask.form(&[form.allowing(), others.to_vec()].concat()).send().await;
    let code = parameter(reply.location(), "code").unwrap();
    let redeemed = world.redeem(&client, &code).await.status;
    let state = parameter(reply.location(), "state");
    assert_eq!(
        (reply.location().starts_with("https://app.example/cb?"), state.as_deref(), redeemed),
        (true, Some("st-12345678"), 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refused_answer_is_one_event_with_its_reason() {
    let (world, form) = asked().await;
    let own = [("origin", PUBLIC_URL)];
    let unknown = Form { handle: "x".to_owned(), csrf: form.csrf.clone() };
    let forged = Form { handle: form.handle.clone(), csrf: "x".to_owned() };
    let nobody = Browser { cookie: "x".to_owned(), csrf: String::new() };
    let replies = [
        form.send(&world, &nobody, &own).await,
        forged.send(&world, &world.owner, &own).await,
        form.send(&world, &world.owner, &[("origin", "null")]).await,
        form.send(&world, &world.owner, &[("sec-fetch-site", "cross-site")]).await,
        unknown.send(&world, &world.owner, &own).await,
        form.send(&world, &world.owner, &own).await,
        form.send(&world, &world.owner, &own).await,
    ];
    let reasons = world.reasons(&replies.each_ref()).await;
    let expected =
        ["session_missing", "csrf_token_invalid", "origin_foreign", "cross_site", "handle_unknown", "", "handle_used"];
    assert_eq!(reasons, under_their_ids(&expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_a_decision_is_made_with_nothing_is_kept_in_the_clear() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let login = world.api.get(&authorize_path(&client, &[])).send().await.location().to_owned();
    let page = world.authorize(&client, &[]).await;
    let form = Form::of(&page);
    let code = parameter(world.api.allow(&world.owner, &page).await.location(), "code").unwrap();
    let dump = world.dump().await;
    let secrets =
        [&code, &form.handle, &form.csrf, login.split_once('=').unwrap().1, &world.owner.cookie, &client.secret]
            .map(|text| dump.contains(text));
    assert_eq!((secrets, dump.contains(&client.id)), ([false; 6], true));
}

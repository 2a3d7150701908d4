//! The page of what a person has authorized.

use statuspulse_policy::Role;

use crate::{
    client::{Client, Tokens, confidential, hidden},
    help::went,
    support::{Api, Browser, PUBLIC_URL, Reply, World},
};

const PATH: &str = "/authorized-apps";

/// A world in which the owner has authorized the usual app.
async fn authorized() -> (World, Client, Tokens) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    (world, client, tokens)
}

async fn opened(api: &Api, browser: &Browser) -> Reply {
    api.get(PATH).cookie(browser).send().await
}

/// Sends the form that a page holds, as a browser does.
async fn end(world: &World, browser: &Browser, csrf: &str, grant: &str) -> Reply {
    let form = [("csrf_token", csrf), ("grant", grant)];
    world.api.post(PATH).cookie(browser).header("origin", PUBLIC_URL).form(&form).send().await
}

/// How many accesses a page shows.
fn shown(page: &Reply) -> usize {
    page.text.matches("name=\"grant\"").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_tells_who_may_do_what_for_whom_and_since_when() {
    let (world, ..) = authorized().await;
    let since = world.api.app.env.now().format("%-d %B %Y, %H:%M UTC").to_string();
    let page = opened(&world.api, &world.owner).await.text;
    let told = [
        "Deploy Bot",
        "The acme company",
        "<code>acme</code>",
        "monitoring:read",
        "See the state",
        &since,
        "not used yet",
    ];
    let missing: Vec<_> = told.into_iter().filter(|text| !page.contains(text)).collect();
    assert!(missing.is_empty(), "{missing:?} in {page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_tells_the_last_use() {
    let (world, ..) = authorized().await;
    world.sql("UPDATE oauth_grants SET last_used_at = '2031-02-03T04:05:06Z'").await;
    let page = opened(&world.api, &world.owner).await.text;
    assert!(page.contains("3 February 2031, 04:05 UTC"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_ends_the_access_and_comes_back() {
    let (world, client, tokens) = authorized().await;
    let page = opened(&world.api, &world.owner).await;
    let (csrf, grant) = (hidden(&page.text, "csrf_token"), hidden(&page.text, "grant"));
    let reply = end(&world, &world.owner, &csrf, &grant).await;
    let after = shown(&opened(&world.api, &world.owner).await);
    let active = world.is_active(&client, &tokens.access).await;
    assert_eq!((shown(&page), went(&reply), after, active), (1, (303, PATH.to_owned()), 0, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_is_an_event_of_the_person() {
    let (world, ..) = authorized().await;
    let page = opened(&world.api, &world.owner).await;
    end(&world, &world.owner, &hidden(&page.text, "csrf_token"), &hidden(&page.text, "grant")).await;
    let event = world.events("oauth.revoke").await.remove(0);
    let told = (event["actor_id"].as_str(), event["detail"]["cause"].as_str());
    assert_eq!(told, (Some(world.org.owner.id.to_string().as_str()), Some("revoked_by_user")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_it_twice_comes_back_too() {
    let (world, ..) = authorized().await;
    let page = opened(&world.api, &world.owner).await;
    let (csrf, grant) = (hidden(&page.text, "csrf_token"), hidden(&page.text, "grant"));
    end(&world, &world.owner, &csrf, &grant).await;
    assert_eq!(went(&end(&world, &world.owner, &csrf, &grant).await), (303, PATH.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_or_ends_what_another_one_has_authorized() {
    let (world, client, tokens) = authorized().await;
    let grant = hidden(&opened(&world.api, &world.owner).await.text, "grant");
    let (_, other) = world.member("other", Role::Admin).await;
    let seen = shown(&opened(&world.api, &other).await);
    end(&world, &other, &other.csrf, &grant).await;
    assert_eq!((seen, world.is_active(&client, &tokens.access).await), (0, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_signed_in_gets_the_sign_in() {
    let world = World::new().await;
    let asked = world.api.get(PATH).send().await;
    let sent = world.api.post(PATH).header("origin", PUBLIC_URL).form(&[("grant", "x")]).send().await;
    let back = (303, "/login?page=%2Fauthorized-apps".to_owned());
    assert_eq!([went(&asked), went(&sent)], [back.clone(), back]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_not_ours_ends_nothing() {
    let (world, client, tokens) = authorized().await;
    let page = opened(&world.api, &world.owner).await;
    let (csrf, grant) = (hidden(&page.text, "csrf_token"), hidden(&page.text, "grant"));
    let send = |csrf: &str, origin: &str, site: &str| {
        let form = [("csrf_token", csrf), ("grant", &grant)];
        let ask = world.api.post(PATH).cookie(&world.owner).header("origin", origin).header("sec-fetch-site", site);
        ask.form(&form).send()
    };
    let statuses = [
        send("", PUBLIC_URL, "same-origin").await.status,
        send("x", PUBLIC_URL, "same-origin").await.status,
        send(&csrf, "https://evil.example", "same-origin").await.status,
        send(&csrf, "null", "cross-site").await.status,
    ];
    assert_eq!((statuses, world.is_active(&client, &tokens.access).await), ([403; 4], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_has_the_headers_of_every_page() {
    let (world, ..) = authorized().await;
    let page = opened(&world.api, &world.owner).await;
    let headers = ["content-type", "cache-control", "x-frame-options", "referrer-policy", "x-content-type-options"];
    let policy = page.header("content-security-policy");
    assert_eq!(
        (headers.map(|name| page.header(name)), policy),
        (
            ["text/html; charset=utf-8", "no-store", "DENY", "no-referrer", "nosniff"],
            "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'self'"
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_goes_on_at_another_address() {
    let (world, ..) = authorized().await;
    world
        .sql(
            "INSERT INTO oauth_grants (id, user_id, organization_id, app_id, scopes, resources, status, created_at,
                 last_refresh_at, absolute_expires_at)
             SELECT gen_random_uuid(), user_id, organization_id, app_id, scopes, resources, status, created_at,
                 last_refresh_at, absolute_expires_at
             FROM oauth_grants, generate_series(1, 50)",
        )
        .await;
    let first = opened(&world.api, &world.owner).await;
    let (_, rest) = first.text.split_once("href=\"/authorized-apps?").unwrap();
    let next = format!("{PATH}?{}", rest.split('"').next().unwrap());
    let second = world.api.get(&next).cookie(&world.owner).send().await;
    assert_eq!([shown(&first), shown(&second)], [50, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_none_is_a_page_that_says_so() {
    let world = World::new().await;
    let reply = world.api.get("/authorized-apps?cursor=x").cookie(&world.owner).send().await;
    assert!(crate::help::is_page(&reply), "{} {}", reply.status, reply.text);
}

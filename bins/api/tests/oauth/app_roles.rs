//! Who may do what with apps (contract §4, policy §1.5), and what people of other organizations see.

use serde_json::{Value, json};
use statuspulse_policy::Role;
use statuspulse_testkit::key_of;

use crate::{
    client::{Client, confidential, with},
    help::APPS,
    support::{Ask, Browser, PUBLIC_URL, Reply, World},
};

/// Every endpoint of apps, in the order of [`matrix`].
fn endpoints(client: &Client, secret: &str) -> Vec<(&'static str, String, Value)> {
    vec![
        ("GET", APPS.to_owned(), Value::Null),
        ("GET", client.path(""), Value::Null),
        ("GET", client.path("/failures"), Value::Null),
        ("PATCH", client.path(""), json!({"name": "changed"})),
        ("POST", client.path("/secrets"), json!({})),
        ("DELETE", client.path(&format!("/secrets/{secret}")), json!({})),
        ("DELETE", client.path(""), json!({})),
    ]
}

fn told(reply: &Reply) -> String {
    if reply.status < 400 { reply.status.to_string() } else { format!("{} {}", reply.status, reply.code()) }
}

/// What somebody is answered who registers an app with these scopes, and then at every endpoint of one that the owner
/// registered.
async fn matrix<'w>(world: &'w World, scopes: &[&str], as_caller: impl Fn(Ask<'w>) -> Ask<'w>) -> Vec<String> {
    let body = with(confidential(), json!({"scopes": scopes, "default_scopes": null}));
    let client = world.app(body.clone()).await;
    let secret = world.shown(&client).await["secrets"][0]["id"].as_str().unwrap().to_owned();
    let mut answers = vec![told(&as_caller(world.api.post(APPS)).json(&body).send().await)];
    for (method, path, body) in endpoints(&client, &secret) {
        let ask = as_caller(world.api.ask(method, &path));
        let reply = if method == "GET" { ask.send().await } else { ask.json(&body).send().await };
        answers.push(told(&reply));
    }
    answers
}

async fn matrix_of(role: Role, scopes: &[&str]) -> Vec<String> {
    let world = World::new().await;
    let (_, browser) = world.member("somebody", role).await;
    matrix(&world, scopes, |ask| ask.browser(&browser)).await
}

const ALL: [&str; 8] = ["201", "200", "200", "200", "200", "201", "204", "204"];
const PLAIN: [&str; 2] = ["monitoring:read", "alerts:write"];
const MANAGING: [&str; 2] = ["monitoring:read", "credentials:verify"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_and_admin_do_everything_with_apps() {
    let (owner, admin) = (matrix_of(Role::Owner, &MANAGING).await, matrix_of(Role::Admin, &MANAGING).await);
    assert_eq!([owner, admin], [ALL; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_does_everything_with_apps_of_grantable_scopes() {
    assert_eq!(matrix_of(Role::Developer, &PLAIN).await, ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_only_reads_apps_whose_scopes_are_out_of_reach() {
    let refused = "403 scope_not_grantable";
    let expected = [refused, "200", "200", "200", refused, refused, refused, refused];
    assert_eq!(matrix_of(Role::Developer, &MANAGING).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_reads_apps_and_changes_none() {
    let refused = "403 role_not_sufficient";
    let expected = [refused, "200", "200", "200", refused, refused, refused, refused];
    assert_eq!(matrix_of(Role::Auditor, &PLAIN).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_reads_apps_reads_them_and_changes_none() {
    let world = World::new().await;
    let (_, key) = world.key(&["apps:read"]).await;
    let refused = "403 credential_not_allowed";
    let expected = [refused, "200", "200", "200", refused, refused, refused, refused];
    assert_eq!(matrix(&world, &PLAIN, |ask| ask.key(&key)).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_the_scope_reads_no_app() {
    let world = World::new().await;
    let (_, key) = world.key(&["keys:read", "audit:read", "alerts:read", "credentials:verify"]).await;
    let (lacking, refused) = ("403 insufficient_scope", "403 credential_not_allowed");
    let expected = [refused, lacking, lacking, lacking, refused, refused, refused, refused];
    assert_eq!(matrix(&world, &PLAIN, |ask| ask.key(&key)).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_no_app() {
    let world = World::new().await;
    let answers = matrix(&world, &PLAIN, |ask| ask).await;
    assert!(answers.iter().all(|answer| answer.starts_with("401 ")), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_manages_nothing_neither_with_its_secret_nor_with_its_token() {
    let world = World::new().await;
    let app = with(confidential(), json!({"scopes": ["monitoring:read", "apps:read"]}));
    let client = world.app(app).await;
    let code = world.code_for(&client, &[("scope", "apps:read")]).await;
    let token = crate::client::Tokens::of(&world.redeem(&client, &code).await).access;
    let with_token = matrix(&world, &PLAIN, |ask| ask.key(&token)).await;
    let with_secret = matrix(&world, &PLAIN, |ask| ask.client(&client)).await;
    let refused =
        |answers: &[String]| answers.iter().all(|answer| answer.starts_with("401") || answer.starts_with("403"));
    assert!(refused(&with_token) && refused(&with_secret), "{with_token:?} {with_secret:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_page_changes_no_app() {
    let world = World::new().await;
    let owner = world.owner.clone();
    let foreign = Browser { csrf: world.api.sign_in(&world.org.owner).await.csrf, ..owner.clone() };
    let without_token = matrix(&world, &PLAIN, |ask| ask.cookie(&owner).header("origin", PUBLIC_URL)).await;
    let of_another_session = matrix(&world, &PLAIN, |ask| ask.browser(&foreign)).await;
    let ask = world.api.post(APPS).cookie(&owner).header("x-csrf-token", &owner.csrf);
    let evil = ask.header("origin", "https://evil.example").json(&confidential()).send().await;
    let expected = ["403 csrf_token_invalid", "200", "200", "200"].into_iter().chain(["403 csrf_token_invalid"; 4]);
    let expected: Vec<_> = expected.map(str::to_owned).collect();
    assert_eq!(
        (without_token, of_another_session, told(&evil).as_str()),
        (expected.clone(), expected, "403 origin_not_allowed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_widens_no_app_and_leads_no_wider_one_elsewhere() {
    let world = World::new().await;
    let (_, browser) = world.member("dev", Role::Developer).await;
    let narrow = world.app(confidential()).await;
    let wide = world.app(with(confidential(), json!({"scopes": MANAGING, "default_scopes": null}))).await;
    let mut seen = Vec::new();
    for (client, change) in [
        (&narrow, json!({"scopes": ["monitoring:read", "keys:read"]})),
        (&wide, json!({"redirect_uris": ["https://evil.example/"]})),
        (&wide, json!({"scopes": ["monitoring:read"]})),
        (&wide, json!({"status": "suspended"})),
        (&narrow, json!({"redirect_uris": ["https://new.example/"]})),
    ] {
        seen.push(world.api.ask("PATCH", &client.path("")).browser(&browser).json(&change).send().await.status);
    }
    assert_eq!(seen, [403, 403, 403, 403, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setting_decides_which_scopes_a_developer_gives_an_app() {
    let world = World::new().await;
    let (_, browser) = world.member("dev", Role::Developer).await;
    let allowed = json!({"developer_scopes": ["incidents:read", "keys:read"]});
    world.owner("PATCH", "/v1/orgs/acme/settings", &allowed).await;
    let mut seen = Vec::new();
    for scopes in [json!(["keys:read"]), json!(["checks:read"]), json!(["keys:read", "checks:read"])] {
        let body = with(confidential(), json!({"scopes": scopes, "default_scopes": null}));
        seen.push(told(&world.api.post(APPS).browser(&browser).json(&body).send().await));
    }
    assert_eq!(seen, ["201", "403 scope_not_grantable", "403 scope_not_grantable"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_changed_nothing() {
    let world = World::new().await;
    let (_, auditor) = world.member("aud", Role::Auditor).await;
    let client = world.app(confidential()).await;
    let secret = world.shown(&client).await["secrets"][0]["id"].as_str().unwrap().to_owned();
    let state = "SELECT a::text FROM oauth_apps a UNION ALL SELECT s::text FROM oauth_app_secrets s
                 UNION ALL SELECT r::text FROM oauth_redirect_uris r UNION ALL SELECT f::text FROM key_feed f ORDER BY 1";
    let before = world.texts(state).await;
    for (method, path, body) in endpoints(&client, &secret).split_off(3) {
        world.api.ask(method, &path).browser(&auditor).json(&body).send().await;
    }
    assert_eq!(world.texts(state).await, before);
}

/// Somebody of another organization, who is its owner, and an app here.
async fn neighbours() -> (World, Browser, Client, String) {
    let world = World::new().await;
    let other = world.api.app.organization("other").await;
    let browser = world.api.sign_in(&other.owner).await;
    let client = world.app(confidential()).await;
    world.api.app.advance(std::time::Duration::from_secs(1)).await;
    world.owner("POST", &client.path("/secrets"), &json!({})).await;
    let secret = world.shown(&client).await["secrets"][1]["id"].as_str().unwrap().to_owned();
    (world, browser, client, secret)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_of_another_organization_is_not_found_under_either_name() {
    let (world, browser, client, secret) = neighbours().await;
    let (mut answers, before) = (Vec::new(), world.shown(&client).await);
    for (method, path, body) in endpoints(&client, &secret) {
        for path in [path.replace("/acme/", "/other/"), path] {
            let ask = world.api.ask(method, &path).browser(&browser);
            let reply = if method == "GET" { ask.send().await } else { ask.json(&body).send().await };
            answers.push(format!("{method} {} {}", reply.outcome().0, reply.outcome().1));
        }
    }
    let own_list = answers.remove(0);
    let found: Vec<_> = answers.iter().filter(|answer| !answer.ends_with(" 404 not_found")).collect();
    assert_eq!((own_list.as_str(), found, world.shown(&client).await), ("GET 200 ", Vec::<&String>::new(), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_organization_reads_no_app_here() {
    let (world, _, client, _) = neighbours().await;
    let other = world.api.app.organization("third").await;
    let (_, key) = world.api.app.key(&other, key_of("production", &["apps:read"])).await;
    let mut seen = Vec::new();
    for path in [APPS.to_owned(), client.path(""), client.path("/failures"), client.path("").replace("acme", "third")] {
        seen.push(world.api.get(&path).key(&key).send().await.outcome());
    }
    let own = world.api.get("/v1/orgs/third/apps").key(&key).send().await.json()["items"].clone();
    assert_eq!((seen, own), (vec![(404, "not_found".to_owned()); 4], json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_of_another_organization_looks_like_one_that_does_not_exist() {
    let (world, browser, client, _) = neighbours().await;
    let mut bodies = Vec::new();
    for id in [client.app.as_str(), "00000000-0000-7000-8000-000000000000", "nonsense"] {
        let reply = world.api.get(&format!("/v1/orgs/other/apps/{id}")).cookie(&browser).send().await;
        let mut body = reply.json();
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_that_of_the_moment() {
    let world = World::new().await;
    let (person, browser) = world.member("dev", Role::Developer).await;
    world.sql(&format!("UPDATE memberships SET role = 'auditor' WHERE user_id = '{}'", person.id)).await;
    let reply = world.api.post(APPS).browser(&browser).json(&confidential()).send().await;
    assert_eq!(reply.outcome(), (403, "role_not_sufficient".to_owned()));
}

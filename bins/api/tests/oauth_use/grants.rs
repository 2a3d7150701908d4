//! Grants as people see them and as they end, one by one and many at once.

use std::collections::HashSet;

use serde_json::{Value, json};
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, Tokens, authorize_path, confidential, parameter, with},
    support::{Api, Browser, PUBLIC_URL, Reply, World},
};

const OWN: &str = "/v1/me/grants";
const REVOKE: &str = "/v1/orgs/acme/grants/revoke";

async fn listed(world: &World, browser: &Browser, query: &str) -> Value {
    world.api.get(&format!("{OWN}{query}")).cookie(browser).send().await.json()
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Tokens that somebody else gives an app.
async fn tokens_by(world: &World, browser: &Browser, client: &Client) -> Tokens {
    let page = world.api.get(&authorize_path(client, &[])).cookie(browser).send().await;
    let reply = if page.status == 200 { world.api.allow(browser, &page).await } else { page };
    let code = parameter(reply.location(), "code").unwrap();
    Tokens::of(&world.redeem(client, &code).await)
}

async fn member(world: &World, name: &str, role: Role) -> Browser {
    let person = world.api.app.person(&world.org, name, role).await;
    world.api.sign_in(&person).await
}

/// Another organization with its owner, and an app of theirs.
async fn neighbours(world: &World) -> (Browser, Client) {
    let other = world.api.app.organization("other").await;
    let browser = world.api.sign_in(&other.owner).await;
    let reply = world.api.post("/v1/orgs/other/apps").browser(&browser).json(&confidential()).send().await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let client = Client {
        app: text(&reply["app"]["id"]),
        id: text(&reply["client_id"]),
        secret: text(&reply["client_secret"]),
        redirect: crate::client::REDIRECT.to_owned(),
    };
    (browser, client)
}

async fn revoke(world: &World, browser: &Browser, path: &str, body: &Value) -> Reply {
    world.api.post(path).browser(browser).json(body).send().await
}

/// spec: oauth §6.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_what_was_authorized_for_whom() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code_for(&client, &[("scope", "alerts:write monitoring:read")]).await;
    world.redeem(&client, &code).await;
    let page = listed(&world, &world.owner, "").await;
    let item = &page["items"][0];
    let told = ["app", "organization", "scopes", "last_used_at", "last_used_ips"].map(|name| item[name].clone());
    let app = json!({"id": client.app, "client_id": client.id, "name": "Deploy Bot", "publisher": "The acme company"});
    let scopes = json!(["monitoring:read", "alerts:write"]);
    assert_eq!(
        (told, item["id"].is_string(), item["created_at"].is_string(), &page["next_cursor"]),
        ([app, json!("acme"), scopes, Value::Null, json!([])], true, true, &Value::Null)
    );
}

/// spec: oauth §6.7, §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_whose_code_nobody_redeemed_is_not_shown() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let before = ids(&listed(&world, &world.owner, "").await).len();
    world.redeem(&client, &code).await;
    assert_eq!((before, ids(&listed(&world, &world.owner, "").await).len()), (0, 1));
}

/// spec: oauth §6.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_that_have_ended_in_any_way_are_not_shown() {
    let world = World::new().await;
    let (revoked, suspended, deleted) =
        (world.app(confidential()).await, world.app(confidential()).await, world.app(confidential()).await);
    let tokens = world.tokens(&revoked).await;
    world.tokens(&suspended).await;
    world.tokens(&deleted).await;
    let before = ids(&listed(&world, &world.owner, "").await).len();
    world.api.revoke(&revoked, &tokens.refresh).await;
    world.change_app(&suspended, &json!({"status": "suspended"})).await;
    world.owner("DELETE", &format!("/v1/orgs/acme/apps/{}", deleted.app), &json!({})).await;
    assert_eq!((before, ids(&listed(&world, &world.owner, "").await)), (3, Vec::new()));
}

/// spec: oauth §5.1, §6.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_at_its_absolute_end_is_not_shown() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    world.api.app.advance_days(180).await;
    let owner = world.api.sign_in(&world.org.owner).await;
    assert_eq!(ids(&listed(&world, &owner, "").await), Vec::<String>::new());
}

/// spec: oauth N11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_each_grant_once_also_where_many_are_of_one_moment() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    // The clock stands still: all of them have the same time.
    for _ in 0..11 {
        world.tokens(&client).await;
    }
    let (mut seen, mut query, mut sizes) = (Vec::new(), "?limit=4".to_owned(), Vec::new());
    loop {
        let page = listed(&world, &world.owner, &query).await;
        let found = ids(&page);
        sizes.push(found.len());
        seen.extend(found);
        let Some(next) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=4&cursor={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|one, other| other.cmp(one));
    let distinct: HashSet<&String> = seen.iter().collect();
    assert_eq!((sizes, distinct.len(), &seen), (vec![4, 4, 3], 11, &sorted));
}

/// spec: oauth N11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_ends_meanwhile_leaves_no_gap_in_the_pages() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    for _ in 0..6 {
        world.tokens(&client).await;
        world.api.app.advance(std::time::Duration::from_secs(1)).await;
    }
    let all = ids(&listed(&world, &world.owner, "").await);
    let first = listed(&world, &world.owner, "?limit=2").await;
    // The very one at which the cursor stands.
    world.api.ask("DELETE", &format!("{OWN}/{}", all[1])).browser(&world.owner).send().await;
    let next = first["next_cursor"].as_str().unwrap();
    let second = listed(&world, &world.owner, &format!("?limit=2&cursor={next}")).await;
    assert_eq!(ids(&second), all[2..4]);
}

/// spec: oauth N11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_its_owners_and_a_page_has_bounds() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    for _ in 0..3 {
        world.tokens(&client).await;
    }
    let next = listed(&world, &world.owner, "?limit=1").await["next_cursor"].as_str().unwrap().to_owned();
    let other = member(&world, "other", Role::Admin).await;
    let ask = async |browser: &Browser, query: &str| {
        world.api.get(&format!("{OWN}?{query}")).cookie(browser).send().await.outcome()
    };
    let told = [
        ask(&other, &format!("cursor={next}")).await,
        ask(&world.owner, "cursor=nonsense").await,
        ask(&world.owner, "limit=0").await,
        ask(&world.owner, "limit=201").await,
        ask(&world.owner, "limit=x").await,
        ask(&world.owner, "organization=acme").await,
    ];
    let statuses = told.each_ref().map(|(status, _)| *status);
    assert_eq!((statuses, told[0].1.as_str()), ([400, 400, 422, 422, 422, 422], "invalid_cursor"));
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_one_of_the_own_grants_ends_that_one_alone() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let one = world.tokens(&client).await;
    world.api.app.advance(std::time::Duration::from_secs(1)).await;
    let two = world.tokens(&client).await;
    let newest = ids(&listed(&world, &world.owner, "").await)[0].clone();
    let path = format!("{OWN}/{newest}");
    let ended = world.api.ask("DELETE", &path).browser(&world.owner).send().await;
    let active = [world.is_active(&client, &one.access).await, world.is_active(&client, &two.access).await];
    let again = world.api.ask("DELETE", &path).browser(&world.owner).send().await.status;
    let events = world.events("oauth.revoke").await;
    let told: Vec<_> = events.iter().map(|e| (e["request_id"].as_str(), e["detail"]["grant_id"].as_str())).collect();
    assert_eq!(
        (ended.status, active, again, told),
        (204, [true, false], 404, vec![(Some(ended.request_id()), Some(newest.as_str()))])
    );
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_ones_own_grant_takes_a_session_its_token_and_our_origin() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let path = format!("{OWN}/{}", ids(&listed(&world, &world.owner, "").await)[0]);
    let ask = || world.api.ask("DELETE", &path);
    let told = [
        ask().send().await.status,
        ask().key(&world.gateway).send().await.status,
        ask().cookie(&world.owner).send().await.status,
        ask()
            .cookie(&world.owner)
            .header("origin", "https://evil.example")
            .header("x-csrf-token", &world.owner.csrf)
            .send()
            .await
            .status,
        ask().cookie(&world.owner).header("origin", PUBLIC_URL).header("x-csrf-token", "x").send().await.status,
        world.api.get(OWN).send().await.status,
        world.api.get(OWN).key(&world.gateway).send().await.status,
        world.api.ask("DELETE", &format!("{OWN}/nonsense")).browser(&world.owner).send().await.status,
    ];
    assert_eq!(
        (told, world.is_active(&client, &tokens.access).await),
        ([401, 403, 403, 403, 403, 401, 403, 404], true)
    );
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_many_tells_how_many_and_writes_one_event_for_each() {
    let world = World::new().await;
    let (client, other) = (world.app(confidential()).await, world.app(confidential()).await);
    let admin = member(&world, "admin", Role::Admin).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(tokens_by(&world, &admin, &client).await.access);
    }
    let (owners, others) = (world.tokens(&client).await.access, tokens_by(&world, &admin, &other).await.access);
    let reply = revoke(&world, &admin, REVOKE, &json!({"app": client.app})).await;
    let mut active = Vec::new();
    for token in tokens.iter().chain([&owners, &others]) {
        let client = if *token == others { &other } else { &client };
        active.push(world.is_active(client, token).await);
    }
    let events = world.events("oauth.revoke").await;
    let grants: HashSet<&str> = events.iter().map(|event| event["detail"]["grant_id"].as_str().unwrap()).collect();
    let of_request = events.iter().filter(|event| event["request_id"] == reply.request_id()).count();
    let again = revoke(&world, &admin, REVOKE, &json!({"app": client.app})).await.json();
    assert_eq!(
        (reply.json(), active, grants.len(), of_request, again),
        (json!({"revoked": 4}), vec![false, false, false, false, true], 4, 4, json!({"revoked": 0}))
    );
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_all_of_a_person_leaves_others_and_other_instances_hear_of_it() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = world.app(confidential()).await;
    let admin = member(&world, "admin", Role::Admin).await;
    let (theirs, mine) = (tokens_by(&world, &admin, &client).await.access, world.tokens(&client).await.access);
    let id = world.api.get("/v1/session").cookie(&admin).send().await.json()["user"]["id"].clone();
    let ended = revoke(&world, &world.owner, REVOKE, &json!({"user": id})).await.json();
    eventually("the token is dead there", async || second.introspect(&client, &theirs).await.json()["active"] == false)
        .await;
    let active = [world.is_active(&client, &theirs).await, world.is_active(&client, &mine).await];
    assert_eq!((ended, active), (json!({"revoked": 1}), [false, true]));
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_batch_ends_in_one_call() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let more = "INSERT INTO oauth_grants (id, user_id, organization_id, app_id, scopes, resources, status, created_at, absolute_expires_at)
         SELECT gen_random_uuid(), user_id, organization_id, app_id, scopes, resources, 'active', created_at, absolute_expires_at
         FROM generate_series(1, 1200), oauth_grants";
    world.db.client().await.execute(more, &[]).await.unwrap();
    let ended = revoke(&world, &world.owner, REVOKE, &json!({"app": client.id})).await.json();
    assert_eq!(
        (ended, world.is_active(&client, &token).await, world.events("oauth.revoke").await.len()),
        (json!({"revoked": 1_201}), false, 1_201)
    );
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_and_admin_end_grants_and_nobody_else_does() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for (name, role) in
        [("owner2", Role::Owner), ("admin", Role::Admin), ("dev", Role::Developer), ("auditor", Role::Auditor)]
    {
        let browser = member(&world, name, role).await;
        told.push(revoke(&world, &browser, REVOKE, &json!({"app": client.id})).await.status);
    }
    let (stranger, _) = neighbours(&world).await;
    told.push(revoke(&world, &stranger, REVOKE, &json!({"app": client.id})).await.status);
    told.push(world.api.post(REVOKE).json(&json!({"app": client.id})).send().await.status);
    told.push(world.api.post(REVOKE).key(&world.gateway).json(&json!({"app": client.id})).send().await.status);
    assert_eq!(told, [200, 200, 403, 403, 404, 401, 403]);
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_of_app_user_and_grant_is_named() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let token = world.tokens(&client).await.access;
    let mut told = Vec::new();
    for body in [
        json!({}),
        json!({"app": null}),
        json!({"app": client.id, "user": world.org.owner.email}),
        json!({"app": client.id, "grant": uuid::Uuid::nil()}),
        json!({"app": client.id, "user": "x", "grant": "y"}),
        json!({"app": client.id, "organization": "acme"}),
        json!({"app": 1}),
    ] {
        told.push(revoke(&world, &world.owner, REVOKE, &body).await.status);
    }
    assert_eq!((told, world.is_active(&client, &token).await), (vec![422; 7], true));
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_not_found() {
    let world = World::new().await;
    let mut told = Vec::new();
    for body in [
        json!({"app": "sp_app_AAAAAAAAAAAAAAAAAAAAAA"}),
        json!({"app": uuid::Uuid::nil()}),
        json!({"app": "nonsense"}),
        json!({"user": "nobody@acme.test"}),
        json!({"user": uuid::Uuid::nil()}),
        json!({"grant": uuid::Uuid::nil()}),
        json!({"grant": "nonsense"}),
    ] {
        told.push(revoke(&world, &world.owner, REVOKE, &body).await.status);
    }
    assert_eq!(told, [404; 7]);
}

/// Whether somebody has an account with another organization is nobody's business.
///
/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_of_another_organization_is_not_found() {
    let world = World::new().await;
    let (stranger, client) = neighbours(&world).await;
    let page = world.api.get(&authorize_path(&client, &[])).cookie(&stranger).send().await;
    let code = parameter(world.api.allow(&stranger, &page).await.location(), "code").unwrap();
    let token = Tokens::of(&world.redeem(&client, &code).await).access;
    let grant = ids(&listed(&world, &stranger, "").await)[0].clone();
    let id = world.api.get("/v1/session").cookie(&stranger).send().await.json()["user"]["id"].clone();
    let mut told = Vec::new();
    for body in [json!({"user": "owner@other.test"}), json!({"user": id}), json!({"grant": grant})] {
        told.push(revoke(&world, &world.owner, REVOKE, &body).await.status);
    }
    assert_eq!((told, world.is_active(&client, &token).await), (vec![404; 3], true));
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_anothers_app_an_organization_ends_what_is_its_own_and_the_publisher_ends_all() {
    let world = World::new().await;
    let (stranger, client) = neighbours(&world).await;
    let page = world.api.get(&authorize_path(&client, &[])).cookie(&stranger).send().await;
    let code = parameter(world.api.allow(&stranger, &page).await.location(), "code").unwrap();
    let theirs = Tokens::of(&world.redeem(&client, &code).await).access;
    let ours = world.tokens(&client).await.access;
    let ended = revoke(&world, &world.owner, REVOKE, &json!({"app": client.id})).await.json();
    let active = [world.is_active(&client, &ours).await, world.is_active(&client, &theirs).await];
    let again = world.tokens(&client).await.access;
    let path = "/v1/orgs/other/grants/revoke";
    let all = revoke(&world, &stranger, path, &json!({"app": client.id})).await.json();
    let left = [world.is_active(&client, &again).await, world.is_active(&client, &theirs).await];
    assert_eq!(
        (ended, active, all, left),
        (json!({"revoked": 1}), [false, true], json!({"revoked": 2}), [false, false])
    );
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_grants_give_no_tokens_any_more_and_are_forgotten() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"name": "Remembered"}))).await;
    let tokens = world.tokens(&client).await;
    let waiting = world.code(&client).await;
    revoke(&world, &world.owner, REVOKE, &json!({"app": client.id})).await;
    let refreshed = world.refresh(&client, &tokens.refresh).await.refused();
    let redeemed = world.redeem(&client, &waiting).await.refused();
    let asked = world.authorize(&client, &[]).await.status;
    let refused = (400, "invalid_grant".to_owned());
    assert_eq!((refreshed, redeemed, asked), (refused.clone(), refused, 200));
}

//! What becomes of what a member has authorized when the member goes, or may do less.

use serde_json::json;
use statuspulse_policy::Role;
use statuspulse_testkit::{Person, eventually};

use crate::{
    client::{Client, Tokens, authorize_path, confidential, parameter},
    support::{Api, Browser, PUBLIC_URL, World},
};

async fn member(world: &World, name: &str, role: Role) -> (Person, Browser) {
    let person = world.api.app.person(&world.org, name, role).await;
    let browser = world.api.sign_in(&person).await;
    (person, browser)
}

/// Tokens that a member gives an app.
async fn tokens_by(world: &World, browser: &Browser, client: &Client) -> Tokens {
    let page = world.api.get(&authorize_path(client, &[])).cookie(browser).send().await;
    let reply = if page.status == 200 { world.api.allow(browser, &page).await } else { page };
    let code = parameter(reply.location(), "code").unwrap();
    Tokens::of(&world.redeem(client, &code).await)
}

fn at(person: &Person) -> String {
    format!("/v1/orgs/acme/members/{}", person.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_has_authorized_ends_with_the_membership_on_every_instance() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = world.app(confidential()).await;
    let (ada, browser) = member(&world, "ada", Role::Admin).await;
    let (theirs, mine) = (tokens_by(&world, &browser, &client).await, world.tokens(&client).await);
    let before = second.introspect(&client, &theirs.access).await.json()["active"].clone();
    let removed = world.owner("DELETE", &at(&ada), &json!({})).await.status;
    let active = [world.is_active(&client, &theirs.access).await, world.is_active(&client, &mine.access).await];
    let refreshed = world.refresh(&client, &theirs.refresh).await.status;
    eventually("the token is dead there", async || {
        second.introspect(&client, &theirs.access).await.json()["active"] == false
    })
    .await;
    assert_eq!((before, removed, active, refreshed), (json!(true), 204, [false, true], 400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_grant_that_ends_with_a_membership_is_in_the_trail() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (ada, browser) = member(&world, "ada", Role::Admin).await;
    for _ in 0..2 {
        tokens_by(&world, &browser, &client).await;
    }
    world.owner("DELETE", &at(&ada), &json!({})).await;
    let causes: Vec<_> = world.events("oauth.revoke").await.iter().map(|e| e["detail"]["cause"].clone()).collect();
    let counted = world.events("member.remove").await[0]["detail"]["ended_grants"].clone();
    assert_eq!((causes, counted), (vec![json!("user_removed"); 2], json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demotion_ends_what_the_new_role_may_not_give_and_nothing_else() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (ada, browser) = member(&world, "ada", Role::Admin).await;
    let tokens = tokens_by(&world, &browser, &client).await;
    world.owner("PATCH", &at(&ada), &json!({"role": "developer"})).await;
    let as_developer = world.is_active(&client, &tokens.access).await;
    world.owner("PATCH", &at(&ada), &json!({"role": "auditor"})).await;
    let as_auditor = world.is_active(&client, &tokens.access).await;
    let counted: Vec<_> =
        world.events("member.change").await.iter().map(|e| e["detail"]["ended_grants"].clone()).collect();
    assert_eq!((as_developer, as_auditor, counted), (true, false, vec![json!(0), json!(1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_meets_a_demotion_leaves_no_grant_behind() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (ada, browser) = member(&world, "ada", Role::Admin).await;
    let page = world.api.get(&authorize_path(&client, &[])).cookie(&browser).send().await;
    // Another connection looks: within a transaction, who waits is read once.
    let (other, looking) = (world.db.client().await, world.db.client().await);
    let demote = format!("BEGIN; UPDATE memberships SET role = 'auditor' WHERE user_id = '{}'", ada.id);
    other.batch_execute(&demote).await.unwrap();
    let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let demoted = async {
        eventually("the consent waits for the membership", async || {
            looking.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (reply, ()) = tokio::join!(world.api.allow(&browser, &page), demoted);
    let grants: i64 = world.db.client().await.query_one("SELECT count(*) FROM oauth_grants", &[]).await.unwrap().get(0);
    assert_eq!((reply.status, grants), (503, 0));
}

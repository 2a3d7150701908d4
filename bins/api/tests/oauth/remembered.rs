//! Remembered consent, people of several organizations, and what a role may give.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_policy::{Catalog, Role};
use statuspulse_testkit::{TestApp, TestDb, TestOrg};

use crate::{
    client::{Client, Tokens, authorize_path, confidential, hidden, parameter, public, ticked, with},
    help::{fields, under_their_ids},
    support::{Api, Browser, PUBLIC_URL, Reply, World},
};

const ASKED: &str = "asked";
const CODE: &str = "code";

/// What became of a request: the page, a code, or the error that the app is told.
fn outcome(reply: &Reply) -> String {
    let to = reply.location();
    let get = |name| if to.starts_with("http") { parameter(to, name) } else { None };
    match (reply.status, get("code"), get("error")) {
        (200, ..) => ASKED.to_owned(),
        (303, Some(_), None) => CODE.to_owned(),
        (303, None, Some(error)) => error,
        _ => format!("{} {to}", reply.status),
    }
}

async fn asked(world: &World, client: &Client, replaced: &[(&str, &str)]) -> String {
    outcome(&world.authorize(client, replaced).await)
}

/// A world in which the owner has given an app the scope it asks for.
async fn decided() -> (World, Client, Tokens) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    (world, client, tokens)
}

/// spec: oauth B20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompt_decides_whether_a_remembered_page_is_shown() {
    let (world, client, _) = decided().await;
    let seen = [
        asked(&world, &client, &[("prompt", "none")]).await,
        asked(&world, &client, &[("prompt", "consent")]).await,
        asked(&world, &client, &[("prompt", "")]).await,
        asked(&world, &client, &[("prompt", "none"), ("scope", "alerts:write")]).await,
    ];
    assert_eq!(seen, [CODE, ASKED, CODE, "consent_required"]);
}

/// spec: oauth D15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_what_was_given_is_remembered_and_two_decisions_are_not_added_up() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    for scope in ["monitoring:read alerts:write", "incidents:write"] {
        let code = world.code_for(&client, &[("scope", scope)]).await;
        world.redeem(&client, &code).await;
    }
    let mut seen = Vec::new();
    for scope in ["monitoring:read", "alerts:write,monitoring:read", "incidents:write", "alerts:write incidents:write"]
    {
        seen.push(asked(&world, &client, &[("scope", scope)]).await);
    }
    assert_eq!(seen, [CODE, CODE, CODE, ASKED]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_unticked_is_asked_again() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[("scope", "monitoring:read alerts:write")]).await;
    let reply = world.api.decide(&world.owner, &page, "allow", &["monitoring:read"]).await;
    world.redeem(&client, &parameter(reply.location(), "code").unwrap()).await;
    let seen =
        [asked(&world, &client, &[]).await, asked(&world, &client, &[("scope", "monitoring:read alerts:write")]).await];
    assert_eq!(seen, [CODE, ASKED]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_whose_code_nobody_redeemed_is_remembered_for_as_long_as_the_code() {
    let mut seen = Vec::new();
    for seconds in [299, 300] {
        let world = World::new().await;
        let client = world.app(confidential()).await;
        world.code(&client).await;
        world.api.app.advance(Duration::from_secs(seconds)).await;
        seen.push(asked(&world, &client, &[]).await);
    }
    assert_eq!(seen, [CODE, ASKED]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_in_which_a_grant_ends_is_forgotten() {
    let mut seen = Vec::new();
    for way in ["the person", "an admin, the app", "an admin, the person", "an admin, the grant", "the app", "reuse"] {
        let (world, client, tokens) = decided().await;
        let id = world.grants().await[0]["id"].clone();
        let revoke = "/v1/orgs/acme/grants/revoke";
        let ended = match way {
            "the person" => {
                let path = format!("/v1/me/grants/{}", id.as_str().unwrap());
                world.api.ask("DELETE", &path).browser(&world.owner).send().await.status
            }
            "an admin, the app" => world.owner("POST", revoke, &json!({"app": client.id})).await.status,
            "an admin, the person" => world.owner("POST", revoke, &json!({"user": world.org.owner.email})).await.status,
            "an admin, the grant" => world.owner("POST", revoke, &json!({"grant": id})).await.status,
            "the app" => world.api.revoke(&client, &tokens.refresh).await.status,
            _ => {
                world.refresh(&client, &tokens.refresh).await;
                world.refresh(&client, &tokens.refresh).await.status
            }
        };
        seen.push((way, ended < 500, asked(&world, &client, &[]).await));
    }
    let forgotten: Vec<_> = seen.iter().map(|(way, _, _)| (*way, true, ASKED.to_owned())).collect();
    assert_eq!(seen, forgotten);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_grants_that_cover_a_request_both_must_end_before_it_is_asked_again() {
    let (world, client, _) = decided().await;
    world.tokens(&client).await;
    let mut seen = Vec::new();
    for grant in world.grants().await {
        let path = format!("/v1/me/grants/{}", grant["id"].as_str().unwrap());
        world.api.ask("DELETE", &path).browser(&world.owner).send().await;
        seen.push(asked(&world, &client, &[]).await);
    }
    assert_eq!(seen, [CODE, ASKED]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_was_suspended_for_a_while_asks_again() {
    let (world, client, _) = decided().await;
    for status in ["suspended", "active"] {
        world.change_app(&client, &fields("status", json!(status))).await;
    }
    assert_eq!(asked(&world, &client, &[]).await, ASKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_180_days_the_person_is_asked_again() {
    let (mut world, client, _) = decided().await;
    world.api.app.advance_days(180).await;
    world.owner = world.api.sign_in(&world.org.owner).await;
    assert_eq!(asked(&world, &client, &[]).await, ASKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_of_one_person_for_one_app_is_nobody_else_s() {
    let (world, client, _) = decided().await;
    let (_, colleague) = world.member("dev", Role::Developer).await;
    let other = world.app(with(confidential(), json!({"name": "Deploy Bot"}))).await;
    let own = asked(&world, &client, &[]).await;
    let theirs = outcome(&world.api.authorize(&colleague, &client, &[]).await);
    assert_eq!([own, theirs, asked(&world, &other, &[]).await], [CODE, ASKED, ASKED]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_holds_for_itself_decides_nothing_for_people() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let form = [("grant_type", "client_credentials")];
    let own = world.api.post("/oauth/token").client(&client).form(&form).send().await.status;
    assert_eq!((own, asked(&world, &client, &[]).await), (200, ASKED.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_for_one_resource_is_none_for_another() {
    let db = TestDb::new().await;
    let text = Catalog::BUILTIN_TOML.replace("audiences = []", "audiences = [\"https://reports.example\"]");
    let app = TestApp::builder(&db).catalog(Catalog::from_toml(&text).unwrap()).start().await;
    let world = World::around(db, Api::over(app, "", "x-forwarded-for").await).await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    let seen = [
        asked(&world, &client, &[("resource", PUBLIC_URL)]).await,
        asked(&world, &client, &[("resource", "http://auth.test/")]).await,
        asked(&world, &client, &[("resource", "https://reports.example")]).await,
        asked(&world, &client, &[("resource", "https://reports.example/")]).await,
    ];
    assert_eq!(seen, [CODE, CODE, ASKED, "invalid_target"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remembered_code_is_one_event_with_the_id_of_its_answer_and_a_grant_of_its_own() {
    let (world, client, _) = decided().await;
    world.api.app.advance(Duration::from_secs(1)).await;
    let page = world.authorize(&client, &[("prompt", "consent")]).await;
    let head = world.api.ask("HEAD", &authorize_path(&client, &[])).cookie(&world.owner).send().await;
    let wrong = world.api.ask("HEAD", &authorize_path(&client, &[("scope", "x")])).cookie(&world.owner).send().await;
    let reply = world.authorize(&client, &[]).await;
    let mut events = world.events("oauth.authorize").await;
    let last = events.pop().unwrap();
    let quiet = [page.status, head.status, wrong.status];
    assert_eq!(
        (quiet, events.len(), &last["request_id"], &last["outcome"], &last["actor_id"], &last["detail"]["grant_id"]),
        (
            [200; 3],
            1,
            &json!(reply.request_id()),
            &json!("allowed"),
            &json!(world.org.owner.id.to_string()),
            &json!(world.texts("SELECT id::text FROM oauth_grants ORDER BY id DESC LIMIT 1").await[0])
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_the_consent_page_keeps_nothing_and_says_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for replaced in [[("state", "x")], [("scope", "bogus")], [("prompt", "none")]] {
        let reply = world.api.ask("HEAD", &authorize_path(&client, &replaced)).cookie(&world.owner).send().await;
        seen.push((reply.status, reply.location().to_owned()));
    }
    assert_eq!((seen, world.kept().await), (vec![(200, String::new()); 3], 0));
}

/// A world whose owner has a role in a second organization too.
async fn in_two(role: Role) -> (World, Client, TestOrg) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.api.app.organization("other").await;
    world.join(&world.org.owner, &other, role).await;
    (world, client, other)
}

/// Presses Allow with an organization chosen, or none.
async fn choose(world: &World, browser: &Browser, page: &Reply, chosen: Option<&str>) -> Reply {
    let (handle, csrf) = (hidden(&page.text, "request"), hidden(&page.text, "csrf_token"));
    let mut form = vec![("request", handle.as_str()), ("csrf_token", &csrf), ("decision", "allow")];
    form.push(("scope", "monitoring:read"));
    form.extend(chosen.map(|slug| ("organization", slug)));
    world.api.post("/oauth/authorize").cookie(browser).header("origin", PUBLIC_URL).form(&form).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_of_several_organizations_chooses_one_on_the_page() {
    let (world, client, _) = in_two(Role::Admin).await;
    let page = world.authorize(&client, &[]).await;
    let (_, select) = page.text.split_once("<select").unwrap();
    let (select, _) = select.split_once("</select>").unwrap();
    let offered = ["acme", "other"].map(|slug| select.contains(&format!("value=\"{slug}\"")));
    let named = select.contains("The other company") && select.contains("name=\"organization\"");
    assert_eq!((offered, named), ([true, true], true), "{select}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grant_is_for_the_organization_that_was_chosen() {
    let (world, client, _) = in_two(Role::Admin).await;
    let page = world.authorize(&client, &[]).await;
    let reply = choose(&world, &world.owner, &page, Some("other")).await;
    let tokens = Tokens::of(&world.redeem(&client, &parameter(reply.location(), "code").unwrap()).await);
    let question = json!({"token": tokens.access, "method": "GET", "path": "/api/v1/monitoring"});
    let verdict = world.api.verify(&world.gateway, &question).await;
    let listed: Vec<Value> = world.grants().await.iter().map(|grant| grant["organization"].clone()).collect();
    assert_eq!((listed, &verdict["credential"]["organization"]), (vec![json!("other")], &json!("other")), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_of_several_organizations_is_always_asked() {
    let (world, client, _) = in_two(Role::Admin).await;
    for chosen in ["acme", "other"] {
        let page = world.authorize(&client, &[]).await;
        let reply = choose(&world, &world.owner, &page, Some(chosen)).await;
        world.redeem(&client, &parameter(reply.location(), "code").unwrap()).await;
    }
    let seen = [asked(&world, &client, &[]).await, asked(&world, &client, &[("prompt", "none")]).await];
    assert_eq!(seen, [ASKED, "consent_required"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_choice_or_with_a_foreign_one_nothing_is_given() {
    let (world, client, _) = in_two(Role::Admin).await;
    world.api.app.organization("foreign").await;
    let mut seen = Vec::new();
    for chosen in [None, Some(""), Some("foreign"), Some("nowhere"), Some("ACME"), Some("acme ")] {
        let page = world.authorize(&client, &[]).await;
        seen.push(outcome(&choose(&world, &world.owner, &page, chosen).await));
    }
    assert_eq!((seen, world.codes().await), (vec!["access_denied".to_owned(); 6], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_one_organization_can_not_name_another() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.api.app.organization("foreign").await;
    let page = world.authorize(&client, &[]).await;
    assert_eq!(outcome(&choose(&world, &world.owner, &page, Some("foreign")).await), "access_denied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_in_the_chosen_organization_counts() {
    let (world, client, _) = in_two(Role::Auditor).await;
    let mut seen = Vec::new();
    for chosen in ["other", "acme"] {
        let page = world.authorize(&client, &[]).await;
        seen.push(outcome(&choose(&world, &world.owner, &page, Some(chosen)).await));
    }
    assert_eq!(seen, ["access_denied", CODE]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_of_another_organization_acts_for_the_person_s_own_and_names_its_publisher() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.api.app.organization("other").await;
    let customer = world.api.sign_in(&other.owner).await;
    let page = world.api.authorize(&customer, &client, &[]).await;
    let reply = world.api.allow(&customer, &page).await;
    world.redeem(&client, &parameter(reply.location(), "code").unwrap()).await;
    let grants = world.api.get("/v1/me/grants").cookie(&customer).send().await.json();
    let grant = &grants["items"][0];
    let told = ["The acme company", "The other company", "Deploy Bot"].map(|text| page.text.contains(text));
    assert_eq!(
        (told, &grant["organization"], &grant["app"]["publisher"], &grant["app"]["name"]),
        ([true; 3], &json!("other"), &json!("The acme company"), &json!("Deploy Bot"))
    );
}

/// Somebody with a role, and what the page of an app with these scopes offers.
async fn offered(role: Role, scopes: &[&str]) -> (World, Client, Browser, Reply) {
    let world = World::new().await;
    let app = with(confidential(), json!({"scopes": scopes, "default_scopes": null}));
    let client = world.app(app).await;
    let (_, browser) = world.member("somebody", role).await;
    let page = world.api.authorize(&browser, &client, &[("scope", &scopes.join(" "))]).await;
    (world, client, browser, page)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_is_offered_what_it_may_give() {
    let scopes = ["monitoring:read", "keys:read", "credentials:verify"];
    let mut seen = Vec::new();
    for role in [Role::Owner, Role::Admin, Role::Developer, Role::Auditor] {
        seen.push(ticked(&offered(role, &scopes).await.3.text));
    }
    let all: Vec<String> = scopes.map(str::to_owned).to_vec();
    assert_eq!(seen, [all.clone(), all, vec!["monitoring:read".to_owned()], vec![]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_whose_setting_shrank_is_asked_again() {
    let (world, client, browser, page) = offered(Role::Developer, &["monitoring:read", "alerts:write"]).await;
    let reply = world.api.allow(&browser, &page).await;
    world.redeem(&client, &parameter(reply.location(), "code").unwrap()).await;
    let before = outcome(&world.api.authorize(&browser, &client, &[("scope", "alerts:write")]).await);
    world.owner("PATCH", "/v1/orgs/acme/settings", &json!({"developer_scopes": ["monitoring:read"]})).await;
    let gone = outcome(&world.api.authorize(&browser, &client, &[("scope", "alerts:write")]).await);
    let still = outcome(&world.api.authorize(&browser, &client, &[]).await);
    assert_eq!([before, gone, still], [CODE, ASKED, CODE]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_whose_earlier_grant_was_wider_is_asked_again() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (person, browser) = world.member("dev", Role::Developer).await;
    let page = world.api.authorize(&browser, &client, &[]).await;
    let reply = world.api.allow(&browser, &page).await;
    world.redeem(&client, &parameter(reply.location(), "code").unwrap()).await;
    world.sql(&format!("UPDATE memberships SET role = 'auditor' WHERE user_id = '{}'", person.id)).await;
    let page = world.api.authorize(&browser, &client, &[]).await;
    let denied = world.api.decide(&browser, &page, "allow", &["monitoring:read"]).await;
    assert_eq!([outcome(&page), outcome(&denied)], [ASKED, "access_denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_belongs_to_no_organization_can_allow_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (person, browser) = world.member("dev", Role::Developer).await;
    world.sql(&format!("DELETE FROM memberships WHERE user_id = '{}'", person.id)).await;
    let page = world.api.authorize(&browser, &client, &[]).await;
    let denied = world.api.decide(&browser, &page, "allow", &["monitoring:read"]).await;
    assert_eq!((ticked(&page.text).len(), outcome(&denied), world.codes().await), (0, "access_denied".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_asks_even_with_prompt_none() {
    let world = World::new().await;
    let client = world.app(public()).await;
    world.tokens(&client).await;
    assert_eq!(asked(&world, &client, &[("prompt", "none")]).await, "consent_required");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_consents_at_once_are_all_answered_and_lose_no_scope() {
    let (world, client, _) = decided().await;
    let mut pages = Vec::new();
    for scope in ["monitoring:read", "alerts:write", "incidents:write", "monitoring:read alerts:write"] {
        pages.push(world.authorize(&client, &[("scope", scope), ("prompt", "consent")]).await);
    }
    let replies = futures_util::future::join_all(pages.iter().map(|page| world.api.allow(&world.owner, page))).await;
    let mut granted = Vec::new();
    for reply in replies {
        let issued = world.redeem(&client, &parameter(reply.location(), "code").unwrap()).await;
        granted.push(issued.json()["scope"].as_str().unwrap().to_owned());
    }
    assert_eq!(granted, ["monitoring:read", "alerts:write", "incidents:write", "monitoring:read alerts:write"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refused_decision_is_one_event_with_its_reason() {
    let (world, client, _) = in_two(Role::Auditor).await;
    let consent = || world.authorize(&client, &[]);
    let none = world.authorize(&client, &[("prompt", "none")]).await;
    let denied = world.api.decide(&world.owner, &consent().await, "deny", &[]).await;
    let unchosen = choose(&world, &world.owner, &consent().await, None).await;
    let nothing = choose(&world, &world.owner, &consent().await, Some("other")).await;
    let reasons = world.reasons(&[&none, &denied, &unchosen, &nothing]).await;
    let expected = ["consent_required", "denied_by_user", "organization_not_chosen", "nothing_granted"];
    assert_eq!(reasons, under_their_ids(&expected));
}

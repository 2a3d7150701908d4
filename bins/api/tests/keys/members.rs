//! Who belongs to an organization: read by everybody there, decided by owners, and an owner always stays.

use serde_json::{Value, json};
use statuspulse_policy::Role;
use statuspulse_testkit::{Person, eventually, key_of};

use crate::{
    help::{SETTINGS, text},
    support::{Browser, Reply, World},
};

const MEMBERS: &str = "/v1/orgs/acme/members";
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

fn at(id: impl std::fmt::Display) -> String {
    format!("{MEMBERS}/{id}")
}

async fn member(world: &World, name: &str, role: Role) -> (Person, Browser) {
    let person = world.api.app.person(&world.org, name, role).await;
    let browser = world.api.sign_in(&person).await;
    (person, browser)
}

async fn ask(world: &World, browser: &Browser, method: &str, path: &str, body: &Value) -> Reply {
    world.api.ask(method, path).browser(browser).json(body).send().await
}

/// Every membership that there is.
async fn roles(world: &World) -> Vec<String> {
    world
        .texts(
            "SELECT o.slug || ' ' || u.email || ' ' || m.role FROM memberships m JOIN users u ON u.id = m.user_id
             JOIN organizations o ON o.id = m.organization_id ORDER BY 1",
        )
        .await
}

/// Takes the lock under which members are changed.
const HOLD: &str = "BEGIN; SELECT 1 FROM organizations WHERE slug = 'acme' FOR UPDATE";

/// Until two changes wait for a lock, so that both are under way. Within a transaction, who waits is read once: whoever
/// holds the lock can't look.
async fn two_wait(world: &World) {
    let looking = world.db.client().await;
    let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    eventually("two changes wait for the lock", async || {
        looking.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_listed_with_role_and_sign_in() {
    let world = World::new().await;
    world.api.app.advance(SECOND).await;
    let ada = world.api.app.person(&world.org, "ada", Role::Developer).await;
    let page = world.read(MEMBERS).await.json();
    let now = |at: &Value| crate::help::moment(at) == world.now();
    let (newest, owner) = (&page["items"][0], &page["items"][1]);
    let expected = json!({"id": ada.id.to_string(), "email": ada.email, "name": "ada", "role": "developer",
        "created_at": newest["created_at"], "last_sign_in_at": null});
    let told =
        (newest, now(&newest["created_at"]), owner["last_sign_in_at"] == owner["created_at"], &page["next_cursor"]);
    assert_eq!(told, (&expected, true, true, &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_of_the_organization_reads_who_belongs_to_it() {
    let world = World::new().await;
    let mut lengths = Vec::new();
    for (name, role) in [("admin", Role::Admin), ("dev", Role::Developer), ("auditor", Role::Auditor)] {
        let (_, browser) = member(&world, name, role).await;
        let page = world.api.get(MEMBERS).cookie(&browser).send().await.json();
        lengths.push(page["items"].as_array().unwrap().len());
    }
    assert_eq!(lengths, [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_each_member_once_also_where_many_are_of_one_moment() {
    let world = World::new().await;
    for name in ["a", "b", "c", "d"] {
        world.api.app.person(&world.org, name, Role::Auditor).await;
    }
    let whole = world.read(MEMBERS).await.json()["items"].clone();
    let (mut items, mut path) = (Vec::new(), format!("{MEMBERS}?limit=2"));
    loop {
        let page = world.read(&path).await.json();
        items.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{MEMBERS}?limit=2&cursor={cursor}");
    }
    assert_eq!((items.len(), Value::from(items)), (5, whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_members_has_bounds_and_its_cursor_is_its_own() {
    let world = World::new().await;
    world.api.app.person(&world.org, "ada", Role::Auditor).await;
    let cursor = text(&world.read(&format!("{MEMBERS}?limit=1")).await.json()["next_cursor"]);
    let mut outcomes = Vec::new();
    for query in ["limit=0", "limit=201", "role=owner", "limit=1&limit=2", "cursor=x"] {
        outcomes.push(world.read(&format!("{MEMBERS}?{query}")).await.outcome());
    }
    outcomes.push(world.read(&format!("/v1/me/sessions?cursor={cursor}")).await.outcome());
    let expected = [
        (422, "out_of_bounds"),
        (422, "out_of_bounds"),
        (422, "unknown_parameter"),
        (422, "repeated_parameter"),
        (400, "invalid_cursor"),
        (400, "invalid_cursor"),
    ];
    assert_eq!(outcomes, expected.map(|(status, code)| (status, code.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_new_gets_an_account_that_the_password_of_the_answer_opens() {
    let world = World::new().await;
    let body = json!({"email": "Ada@acme.test", "name": "Ada L.", "role": "developer"});
    let reply = world.owner("POST", MEMBERS, &body).await;
    let made = reply.json();
    let person = json!({"email": "ada@ACME.test", "password": made["password"]});
    let signed_in = world.api.post("/v1/session").json(&person).send().await.json();
    let organizations = json!([{"slug": "acme", "name": "The acme company", "role": "developer"}]);
    assert_eq!(
        (reply.status, &signed_in["user"], &signed_in["organizations"]),
        (201, &json!({"id": made["member"]["id"], "email": "Ada@acme.test", "name": "Ada L."}), &organizations)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_password_is_in_the_answer_and_nowhere_else() {
    let world = World::new().await;
    let made = world.owner("POST", MEMBERS, &json!({"email": "ada@acme.test", "role": "admin"})).await.json();
    let password = text(&made["password"]);
    let kept = world.dump().await.contains(&password);
    let listed = world.read(MEMBERS).await.text.contains(&password);
    assert_eq!((password.len(), kept, listed), (24, false, false));
}

/// The attack: an owner makes an account for somebody else's address, knows its password, and comes along into every
/// organization that adds the address later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_adds_nobody_who_has_an_account_from_elsewhere() {
    let world = World::new().await;
    let other = world.api.app.organization("other").await.owner;
    let before = roles(&world).await;
    let outcome =
        world.owner("POST", MEMBERS, &json!({"email": "OWNER@other.test", "role": "auditor"})).await.outcome();
    let browser = world.api.sign_in(&other).await;
    let held = world.api.get("/v1/session").cookie(&browser).send().await.json()["organizations"].clone();
    assert_eq!(
        (outcome, roles(&world).await, held.as_array().unwrap().len()),
        ((409, "user_exists".into()), before, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_holds_a_token_is_refused_and_a_long_one_gives_a_name_of_a_hundred_letters() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let held = json!({"email": format!("{token}@acme.test"), "role": "auditor"});
    let refused = world.owner("POST", MEMBERS, &held).await.fields();
    let long = json!({"email": format!("{}@acme.test", "a".repeat(150)), "role": "auditor"});
    let name = world.owner("POST", MEMBERS, &long).await.json()["member"]["name"].clone();
    assert_eq!((refused, name), (vec!["email: holds_secret".to_owned()], json!("a".repeat(100))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_not_added_twice_in_whatever_case() {
    let world = World::new().await;
    let body = json!({"email": "OWNER@acme.test", "role": "auditor"});
    let outcome = world.owner("POST", MEMBERS, &body).await.outcome();
    assert_eq!(
        (outcome, roles(&world).await),
        ((409, "already_member".into()), vec!["acme owner@acme.test owner".into()])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_wrong_with_a_new_member_is_told_at_once() {
    let world = World::new().await;
    let wrong = json!({"email": "nobody", "name": "", "role": "king"});
    let fields = world.owner("POST", MEMBERS, &wrong).await.fields();
    let unknown = json!({"email": "a@acme.test", "role": "admin", "password": "correct horse"});
    let more = world.owner("POST", MEMBERS, &unknown).await.fields();
    assert_eq!(
        (fields, more),
        (
            vec!["email: invalid_email".into(), "name: invalid_name".into(), "role: unknown_role".into()],
            vec!["password: unknown_field".to_owned()]
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_an_owner_decides_who_belongs_to_the_organization() {
    let world = World::new().await;
    let (victim, _) = member(&world, "victim", Role::Auditor).await;
    let mut browsers = Vec::new();
    for (name, role) in [("admin", Role::Admin), ("dev", Role::Developer), ("auditor", Role::Auditor)] {
        browsers.push(member(&world, name, role).await.1);
    }
    let before = roles(&world).await;
    let mut outcomes = Vec::new();
    for browser in &browsers {
        let new = json!({"email": "friend@acme.test", "role": "owner"});
        outcomes.push(ask(&world, browser, "POST", MEMBERS, &new).await.outcome());
        outcomes.push(ask(&world, browser, "PATCH", &at(victim.id), &json!({"role": "admin"})).await.outcome());
        outcomes.push(ask(&world, browser, "DELETE", &at(victim.id), &json!({})).await.outcome());
    }
    assert_eq!((outcomes, roles(&world).await), (vec![(403, "role_not_sufficient".into()); 9], before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_can_not_become_owner_nor_take_the_owner_away() {
    let world = World::new().await;
    let (admin, browser) = member(&world, "admin", Role::Admin).await;
    let before = roles(&world).await;
    let outcomes = [
        ask(&world, &browser, "PATCH", &at(admin.id), &json!({"role": "owner"})).await.outcome(),
        ask(&world, &browser, "PATCH", &at(world.org.owner.id), &json!({"role": "auditor"})).await.outcome(),
        ask(&world, &browser, "DELETE", &at(world.org.owner.id), &json!({})).await.outcome(),
    ];
    assert_eq!((outcomes, roles(&world).await), ([(); 3].map(|()| (403, "role_not_sufficient".into())), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_neither_reads_nor_changes_members() {
    let world = World::new().await;
    let (_, token) =
        world.key_like(key_of("production", &["keys:read", "apps:read", "audit:read", "alerts:read"])).await;
    let before = roles(&world).await;
    let mut outcomes = Vec::new();
    for (method, path) in
        [("GET", MEMBERS), ("POST", MEMBERS), ("PATCH", &at(world.org.owner.id)), ("DELETE", &at(world.org.owner.id))]
    {
        let body = json!({"email": "a@acme.test", "role": "owner"});
        outcomes.push(world.api.ask(method, path).key(&token).json(&body).send().await.outcome());
    }
    assert_eq!((outcomes, roles(&world).await), (vec![(403, "credential_not_allowed".into()); 4], before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_can_not_add_a_member() {
    let world = World::new().await;
    let body = json!({"email": "mallory@evil.test", "role": "owner"});
    let origin = crate::support::PUBLIC_URL;
    let outcomes = [
        world.api.post(MEMBERS).cookie(&world.owner).json(&body).send().await.outcome(),
        world.api.post(MEMBERS).cookie(&world.owner).header("origin", origin).json(&body).send().await.outcome(),
    ];
    let expected = [(403, "origin_not_allowed".to_owned()), (403, "csrf_token_invalid".to_owned())];
    assert_eq!((outcomes, roles(&world).await.len()), (expected, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_another_organization_are_not_there() {
    let world = World::new().await;
    let other = world.api.app.organization("other").await.owner;
    let stranger = world.api.sign_in(&other).await;
    let before = roles(&world).await;
    let (theirs, body) = (at(other.id), json!({"email": "a@acme.test", "role": "admin"}));
    let outcomes = [
        world.api.get(MEMBERS).cookie(&stranger).send().await.outcome(),
        ask(&world, &stranger, "POST", MEMBERS, &body).await.outcome(),
        ask(&world, &stranger, "PATCH", &at(world.org.owner.id), &json!({"role": "auditor"})).await.outcome(),
        ask(&world, &stranger, "DELETE", &at(world.org.owner.id), &json!({})).await.outcome(),
        world.owner("PATCH", &theirs, &json!({"role": "auditor"})).await.outcome(),
        world.owner("DELETE", &theirs, &json!({})).await.outcome(),
        world.owner("DELETE", &at("nonsense"), &json!({})).await.outcome(),
    ];
    assert_eq!((outcomes, roles(&world).await), ([(); 7].map(|()| (404, "not_found".into())), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demotion_holds_at_once_on_every_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let (admin, browser) = member(&world, "admin", Role::Admin).await;
    let body = json!({"unused_key_days": 90});
    let before = second.ask("PATCH", SETTINGS).browser(&browser).json(&body).send().await.status;
    let changed = world.owner("PATCH", &at(admin.id), &json!({"role": "auditor"})).await;
    let after = second.ask("PATCH", SETTINGS).browser(&browser).json(&body).send().await.outcome();
    assert_eq!(
        (before, changed.status, &changed.json()["role"], after),
        (200, 200, &json!("auditor"), (403, "role_not_sufficient".into()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_somebody_who_was_removed_the_organization_is_not_there_but_the_session_is() {
    let world = World::new().await;
    let second = world.second().await;
    let (ada, browser) = member(&world, "ada", Role::Admin).await;
    let removed = world.owner("DELETE", &at(ada.id), &json!({})).await.status;
    let again = world.owner("DELETE", &at(ada.id), &json!({})).await.outcome();
    let session = second.get("/v1/session").cookie(&browser).send().await;
    assert_eq!(
        (
            removed,
            again,
            second.get(SETTINGS).cookie(&browser).send().await.status,
            session.status,
            session.json()["organizations"].clone()
        ),
        (204, (404, "not_found".into()), 404, 200, json!([]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_owner_is_neither_demoted_nor_removed() {
    let world = World::new().await;
    let own = at(world.org.owner.id);
    let outcomes = [
        world.owner("PATCH", &own, &json!({"role": "admin"})).await.outcome(),
        world.owner("DELETE", &own, &json!({})).await.outcome(),
    ];
    let expected = [(); 2].map(|()| (409, "last_owner".to_owned()));
    assert_eq!((outcomes, roles(&world).await), (expected, vec!["acme owner@acme.test owner".into()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_can_not_sign_in_is_no_owner_to_leave_behind() {
    let world = World::new().await;
    let closed = world.api.app.person(&world.org, "closed", Role::Owner).await;
    world.sql(&format!("UPDATE users SET disabled_at = created_at WHERE id = '{}'", closed.id)).await;
    let demoted = world.owner("PATCH", &at(world.org.owner.id), &json!({"role": "admin"})).await.outcome();
    let removed = world.owner("DELETE", &at(closed.id), &json!({})).await.status;
    assert_eq!((demoted, removed), ((409, "last_owner".into()), 204));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_with_another_one_steps_down_and_is_no_owner_from_then_on() {
    let world = World::new().await;
    world.api.app.person(&world.org, "second", Role::Owner).await;
    let own = at(world.org.owner.id);
    let stepped = world.owner("PATCH", &own, &json!({"role": "developer"})).await.status;
    let back = world.owner("PATCH", &own, &json!({"role": "owner"})).await.outcome();
    assert_eq!((stepped, back), (200, (403, "role_not_sufficient".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_who_demote_each_other_at_once_leave_one() {
    let world = World::new().await;
    let (other, browser) = member(&world, "other", Role::Owner).await;
    let (first, second) = (at(world.org.owner.id), at(other.id));
    let (holder, body) = (world.db.client().await, json!({"role": "auditor"}));
    holder.batch_execute(HOLD).await.unwrap();
    let one = world.owner("PATCH", &second, &body);
    let two = ask(&world, &browser, "PATCH", &first, &body);
    let let_go = async {
        two_wait(&world).await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let (one, two, ()) = tokio::join!(one, two, let_go);
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    let owners = roles(&world).await.iter().filter(|role| role.ends_with(" owner")).count();
    assert_eq!((statuses, owners), ([200, 403], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_last_two_owners_who_leave_at_once_one_stays() {
    let world = World::new().await;
    let (other, browser) = member(&world, "other", Role::Owner).await;
    let (own, theirs, body) = (at(world.org.owner.id), at(other.id), json!({}));
    let holder = world.db.client().await;
    holder.batch_execute(HOLD).await.unwrap();
    let one = world.owner("DELETE", &own, &body);
    let two = ask(&world, &browser, "DELETE", &theirs, &body);
    let let_go = async {
        two_wait(&world).await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let (one, two, ()) = tokio::join!(one, two, let_go);
    let mut outcomes = [one.outcome(), two.outcome()];
    outcomes.sort_unstable();
    assert_eq!((outcomes, roles(&world).await.len()), ([(204, String::new()), (409, "last_owner".into())], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_members_is_in_the_trail_without_address_or_password() {
    let world = World::new().await;
    let made = world.owner("POST", MEMBERS, &json!({"email": "ada@new.test", "role": "developer"})).await.json();
    let id = text(&made["member"]["id"]);
    world.owner("PATCH", &at(&id), &json!({"role": "admin"})).await;
    world.owner("DELETE", &at(&id), &json!({})).await;
    let mut told = Vec::new();
    let mut leaked = false;
    for action in ["user.create", "member.add", "member.change", "member.remove"] {
        for event in world.events(action).await.iter().filter(|event| event["detail"]["user_id"] == id.as_str()) {
            let whole = event.to_string();
            leaked |= whole.contains("ada@new.test") || whole.contains(&text(&made["password"]));
            let (who, detail) = (&event["actor_id"], &event["detail"]);
            told.push(json!([action, *who == world.org.owner.id.to_string(), detail["role_before"], detail["role"]]));
        }
    }
    let expected = [
        json!(["user.create", true, null, null]),
        json!(["member.add", true, null, "developer"]),
        json!(["member.change", true, "developer", "admin"]),
        json!(["member.remove", true, null, "admin"]),
    ];
    assert_eq!((told, leaked), (expected.to_vec(), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_that_a_member_has_already_changes_nothing() {
    let world = World::new().await;
    let (ada, _) = member(&world, "ada", Role::Developer).await;
    let reply = world.owner("PATCH", &at(ada.id), &json!({"role": "developer"})).await;
    assert_eq!((reply.status, world.events("member.change").await.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_members_whose_event_can_not_be_written_does_not_happen() {
    let world = World::new().await;
    let (ada, _) = member(&world, "ada", Role::Developer).await;
    world
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON audit_outbox FOR EACH ROW
             WHEN (NEW.event->>'action' LIKE 'member.%') EXECUTE FUNCTION refuse()",
        )
        .await;
    let before = roles(&world).await;
    let statuses = [
        world.owner("POST", MEMBERS, &json!({"email": "new@acme.test", "role": "admin"})).await.status,
        world.owner("PATCH", &at(ada.id), &json!({"role": "admin"})).await.status,
        world.owner("DELETE", &at(ada.id), &json!({})).await.status,
    ];
    let people = world.texts("SELECT email FROM users WHERE email = 'new@acme.test'").await;
    assert_eq!((statuses, roles(&world).await, people), ([503; 3], before, Vec::<String>::new()));
}

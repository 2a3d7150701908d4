//! Changing the own password: what a stolen session gains, and that nobody stays in by the old one.

use std::time::Duration;

use serde_json::json;
use statuspulse_app::{
    accounts,
    caller::{Access, Caller},
    passwords::Password,
};
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::{
    help::{HOUR, text},
    support::{Browser, PUBLIC_URL, Reply, World},
};

const PASSWORD: &str = "/v1/me/password";
const SESSION: &str = "/v1/session";
const NEW: &str = "a new password of some length";

async fn change(world: &World, browser: &Browser, current: &str, new: &str) -> Reply {
    let body = json!({"current_password": current, "new_password": new});
    world.api.post(PASSWORD).browser(browser).json(&body).send().await
}

async fn owner_changes(world: &World, current: &str, new: &str) -> Reply {
    change(world, &world.owner, current, new).await
}

async fn enters(world: &World, password: &str) -> Reply {
    let body = json!({"email": world.org.owner.email, "password": password});
    world.api.post(SESSION).json(&body).send().await
}

async fn lives(world: &World, browser: &Browser) -> bool {
    world.api.get(SESSION).cookie(browser).send().await.status == 200
}

/// A session as it goes on after a change: with its next cookie, and the token that its open pages have.
fn goes_on(before: &Browser, reply: &Reply) -> Browser {
    let cookie = reply.header("set-cookie").split([';', '=']).nth(1).unwrap_or_default().to_owned();
    Browser { cookie, csrf: before.csrf.clone() }
}

/// How many statements wait for a lock that holds this text.
async fn waits(world: &World, part: &str) {
    let watcher = world.db.client().await;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%{part}%'"
    );
    eventually("a statement waits for a lock", async || {
        watcher.query_one(&waiting, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_password_is_that_of_the_account_from_then_on() {
    let world = World::new().await;
    let changed = owner_changes(&world, &world.org.owner.password, NEW).await;
    let old = enters(&world, &world.org.owner.password).await.outcome();
    let new = enters(&world, NEW).await.status;
    assert_eq!(
        (changed.status, &changed.json()["ended"], old, new),
        (200, &json!(0), (401, "invalid_credentials".into()), 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_signed_in_elsewhere_by_the_old_password_is_out_on_every_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let (one, two) = (world.api.sign_in(&world.org.owner).await, world.api.sign_in(&world.org.owner).await);
    let somebody = world.api.app.person(&world.org, "somebody", Role::Admin).await;
    let theirs = world.api.sign_in(&somebody).await;
    let changed = owner_changes(&world, &world.org.owner.password, NEW).await;
    let elsewhere = second.get(SESSION).cookie(&one).send().await.outcome();
    let left = [lives(&world, &two).await, lives(&world, &theirs).await];
    assert_eq!((&changed.json()["ended"], elsewhere, left), (&json!(2), (401, "session_ended".into()), [false, true]));
}

/// Somebody who has copied the cookie of this very browser is out, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_goes_on_with_another_cookie_and_the_old_one_is_dead() {
    let world = World::new().await;
    let changed = owner_changes(&world, &world.org.owner.password, NEW).await;
    let own = goes_on(&world.owner, &changed);
    let copied = lives(&world, &world.owner).await;
    let again = change(&world, &own, NEW, "one more password").await.status;
    let attributes = changed.header("set-cookie").to_owned();
    assert_eq!((copied, again), (false, 200));
    assert!(["HttpOnly", "SameSite=Lax", "Expires="].iter().all(|part| attributes.contains(part)), "{attributes}");
}

/// To an instance whose clock is behind it would be alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_has_idled_for_too_long_goes_too_and_is_not_counted() {
    let world = World::new().await;
    world.api.app.advance(HOUR * 13).await;
    let own = world.api.sign_in(&world.org.owner).await;
    let changed = change(&world, &own, &world.org.owner.password, NEW).await;
    let client = world.db.client().await;
    let left: i64 = client.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap().get(0);
    assert_eq!((&changed.json()["ended"], left), (&json!(0), 1));
}

/// Without this the thief of a session would own the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_session_without_the_password_changes_nothing() {
    let world = World::new().await;
    let reply = owner_changes(&world, "a wrong password", NEW).await;
    let field = reply.json()["errors"][0]["field"].clone();
    let entered = enters(&world, &world.org.owner.password).await.status;
    assert_eq!((reply.outcome(), field, entered), ((422, "wrong_password".into()), json!("current_password"), 200));
}

/// A stolen session is no place to guess the password at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_by_a_stolen_session_are_slowed_down_like_those_at_the_sign_in() {
    let world = World::new().await;
    let mut outcomes = Vec::new();
    for guess in 0..6 {
        outcomes.push(owner_changes(&world, &format!("wrong guess {guess}"), NEW).await.outcome());
    }
    let right = owner_changes(&world, &world.org.owner.password, NEW).await;
    let expected = [vec![(422, "wrong_password".to_owned()); 5], vec![(429, "too_many_attempts".to_owned())]].concat();
    assert_eq!((outcomes, right.status, right.header("retry-after").is_empty()), (expected, 429, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_password_forgets_the_wrong_ones() {
    let world = World::new().await;
    for _ in 0..4 {
        owner_changes(&world, "a wrong password", NEW).await;
    }
    let own = goes_on(&world.owner, &owner_changes(&world, &world.org.owner.password, NEW).await);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(change(&world, &own, "a wrong password", "another new password").await.status);
    }
    assert_eq!(statuses, [422; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_is_another_one_and_has_8_to_256_characters() {
    let world = World::new().await;
    let current = world.org.owner.password.as_str();
    let mut outcomes = Vec::new();
    for new in ["short", &"x".repeat(257), current] {
        let reply = owner_changes(&world, current, new).await;
        outcomes.push((reply.code(), reply.json()["errors"][0]["field"].clone()));
    }
    let codes = ["password_length", "password_length", "password_unchanged"];
    assert_eq!(outcomes, codes.map(|code| (code.to_owned(), json!("new_password"))));
}

/// A stranger who knows the address must not keep its person from reacting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_the_sign_in_keep_nobody_from_a_new_password() {
    let world = World::new().await;
    let mut blocked = 0;
    for _ in 0..6 {
        blocked = enters(&world, "a wrong password").await.status;
    }
    let changed = owner_changes(&world, &world.org.owner.password, NEW).await.status;
    assert_eq!((blocked, changed), (429, 200));
}

/// The sign-in that has checked the old password must not outlive it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_by_the_old_password_that_is_under_way_gets_no_session() {
    let world = World::new().await;
    let (mut holder, watcher) = (world.db.client().await, world.db.client().await);
    let held = holder.transaction().await.unwrap();
    held.batch_execute("UPDATE users SET password_hash = password_hash || 'x'").await.unwrap();
    let ending = async {
        waits(&world, "FOR SHARE").await;
        held.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(enters(&world, &world.org.owner.password), ending);
    let sessions: i64 = watcher.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap().get(0);
    assert_eq!((reply.outcome(), sessions), ((401, "invalid_credentials".into()), 1));
}

/// The sign-in that was there first has its session ended with the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_begins_while_the_password_is_changed_ends() {
    let world = World::new().await;
    let (mut holder, watcher) = (world.db.client().await, world.db.client().await);
    let held = holder.transaction().await.unwrap();
    held.batch_execute(
        "SELECT 1 FROM users FOR SHARE;
         INSERT INTO sessions (id, token_digest, user_id, created_at, last_seen_at, expires_at)
         SELECT gen_random_uuid(), sha256('a cookie'), user_id, created_at, last_seen_at, expires_at FROM sessions",
    )
    .await
    .unwrap();
    let ending = async {
        waits(&world, "UPDATE \"users\"").await;
        held.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(owner_changes(&world, &world.org.owner.password, NEW), ending);
    let sessions: i64 = watcher.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap().get(0);
    assert_eq!((reply.status, &reply.json()["ended"], sessions), (200, &json!(1), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_comes_too_late_is_told_so_and_changes_nothing() {
    let world = World::new().await;
    let (mut holder, watcher) = (world.db.client().await, world.db.client().await);
    let held = holder.transaction().await.unwrap();
    held.batch_execute("UPDATE users SET password_hash = 'that of another change'").await.unwrap();
    let ending = async {
        waits(&world, "UPDATE \"users\"").await;
        held.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(owner_changes(&world, &world.org.owner.password, NEW), ending);
    let hash: String = watcher.query_one("SELECT password_hash FROM users", &[]).await.unwrap().get(0);
    assert_eq!(
        (reply.outcome(), hash.as_str(), lives(&world, &world.owner).await),
        ((409, "password_changed".into()), "that of another change", true)
    );
}

/// A thief with another session of the person ends this one all the time: the thief is locked out all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_the_session_amid_the_change_does_not_keep_the_person_from_it() {
    let world = World::new().await;
    world.api.app.advance(Duration::from_secs(1)).await;
    let thief = world.api.sign_in(&world.org.owner).await;
    let (mut holder, watcher) = (world.db.client().await, world.db.client().await);
    let held = holder.transaction().await.unwrap();
    held.batch_execute("SELECT 1 FROM users FOR UPDATE; DELETE FROM sessions WHERE created_at = (SELECT min(created_at) FROM sessions)")
        .await
        .unwrap();
    let ending = async {
        waits(&world, "UPDATE \"users\"").await;
        held.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(owner_changes(&world, &world.org.owner.password, NEW), ending);
    let sessions: i64 = watcher.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap().get(0);
    assert_eq!((reply.status, reply.header("set-cookie"), sessions), (200, "", 0));
    assert_eq!((lives(&world, &thief).await, enters(&world, NEW).await.status), (false, 200));
}

/// Who has one session can't block another one's change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_in_one_session_are_counted_for_that_one_alone() {
    let world = World::new().await;
    let thief = world.api.sign_in(&world.org.owner).await;
    let mut guessed = 0;
    for _ in 0..6 {
        guessed = change(&world, &thief, "a wrong password", NEW).await.status;
    }
    let own = owner_changes(&world, &world.org.owner.password, NEW).await.status;
    assert_eq!((guessed, own), (429, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_password_is_set_by_an_operator_alone_and_every_session_ends() {
    let world = World::new().await;
    for _ in 0..6 {
        enters(&world, "a wrong password").await;
    }
    let app = world.api.app.app();
    let set = async |caller: &Caller, access: &Access| {
        let password = Some(Password::new(NEW.to_owned()));
        accounts::set_password(&app, caller, access, world.org.owner.id, password).await
    };
    let (owner, operator) = (world.org.owner.caller(&world.api.app), world.api.app.operator());
    let refused = set(&owner, &world.org.access_as(Role::Owner)).await.unwrap_err();
    let done = set(&operator, &world.org.access).await.unwrap();
    let entered = [enters(&world, &world.org.owner.password).await.status, enters(&world, NEW).await.status];
    assert_eq!((refused.code(), done.ended_sessions, done.password.is_none()), ("role_not_sufficient", 1, true));
    assert_eq!((entered, lives(&world, &world.owner).await), ([401, 200], false));
    let events = world.events("user.password_change").await;
    let told = (&events[0]["actor_kind"], &events[0]["detail"]["user_id"]);
    assert_eq!((events.len(), told), (1, (&json!("operator"), &json!(world.org.owner.id.to_string()))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_a_closed_account_is_not_set() {
    let world = World::new().await;
    world.sql("UPDATE users SET disabled_at = created_at").await;
    let app = world.api.app.app();
    let set =
        accounts::set_password(&app, &world.api.app.operator(), &world.org.access, world.org.owner.id, None).await;
    assert_eq!(set.unwrap_err().code(), "account_closed");
}

/// The password opens all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_organization_of_the_person_reads_of_a_new_password() {
    let world = World::new().await;
    let other = world.api.app.organization("globex").await;
    world
        .sql(&format!(
            "INSERT INTO memberships (organization_id, user_id, role, created_at)
             VALUES ('{}', '{}', 'auditor', now())",
            other.access.organization.id, world.org.owner.id
        ))
        .await;
    owner_changes(&world, &world.org.owner.password, NEW).await;
    let events = world.events("user.password_change").await;
    let mut told: Vec<_> = events.iter().map(|event| text(&event["organization_id"])).collect();
    let mut expected = [world.org.access.organization.id.to_string(), other.access.organization.id.to_string()];
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    // Only the trail that has the sign-ins reads from where it was done.
    let from: Vec<_> =
        events.iter().filter(|event| !event["ip"].is_null()).map(|event| text(&event["organization_id"])).collect();
    assert_eq!(from, [world.org.access.organization.id.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_and_what_was_refused_are_in_the_trail_without_a_password() {
    let world = World::new().await;
    world.api.sign_in(&world.org.owner).await;
    owner_changes(&world, "a wrong password", NEW).await;
    owner_changes(&world, &world.org.owner.password, NEW).await;
    let events = world.events("user.password_change").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| json!([event["outcome"], event["reason"], event["detail"]["ended_sessions"]]))
        .collect();
    let ended = world.events("session.logout").await.len();
    let text = serde_json::to_string(&events).unwrap();
    assert_eq!((told, ended), (vec![json!(["denied", "wrong_password", null]), json!(["allowed", null, 1])], 1));
    assert!(!text.contains(NEW) && !text.contains("a wrong password") && !text.contains("argon2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_key_nor_another_site_changes_a_password() {
    let world = World::new().await;
    let (_, token) = world.key(&["keys:read"]).await;
    let body = json!({"current_password": world.org.owner.password, "new_password": NEW});
    let asked = [
        world.api.post(PASSWORD).key(&token),
        world.api.post(PASSWORD).cookie(&world.owner),
        world.api.post(PASSWORD).cookie(&world.owner).header("origin", PUBLIC_URL),
    ];
    let mut outcomes = Vec::new();
    for ask in asked {
        outcomes.push(ask.json(&body).send().await.outcome());
    }
    let expected = ["credential_not_allowed", "origin_not_allowed", "csrf_token_invalid"];
    let entered = enters(&world, &world.org.owner.password).await.status;
    assert_eq!((outcomes, entered), (expected.map(|code| (403, code.to_owned())).to_vec(), 200));
}

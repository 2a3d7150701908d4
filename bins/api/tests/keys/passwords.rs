//! Changing the own password: what a stolen session gains, and that nobody stays in by the old one.

use serde_json::json;
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::support::{Browser, PUBLIC_URL, Reply, World};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_password_is_that_of_the_account_from_then_on() {
    let world = World::new().await;
    let changed = owner_changes(&world, &world.org.owner.password, NEW).await;
    let old = enters(&world, &world.org.owner.password).await.outcome();
    let new = enters(&world, NEW).await.status;
    assert_eq!(
        (changed.status, changed.json(), old, new),
        (200, json!({"ended": 0}), (401, "invalid_credentials".into()), 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_signed_in_elsewhere_by_the_old_password_is_out_on_every_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let (one, two) = (world.api.sign_in(&world.org.owner).await, world.api.sign_in(&world.org.owner).await);
    let somebody = world.api.app.person(&world.org, "somebody", Role::Admin).await;
    let theirs = world.api.sign_in(&somebody).await;
    let changed = owner_changes(&world, &world.org.owner.password, NEW).await.json();
    let elsewhere = second.get(SESSION).cookie(&one).send().await.outcome();
    let left = [lives(&world, &two).await, lives(&world, &theirs).await, lives(&world, &world.owner).await];
    assert_eq!((changed, elsewhere, left), (json!({"ended": 2}), (401, "session_ended".into()), [false, true, true]));
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

/// A stolen session is no place to guess the password at: tries are those of the sign-in.
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
    owner_changes(&world, &world.org.owner.password, NEW).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(owner_changes(&world, "a wrong password", "another new password").await.status);
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

/// The sign-in that has checked the old password must not outlive it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_by_the_old_password_that_is_under_way_gets_no_session() {
    let world = World::new().await;
    let (mut holder, watcher) = (world.db.client().await, world.db.client().await);
    let held = holder.transaction().await.unwrap();
    held.batch_execute("UPDATE users SET password_hash = password_hash || 'x'").await.unwrap();
    let ending = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR SHARE%'";
        eventually("the sign-in waits", async || watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1)
            .await;
        held.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(enters(&world, &world.org.owner.password), ending);
    let sessions: i64 = watcher.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap().get(0);
    assert_eq!((reply.outcome(), sessions), ((401, "invalid_credentials".into()), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_at_once_one_counts() {
    let world = World::new().await;
    let current = &world.org.owner.password;
    let other = world.api.sign_in(&world.org.owner).await;
    let (one, two) = tokio::join!(
        owner_changes(&world, current, "the first of two passwords"),
        change(&world, &other, current, "the second of two passwords"),
    );
    let mut entered = Vec::new();
    for new in ["the first of two passwords", "the second of two passwords"] {
        entered.push(enters(&world, new).await.status);
    }
    entered.sort_unstable();
    let won = [&one, &two].iter().filter(|reply| reply.status == 200).count();
    assert_eq!((won, entered), (1, vec![200, 401]), "{} {}", one.text, two.text);
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

//! The database goes away in the middle (oauth §6.8).

use statuspulse_testkit::TestDb;
use tokio::task::block_in_place;

use crate::{
    client::{Client, Tokens, confidential, with},
    help::{Outcome, outcome, outcomes, tokens},
    support::{Api, World},
};

/// A world whose database is its own, and keeps what was committed when it is killed.
async fn alone() -> (World, Client) {
    let db = TestDb::on_own_cluster().await;
    let durable = format!("ALTER DATABASE {} SET synchronous_commit = on", db.name());
    db.client().await.batch_execute(&durable).await.unwrap();
    let api = Api::start(&db).await;
    let world = World::around(db, api).await;
    let client = world.app(with(confidential(), serde_json::json!({"refresh_retry_seconds": 0}))).await;
    (world, client)
}

fn unavailable() -> Outcome {
    (503, "temporarily_unavailable".to_owned())
}

/// spec: oauth G17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_endpoint_asks_to_try_again_and_no_code_is_lost() {
    let (world, client) = alone().await;
    let code = world.code(&client).await;
    block_in_place(|| world.db.cluster().kill_postgres().unwrap());
    let away = [world.redeem(&client, &code).await, world.redeem(&client, &code).await];
    let hint = away[0].header("retry-after").to_owned();
    block_in_place(|| world.db.cluster().restart().unwrap());
    let back = world.redeem(&client, &code).await;
    assert_eq!(
        (outcomes(&away), hint.as_str(), outcome(&back)),
        (vec![unavailable(); 2], "1", tokens()),
        "{}",
        back.text
    );
}

/// spec: oauth G17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_no_refresh_token_is_lost_either() {
    let (world, client) = alone().await;
    let given = world.tokens(&client).await;
    block_in_place(|| world.db.cluster().kill_postgres().unwrap());
    let away = world.refresh(&client, &given.refresh).await;
    block_in_place(|| world.db.cluster().restart().unwrap());
    let back = world.refresh(&client, &given.refresh).await;
    assert_eq!(outcomes([&away, &back]), [unavailable(), tokens()]);
}

/// spec: oauth G17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_answered_in_the_same_way_and_takes_nothing() {
    let (world, client) = alone().await;
    let (code, given) = (world.code(&client).await, world.tokens(&client).await);
    world.db.cluster().pause();
    let (redeemed, refreshed) = tokio::join!(world.redeem(&client, &code), world.refresh(&client, &given.refresh));
    block_in_place(|| world.db.cluster().resume());
    let back = [world.redeem(&client, &code).await, world.refresh(&client, &given.refresh).await];
    assert_eq!(
        (outcomes([&redeemed, &refreshed]), outcomes(&back)),
        (vec![unavailable(); 2], vec![tokens(); 2]),
        "{}",
        back[0].text
    );
}

/// From now on the trail takes no event, as when its disk were full.
async fn block_trail(world: &World) {
    world
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON audit_outbox FOR EACH ROW
             WHEN (NEW.event->>'action' LIKE 'oauth.%') EXECUTE FUNCTION refuse()",
        )
        .await;
}

/// spec: oauth G17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_whose_event_can_not_be_written_gives_and_takes_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (code, given) = (world.code(&client).await, world.tokens(&client).await);
    block_trail(&world).await;
    let refused = [world.redeem(&client, &code).await, world.refresh(&client, &given.refresh).await];
    world.sql("DROP TRIGGER refuse ON audit_outbox").await;
    let back = [world.redeem(&client, &code).await, world.refresh(&client, &given.refresh).await];
    let statuses = refused.each_ref().map(|reply| reply.status >= 500 && !reply.text.contains("refused"));
    assert_eq!((statuses, outcomes(&back)), ([true; 2], vec![tokens(); 2]));
}

/// spec: oauth G17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reuse_whose_event_can_not_be_written_is_detected_at_the_next_try() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let first = world.tokens(&client).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    block_trail(&world).await;
    let refused = world.refresh(&client, &first.refresh).await.status;
    let kept = world.live(&client, [&second.refresh]).await;
    world.sql("DROP TRIGGER refuse ON audit_outbox").await;
    world.refresh(&client, &first.refresh).await;
    let live = world.live(&client, [&second.refresh]).await;
    assert_eq!((refused >= 500, kept, live), (true, [true], [false]));
}

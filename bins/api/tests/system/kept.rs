//! What was answered is in the trail, whatever becomes of the process or of the database.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use statuspulse_testkit::{TestDb, eventually};
use tokio::task::{JoinSet, spawn_blocking};

use crate::{
    http::Ask,
    server::{CHECKS, World},
};

/// Clients that call at the same time.
const CLIENTS: usize = 4;

/// Calls until told to stop, or until the server is gone; answers the request ids of everything that was answered.
async fn call_until(address: SocketAddr, token: String, shared: Arc<Shared>) -> Vec<String> {
    let mut answered = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(reply) = Ask::new(address, "GET", CHECKS).key(&token).try_send().await else { break };
        if let Some(id) = reply.header("x-request-id").filter(|_| [200, 401, 403].contains(&reply.status)) {
            answered.push(id.to_owned());
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    answered
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicUsize,
}

struct Load {
    clients: JoinSet<Vec<String>>,
    shared: Arc<Shared>,
}

impl Load {
    fn start(world: &World, tokens: &[String]) -> Self {
        let shared = Arc::<Shared>::default();
        let mut clients = JoinSet::new();
        for place in 0..CLIENTS {
            let token = tokens[place % tokens.len()].clone();
            clients.spawn(call_until(world.server.address, token, Arc::clone(&shared)));
        }
        Self { clients, shared }
    }

    /// Waits until so many calls were answered.
    async fn has(&self, calls: usize) {
        eventually("calls are answered", async || self.shared.answered.load(Ordering::Relaxed) >= calls).await;
    }

    async fn end(self) -> Vec<String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await.concat()
    }
}

/// How often each request stands in the trail.
async fn counted(db: &TestDb) -> HashMap<String, i64> {
    let query = "SELECT request_id::text, count(*) FROM audit_events WHERE request_id IS NOT NULL GROUP BY 1";
    let rows = db.client().await.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Requests that were answered and stand in the trail another number of times than once.
async fn wrong(db: &TestDb, answered: &[String]) -> Vec<(String, i64)> {
    let counted = counted(db).await;
    let times = |id: &String| counted.get(id).copied().unwrap_or_default();
    answered.iter().map(|id| (id.clone(), times(id))).filter(|(_, times)| *times != 1).collect()
}

/// Waits until the trail has all of them once.
async fn all_there(db: &TestDb, answered: &[String]) {
    eventually("everything that was answered is in the trail once", async || wrong(db, answered).await.is_empty())
        .await;
}

async fn tokens(world: &World) -> Vec<String> {
    // One that is let through, and one that is refused for its scope.
    vec![world.token(&["checks:read"]).await, world.token(&["metrics:read"]).await]
}

/// spec: audit A5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_by_fifty_kills_and_nothing_is_there_twice() {
    let mut world = World::with(TestDb::on_own_cluster().await, |_| {}).await;
    let tokens = tokens(&world).await;
    let mut answered = Vec::new();
    for round in 0..50 {
        let load = Load::start(&world, &tokens);
        // Not always at the same point of a batch.
        load.has(40 + 17 * (round % 7)).await;
        world.server.process.kill();
        answered.extend(load.end().await);
        world.start_again(|_| {}).await;
    }
    all_there(&world.db, &answered).await;
    assert!(answered.len() >= 50 * 40, "{} calls", answered.len());
}

/// spec: audit A5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_after_a_kill_says_what_it_has_found() {
    let db = TestDb::on_own_cluster().await;
    let mut world = World::with(db, |_| {}).await;
    let tokens = tokens(&world).await;
    let recovered = "SELECT count(*) FROM audit_events WHERE action = 'audit.recovered' AND detail->>'clean' = 'false'";
    world.db.cluster().pause();
    let load = Load::start(&world, &tokens);
    load.has(60).await;
    let answered = load.end().await;
    world.server.process.kill();
    world.db.cluster().resume();
    world.start_again(|_| {}).await;
    all_there(&world.db, &answered).await;
    let client = world.db.client().await;
    let told = async || client.query_one(recovered, &[]).await.unwrap().get::<_, i64>(0);
    eventually("the recovery is told", async || told().await == 1).await;
}

async fn outage(back: impl FnOnce(&World), away: impl FnOnce(&World)) {
    let db = TestDb::on_own_cluster().await;
    let durable = format!("ALTER DATABASE {} SET synchronous_commit = on", db.name());
    db.client().await.batch_execute(&durable).await.unwrap();
    let world = World::with(db, |command: &mut Command| {
        command.env("STATUSPULSE_MAX_STALENESS", "10m");
    })
    .await;
    let tokens = tokens(&world).await;
    away(&world);
    let load = Load::start(&world, &tokens);
    world.server.becomes("degraded", Some("database_away")).await;
    load.has(100).await;
    let answered = load.end().await;
    back(&world);
    all_there(&world.db, &answered).await;
    world.server.becomes("ready", None).await;
    assert!(answered.len() > 50, "{} calls were answered without the database", answered.len());
}

/// spec: audit A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_were_judged_without_the_database_are_in_the_trail_afterwards() {
    outage(|world| world.db.cluster().restart().unwrap(), |world| world.db.cluster().kill_postgres().unwrap()).await;
}

/// A table that somebody has locked is no reason to lose anything either, and what is locked is only the trail.
///
/// spec: audit A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_lock_on_the_table_events_wait_and_calls_go_on() {
    let world = World::new().await;
    let tokens = tokens(&world).await;
    let locker = world.db.client().await;
    locker.batch_execute("BEGIN; LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let load = Load::start(&world, &tokens);
    world.server.becomes("degraded", Some("audit_behind")).await;
    load.has(100).await;
    let answered = load.end().await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    all_there(&world.db, &answered).await;
    world.server.becomes("ready", None).await;
    assert!(answered.len() > 50);
}

/// A second server on the same data directory would write over the first one's spool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_in_order_a_server_leaves_nothing_in_its_spool() {
    let mut world = World::new().await;
    let tokens = tokens(&world).await;
    let load = Load::start(&world, &tokens);
    load.has(60).await;
    let answered = load.end().await;
    world.server.process.terminate().await;
    let missing = wrong(&world.db, &answered).await;
    let spool = world.spool();
    let left = spawn_blocking(move || {
        std::fs::read_dir(spool)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .collect::<Vec<_>>()
    });
    let mut left = left.await.unwrap();
    left.retain(|name| name.ends_with(".spool"));
    assert_eq!((missing, left), (Vec::new(), Vec::<String>::new()));
}

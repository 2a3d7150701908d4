//! Several servers that count together in a Redis, and what becomes of them when it goes away.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use statuspulse_app::keys::CreateKey;
use statuspulse_testkit::{MASTER_KEY, RedisCluster, RedisServer, TestDb, eventually, key_of};

use crate::server::{CHECKS, DataDir, Server, World};

/// Three servers over one database and one Redis.
struct Three {
    world: World,
    more: [Server; 2],
    _data: [DataDir; 2],
}

impl Three {
    async fn new(redis: &str) -> Self {
        let world = World::with(TestDb::new().await, |command: &mut Command| {
            command.env("STATUSPULSE_REDIS_URL", redis);
        })
        .await;
        let data = [DataDir::new(), DataDir::new()];
        let start = |data: &DataDir| {
            let mut command = data.program();
            command.env("DATABASE_URL", world.db.url()).env("STATUSPULSE_MASTER_KEY", MASTER_KEY);
            command.env("STATUSPULSE_REDIS_URL", redis);
            Server::start(command)
        };
        let more = [start(&data[0]).await, start(&data[1]).await];
        Self { world, more, _data: data }
    }

    fn servers(&self) -> [&Server; 3] {
        [&self.world.server, &self.more[0], &self.more[1]]
    }

    async fn alerts(&self, rule: &str) -> Vec<Value> {
        alerts(&self.world, rule).await
    }
}

async fn alerts(world: &World, rule: &str) -> Vec<Value> {
    let text = "SELECT to_jsonb(a)::text FROM alerts a WHERE rule = $1 ORDER BY opened_at";
    let rows = world.db.client().await.query(text, &[&rule]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
}

/// So many calls, eight at a time; how often each status was answered.
async fn calls(servers: &[&Server], token: &str, each: usize) -> Vec<(u16, usize)> {
    let mut tasks = Vec::new();
    for server in servers {
        let left = Arc::new(AtomicUsize::new(each));
        for _ in 0..8 {
            let (left, address, token) = (Arc::clone(&left), server.address, token.to_owned());
            tasks.push(tokio::spawn(async move {
                let mut answers = Vec::new();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    answers.push(crate::http::Ask::new(address, "GET", CHECKS).key(&token).send().await.status);
                }
                answers
            }));
        }
    }
    let mut counted = std::collections::BTreeMap::new();
    for task in tasks {
        for status in task.await.unwrap() {
            *counted.entry(status).or_default() += 1;
        }
    }
    counted.into_iter().collect()
}

async fn three_open_one_alert(redis: &str) {
    let three = Three::new(redis).await;
    let token = three.world.token(&["checks:read"]).await;
    // One call has waited until the key was known.
    assert_eq!(calls(&three.servers(), &token, 1_666).await, [(200, 4_998)]);
    assert_eq!(calls(&three.servers()[..2], &token, 1).await, [(200, 2)]);
    eventually("an alert is opened", async || !three.alerts("call_rate").await.is_empty()).await;
    let opened = three.alerts("call_rate").await;
    let impaired = three.alerts("watch_impaired").await;
    assert_eq!((opened.len(), &opened[0]["count"], impaired.len()), (1, &json!(5_001), 0));
}

/// spec: audit A25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis"]
async fn three_processes_that_count_in_redis_open_one_alert() {
    let redis = RedisServer::start().await;
    three_open_one_alert(&redis.url()).await;
}

/// spec: audit A25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis"]
async fn three_processes_that_count_in_a_cluster_open_one_alert() {
    let cluster = RedisCluster::start().await;
    three_open_one_alert(&cluster.url()).await;
}

/// spec: policy P41
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis"]
async fn the_limit_of_a_rate_is_common_to_all_processes() {
    let redis = RedisServer::start().await;
    let three = Three::new(&redis.url()).await;
    let wanted = CreateKey { rate_limit_per_minute: Some(50), ..key_of("production", &["checks:read"]) };
    let token = three.world.token_of(wanted).await;
    // One call has waited until the key was known.
    assert_eq!(calls(&three.servers(), &token, 40).await, [(200, 49), (429, 71)]);
}

/// spec: audit A30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis"]
async fn a_redis_that_dies_under_load_stops_no_call_and_costs_no_alert() {
    let mut redis = RedisServer::start().await;
    let url = redis.url();
    let world = World::with(TestDb::new().await, |command: &mut Command| {
        command.env("STATUSPULSE_REDIS_URL", &url);
    })
    .await;
    let wanted = CreateKey { rate_limit_per_minute: Some(1_000_000), ..key_of("production", &["checks:read"]) };
    let token = world.token_of(wanted).await;
    let (stop, refused, sent) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (stop, refused, sent) = (Arc::clone(&stop), Arc::clone(&refused), Arc::clone(&sent));
        let (address, token) = (world.server.address, token.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let status = crate::http::Ask::new(address, "GET", CHECKS).key(&token).send().await.status;
                refused.fetch_add(usize::from(status != 200), Ordering::Relaxed);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    eventually("calls go through", async || sent.load(Ordering::Relaxed) > 100).await;
    redis.kill();
    world.server.becomes("degraded", Some("counters_unavailable")).await;
    assert_eq!(calls(&[&world.server], &token, 5_001).await, [(200, 5_001)]);
    eventually("the alert is opened", async || alerts(&world, "call_rate").await.len() == 1).await;
    redis.restart().await;
    world.server.becomes("ready", None).await;
    let more = sent.load(Ordering::Relaxed) + 100;
    eventually("calls go on", async || sent.load(Ordering::Relaxed) > more).await;
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    let (rates, impaired) = (alerts(&world, "call_rate").await.len(), alerts(&world, "watch_impaired").await.len());
    assert_eq!((refused.load(Ordering::Relaxed), rates, impaired), (0, 1, 1));
}

//! A cluster of three masters.

use futures_util::future::join_all;
use statuspulse_counters::Shared;
use statuspulse_testkit::{RedisCluster, RedisServer, eventually};

use crate::cases::{self, NOW, key, shared};

/// Whether calls of many keys, on all of the nodes, are answered.
async fn answers_for_all(shared: &Shared) -> bool {
    for number in 0..30 {
        if shared.admit(key(number), NOW, 1_000_000).await.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn exactly_as_many_calls_of_two_instances_are_accepted_as_fit() {
    let cluster = RedisCluster::start().await;
    assert_eq!(cases::accepted_of_200(&cluster.url(), 73).await, 73);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_call_fits_again_when_the_first_has_left_the_window() {
    let cluster = RedisCluster::start().await;
    let seconds = [NOW, NOW + 30, NOW + 60, NOW + 61, NOW + 90, NOW + 91];
    assert_eq!(cases::accepted_at(&cluster.url(), &seconds).await, [true, true, false, true, false, true]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn counts_of_others_are_summed_once_however_often_they_are_written() {
    let cluster = RedisCluster::start().await;
    let expected: Vec<_> = (0..100).map(|number| (key(number), 212)).collect();
    assert_eq!(cases::published_by_two(&cluster.url()).await, expected);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn keys_of_the_last_minute_are_published_lately() {
    let cluster = RedisCluster::start().await;
    let mut expected = [key(3), key(4)];
    expected.sort_unstable();
    assert_eq!(cases::lately(&cluster.url(), NOW).await, expected);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn one_node_that_is_named_leads_to_all() {
    let cluster = RedisCluster::start().await;
    let url = cluster.nodes().first().expect("a node").url();
    assert!(answers_for_all(&shared(&url)).await);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn every_node_has_some_of_the_keys() {
    let cluster = RedisCluster::start().await;
    answers_for_all(&shared(&cluster.url())).await;
    let mut sizes = Vec::new();
    for node in cluster.nodes() {
        sizes.push(node.cli(&["dbsize"]).await.trim().parse::<u32>().expect("a number"));
    }
    assert!(sizes.iter().all(|size| *size > 0) && sizes.iter().sum::<u32>() == 30, "{sizes:?}");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_node_that_was_killed_and_is_back_is_used_again() {
    let mut cluster = RedisCluster::start().await;
    let shared = shared(&cluster.url());
    assert!(answers_for_all(&shared).await);
    for node in cluster.nodes_mut().iter_mut().take(1) {
        node.kill();
        eventually("the client notices", async || !answers_for_all(&shared).await).await;
        node.restart().await;
    }
    eventually("calls of all keys are counted again", async || answers_for_all(&shared).await).await;
}

/// Whether keys of the other nodes are counted by a new client, after something has happened to the first node.
async fn others_count_after(what: impl FnOnce(&mut RedisServer)) {
    let mut cluster = RedisCluster::start().await;
    for node in cluster.nodes() {
        node.cli(&["config", "set", "cluster-require-full-coverage", "no"]).await;
    }
    what(&mut cluster.nodes_mut()[0]);
    let shared = shared(&cluster.url());
    eventually("some key is counted", async || {
        let calls = (0..30).map(|number| shared.admit(key(number), NOW, 5));
        join_all(calls).await.iter().any(Result::is_ok)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_named_node_that_is_away_does_not_hinder_the_others() {
    others_count_after(RedisServer::kill).await;
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_named_node_that_hangs_does_not_hinder_the_others() {
    others_count_after(|node| node.pause()).await;
}

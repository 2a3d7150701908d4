//! One server.

use statuspulse_testkit::RedisServer;
use uuid::Uuid;

use crate::cases::{self, HERE, NOW, admit, key, shared};

#[tokio::test]
#[ignore = "needs Redis"]
async fn exactly_as_many_calls_of_two_instances_are_accepted_as_fit() {
    let server = RedisServer::start().await;
    assert_eq!(cases::accepted_of_200(&server.url(), 73).await, 73);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_call_fits_again_when_the_first_has_left_the_window() {
    let server = RedisServer::start().await;
    let seconds = [NOW, NOW + 30, NOW + 60, NOW + 61, NOW + 90, NOW + 91];
    assert_eq!(cases::accepted_at(&server.url(), &seconds).await, [true, true, false, true, false, true]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_clock_that_is_behind_does_not_open_the_window() {
    let server = RedisServer::start().await;
    assert_eq!(cases::accepted_at(&server.url(), &[NOW, NOW, NOW - 5, NOW - 70]).await, [true, true, false, false]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn after_a_long_silence_everything_fits_again() {
    let server = RedisServer::start().await;
    assert_eq!(cases::accepted_at(&server.url(), &[NOW, NOW, NOW + 1_000, NOW + 1_000]).await, [true; 4]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn an_admission_counts_the_calls_of_the_window() {
    let (server, mut counted) = (RedisServer::start().await, Vec::new());
    let shared = shared(&server.url());
    for second in [NOW, NOW, NOW + 1, NOW + 1, NOW + 61, NOW + 200] {
        counted.push(admit(&shared, second, 3).await.counted);
    }
    assert_eq!(counted, [1, 2, 3, 3, 2, 1]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn an_admission_says_from_when_on_one_more_fits() {
    let (server, mut free_from) = (RedisServer::start().await, Vec::new());
    let shared = shared(&server.url());
    for second in [NOW, NOW + 1, NOW + 2, NOW + 59, NOW + 61] {
        free_from.push(admit(&shared, second, 2).await.free_from);
    }
    assert_eq!(free_from, [NOW, NOW + 61, NOW + 61, NOW + 61, NOW + 62]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_limit_that_was_lowered_waits_until_fewer_are_counted() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    for second in [NOW, NOW + 10, NOW + 20, NOW + 30] {
        admit(&shared, second, 4).await;
    }
    assert_eq!(admit(&shared, NOW + 31, 2).await.free_from, NOW + 20 + 61);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_limit_of_nothing_accepts_nothing() {
    let server = RedisServer::start().await;
    assert!(!admit(&shared(&server.url()), NOW, 0).await.accepted);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn each_key_has_a_limit_of_its_own() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    shared.admit(key(1), NOW, 1).await.unwrap();
    assert!(shared.admit(key(2), NOW, 1).await.unwrap().accepted);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn counts_of_others_are_summed_once_however_often_they_are_written() {
    let server = RedisServer::start().await;
    let expected: Vec<_> = (0..100).map(|number| (key(number), 212)).collect();
    assert_eq!(cases::published_by_two(&server.url()).await, expected);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn what_an_instance_has_counted_itself_is_not_of_others() {
    let server = RedisServer::start().await;
    assert_eq!(cases::others_of(&server.url(), &[NOW, NOW - 1], &[NOW], NOW).await, 1);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn counts_outside_of_the_window_are_no_part_of_the_sum() {
    let server = RedisServer::start().await;
    let seconds = [NOW - 60, NOW - 55, NOW - 1, NOW];
    assert_eq!(cases::others_of(&server.url(), &[], &seconds, NOW + 5).await, 3);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_key_that_nobody_published_has_a_sum_of_nothing() {
    let server = RedisServer::start().await;
    let sums = shared(&server.url()).others(HERE, NOW, &[key(1)]).await;
    assert_eq!(sums, Ok(vec![(key(1), 0)]));
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn keys_of_the_last_minute_are_published_lately() {
    let server = RedisServer::start().await;
    let mut expected = [key(3), key(4)];
    expected.sort_unstable();
    assert_eq!(cases::lately(&server.url(), NOW).await, expected);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn more_keys_than_one_command_notes_are_all_noted() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    let counts: Vec<_> =
        (0..2_500).map(|number| statuspulse_counters::Count { key: key(number), second: NOW, calls: 1 }).collect();
    shared.publish(HERE, NOW, &counts).await.unwrap();
    assert_eq!(shared.lately(NOW).await.unwrap().len(), 2_500);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn what_has_left_the_window_is_removed() {
    let server = RedisServer::start().await;
    cases::publish_for_long(&server.url()).await;
    let fields = server.cli(&["hlen", &format!("sp:{{{}}}:usage", key(1))]).await;
    assert_eq!(fields.trim(), "7");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn the_window_of_a_limit_holds_no_more_than_its_counters() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    for second in NOW..NOW + 200 {
        admit(&shared, second, 1_000).await;
    }
    let fields = server.cli(&["hlen", &format!("sp:{{{}}}:rate", key(7))]).await;
    // And the second and the total.
    assert_eq!(fields.trim(), "63");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn everything_expires_by_itself() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    admit(&shared, NOW, 1).await;
    admit(&shared, NOW + 30, 1).await;
    // One that is refused after everything else has left the window.
    admit(&shared, NOW + 100, 0).await;
    admit(&shared, NOW + 200, 1).await;
    cases::lately(&server.url(), NOW).await;
    let script = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*')) do
                  if redis.call('TTL', key) < 1 or redis.call('TTL', key) > 300 then n = n + 1 end end
                  return { #redis.call('KEYS', '*'), n }";
    // A rate, four usages, and what was published lately.
    assert_eq!(server.cli(&["eval", script, "0"]).await.split_whitespace().collect::<Vec<_>>(), ["6", "0"]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_forgets_the_scripts_gets_them_again() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    admit(&shared, NOW, 5).await;
    server.cli(&["script", "flush"]).await;
    assert_eq!(admit(&shared, NOW, 5).await.counted, 2);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn nothing_to_publish_costs_no_connection() {
    let mut server = RedisServer::start().await;
    server.kill();
    assert_eq!(shared(&server.url()).publish(Uuid::nil(), NOW, &[]).await, Ok(()));
}

#[test]
fn every_answer_can_be_waited_for_on_any_thread() {
    fn is_sent<T: Send>(_: &T) {}
    let shared = shared("redis://127.0.0.1");
    is_sent(&shared.admit(key(1), NOW, 1));
    is_sent(&shared.publish(HERE, NOW, &[]));
    is_sent(&shared.lately(NOW));
    is_sent(&shared.others(HERE, NOW, &[]));
}

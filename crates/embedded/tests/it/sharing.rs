use crate::support::{Actor, Place, eventually, is_alive, query, send};
use nix::sys::signal::Signal;
use statuspulse_embedded::{Closed, DATABASE};

#[test]
fn server_stays_up_while_another_process_uses_it() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    actor.hears();
    assert_eq!(place.open().close().unwrap(), Closed::LeftRunning);
    assert!(query(&format!("postgresql://postgres@/{DATABASE}?host={}", socket(&place)), "SELECT 1").is_ok());
    actor.finish();
}

fn socket(place: &Place) -> String {
    place.data_dir().join("postgres/socket").display().to_string().replace('/', "%2F")
}

#[test]
fn two_users_in_one_process_count_as_two() {
    let place = Place::new();
    let (a, b) = (place.open(), place.open());
    assert_eq!([a.close().unwrap(), b.close().unwrap()], [Closed::LeftRunning, Closed::Stopped]);
}

#[test]
fn last_user_leaves_no_process() {
    let place = Place::new();
    let cluster = place.open();
    let pid = cluster.server_pid().unwrap();
    let all: Vec<u32> = crate::support::children(pid).into_iter().chain([pid]).collect();
    cluster.close().unwrap();
    assert_eq!(all.into_iter().filter(|pid| is_alive(*pid)).collect::<Vec<_>>(), Vec::<u32>::new());
}

#[test]
fn dropped_cluster_is_closed() {
    let place = Place::new();
    let cluster = place.open();
    let pid = cluster.server_pid().unwrap();
    drop(cluster);
    assert!(!is_alive(pid));
}

#[test]
fn processes_that_open_an_empty_directory_at_once_share_one_server() {
    let place = Place::new();
    let mut actors: Vec<Actor> = (0..4).map(|_| Actor::start("use", &place.data_dir())).collect();
    let mut pids: Vec<String> = actors.iter_mut().map(Actor::hears).collect();
    actors.into_iter().for_each(Actor::finish);
    pids.dedup();
    assert_eq!(pids.len(), 1);
}

#[test]
fn orphan_of_a_killed_user_is_used_again() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    let orphan = actor.hears();
    actor.kill();
    let cluster = place.open();
    assert_eq!(cluster.server_pid().unwrap().to_string(), orphan);
}

#[test]
fn orphan_of_a_killed_user_is_stopped_by_the_next_one() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    actor.hears();
    actor.kill();
    assert_eq!(place.open().close().unwrap(), Closed::Stopped);
}

#[test]
fn server_outlives_the_signal_of_the_terminal() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    let pid = actor.hears();
    let group = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        status.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    let groups = [group(&pid), group(&actor.id().to_string())];
    actor.finish();
    assert_ne!(groups[0], groups[1]);
}

#[test]
fn ended_server_leaves_no_zombie() {
    let place = Place::new();
    let cluster = place.open();
    let pid = cluster.server_pid().unwrap();
    send(pid, Signal::SIGINT);
    eventually("the process is collected", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(cluster);
}

#[test]
fn user_killed_while_the_server_starts_leaves_a_usable_cluster() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    eventually("the server is being started", || place.data_dir().join("postgres/log").exists());
    actor.kill();
    let cluster = place.open();
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok());
}

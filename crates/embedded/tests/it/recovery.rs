use crate::support::{Actor, Place, children, eventually, is_alive, query, send};
use nix::sys::signal::Signal;
use statuspulse_embedded::{Cluster, DATABASE, Options};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

#[test]
fn committed_data_survives_a_killed_server() {
    let place = Place::new();
    let options = Options::new(place.data_dir());
    let cluster = Cluster::open(&options).unwrap();
    query(&cluster.url(DATABASE), "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    send(cluster.server_pid().unwrap(), Signal::SIGKILL);
    let again = Cluster::open(&options).unwrap();
    assert_eq!(query(&again.url(DATABASE), "SELECT n FROM t").unwrap().as_deref(), Some("7"));
}

#[test]
fn server_killed_together_with_its_user_is_started_again() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    let pid = actor.hears().parse().unwrap();
    actor.kill();
    send(pid, Signal::SIGKILL);
    let cluster = place.open();
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok());
}

#[test]
fn server_that_ended_under_its_user_is_started_again() {
    let place = Place::new();
    let cluster = place.open();
    let pid = cluster.server_pid().unwrap();
    send(pid, Signal::SIGKILL);
    eventually("the server is gone", || !is_alive(pid));
    cluster.ensure_running().unwrap();
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok());
}

#[test]
fn healthy_server_is_left_alone() {
    let place = Place::new();
    let cluster = place.open();
    let pid = cluster.server_pid();
    cluster.ensure_running().unwrap();
    assert_eq!(cluster.server_pid(), pid);
}

#[test]
fn stuck_process_of_a_killed_server_is_ended() {
    let place = Place::new();
    let cluster = place.open();
    let pid = cluster.server_pid().unwrap();
    let stuck = children(pid)[0];
    send(stuck, Signal::SIGSTOP);
    send(pid, Signal::SIGKILL);
    eventually("the server is gone", || !is_alive(pid));
    cluster.ensure_running().unwrap();
    assert!(!is_alive(stuck) && query(&cluster.url(DATABASE), "SELECT 1").is_ok());
}

#[test]
fn files_of_a_dead_server_that_name_another_program_are_overcome() {
    let place = Place::new();
    let cluster = place.open();
    let socket_lock = cluster.socket_dir().join(".s.PGSQL.5432.lock");
    let pid_file = place.cluster_data().join("postmaster.pid");
    let files = [pid_file, socket_lock].map(|path| (std::fs::read_to_string(&path).unwrap(), path));
    let old = cluster.server_pid().unwrap().to_string();
    cluster.close().unwrap();
    // PostgreSQL takes any process of its own user for its predecessor.
    let owner = place.cluster_data().metadata().unwrap();
    let mut command = Command::new("cat");
    if crate::support::is_root() {
        command.uid(owner.uid()).gid(owner.gid()).current_dir("/");
    }
    let mut other = command.stdin(Stdio::piped()).spawn().unwrap();
    for (text, path) in files {
        std::fs::write(&path, text.replacen(&old, &other.id().to_string(), 1)).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        crate::support::set_mode(&path, 0o600);
    }
    let opened = Cluster::open(&place.options());
    let is_spared = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(opened.is_ok() && is_spared, "{opened:?}");
}

#[test]
fn stale_files_that_name_no_process_are_overcome() {
    let place = Place::new();
    let cluster = place.open();
    let pid = cluster.server_pid().unwrap();
    send(pid, Signal::SIGKILL);
    eventually("the server is gone", || !is_alive(pid));
    drop(cluster);
    assert!(place.cluster_data().join("postmaster.pid").exists() && Cluster::open(&place.options()).is_ok());
}

#[test]
fn server_whose_socket_is_gone_is_started_again() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    let pid = actor.hears();
    actor.kill();
    std::fs::remove_dir_all(place.data_dir().join("postgres/socket")).unwrap();
    let cluster = place.open();
    assert_ne!(cluster.server_pid().unwrap().to_string(), pid);
}

#[test]
fn data_directory_may_be_moved() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    let pid = actor.hears();
    actor.kill();
    let moved = place.root().join("moved");
    std::fs::rename(place.data_dir(), &moved).unwrap();
    let cluster = Cluster::open(&crate::support::quick(&moved)).unwrap();
    assert_eq!(cluster.server_pid().unwrap().to_string(), pid);
}

#[test]
fn empty_file_that_a_loss_of_power_left_is_overcome() {
    let place = Place::new();
    place.open().close().unwrap();
    std::fs::write(place.cluster_data().join("postmaster.pid"), "").unwrap();
    let opened = Cluster::open(&place.options());
    assert!(opened.is_ok(), "{opened:?}");
}

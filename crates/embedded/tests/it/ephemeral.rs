use crate::support::{Actor, Place, eventually, is_alive, query};
use statuspulse_embedded::DATABASE;
use statuspulse_embedded::ephemeral::Ephemeral;
use std::path::Path;
use std::time::Duration;

/// A folder that everybody may write to.
fn parent() -> Place {
    let place = Place::new();
    crate::support::set_mode(place.root(), 0o1777);
    place
}

fn is_empty(dir: &Path) -> bool {
    dir.read_dir().unwrap().next().is_none()
}

#[test]
fn temporary_cluster_has_the_database_of_the_service() {
    let cluster = Ephemeral::start(None).unwrap();
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok());
}

#[test]
fn stopped_temporary_cluster_leaves_nothing() {
    let parent = parent();
    let cluster = Ephemeral::start(Some(parent.root())).unwrap();
    let pid = cluster.server_pid().unwrap();
    cluster.stop().unwrap();
    assert!(!is_alive(pid) && is_empty(parent.root()));
}

#[test]
fn temporary_cluster_of_a_killed_process_is_removed() {
    let parent = parent();
    let mut actor = Actor::start("ephemeral", parent.root());
    let pid = actor.hears().parse().unwrap();
    actor.kill();
    eventually("nothing is left", || !is_alive(pid) && is_empty(parent.root()));
}

#[test]
fn temporary_cluster_of_a_process_that_exits_is_removed() {
    let parent = parent();
    let mut actor = Actor::start("ephemeral", parent.root());
    let pid = actor.hears().parse().unwrap();
    actor.finish();
    eventually("nothing is left", || !is_alive(pid) && is_empty(parent.root()));
}

#[test]
fn temporary_cluster_of_a_process_killed_while_it_is_made_is_removed() {
    let parent = parent();
    let mut actor = Actor::start("ephemeral", parent.root());
    eventually("the initialisation is under way", || !is_empty(parent.root()));
    actor.kill();
    eventually("nothing is left", || is_empty(parent.root()));
}

#[test]
fn killed_temporary_cluster_is_started_again_with_its_data() {
    let cluster = Ephemeral::start(None).unwrap();
    let sql = "SET LOCAL synchronous_commit = on; CREATE TABLE t AS SELECT 7 AS n";
    query(&cluster.url(DATABASE), sql).unwrap();
    cluster.kill_postgres().unwrap();
    cluster.restart().unwrap();
    assert_eq!(query(&cluster.url(DATABASE), "SELECT n FROM t").unwrap().as_deref(), Some("7"));
}

#[test]
fn killed_temporary_cluster_answers_nothing() {
    let cluster = Ephemeral::start(None).unwrap();
    cluster.kill_postgres().unwrap();
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_err());
}

#[test]
fn paused_temporary_cluster_goes_on_when_it_is_resumed() {
    let cluster = Ephemeral::start(None).unwrap();
    cluster.pause();
    let url = cluster.url(DATABASE);
    let (tell, told) = std::sync::mpsc::channel();
    let asked = std::thread::spawn(move || tell.send(query(&url, "SELECT 1").is_ok()));
    let early = told.recv_timeout(Duration::from_millis(300));
    cluster.resume();
    let late = told.recv_timeout(crate::support::BOUND);
    asked.join().unwrap().unwrap();
    assert!(early.is_err() && late == Ok(true));
}

#[test]
fn stopping_a_paused_temporary_cluster_leaves_nothing() {
    let parent = parent();
    let cluster = Ephemeral::start(Some(parent.root())).unwrap();
    cluster.pause();
    cluster.stop().unwrap();
    assert!(is_empty(parent.root()));
}

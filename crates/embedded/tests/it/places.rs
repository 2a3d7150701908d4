use crate::support::{Actor, Place, eventually, is_root, mode, plain_user, query, quick};
use statuspulse_embedded::{Cluster, DATABASE, EmbeddedError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The folder that a file of the data directory names; removed at the end of the test.
struct Named(PathBuf);

impl Named {
    fn by(pointer: &Path) -> Named {
        Named(PathBuf::from(std::fs::read_to_string(pointer).unwrap().trim_end()))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        // The state directory, when this was the only cluster in it.
        if self.0.starts_with("/var/lib/statuspulse") {
            let _ = std::fs::remove_dir("/var/lib/statuspulse");
        }
    }
}

#[test]
fn path_too_long_for_a_socket_gets_a_short_folder() {
    let place = Place::new();
    let data_dir = place.root().join("x".repeat(120));
    let cluster = Cluster::open(&quick(&data_dir)).unwrap();
    let named = Named::by(&data_dir.join("postgres.socket"));
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok() && mode(&named.0) == 0o700);
    drop(cluster);
}

#[test]
fn path_with_a_separator_of_lists_gets_a_folder_that_has_none() {
    let place = Place::new();
    let data_dir = place.root().join("a,b");
    let cluster = Cluster::open(&quick(&data_dir)).unwrap();
    let _named = Named::by(&data_dir.join("postgres.socket"));
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok());
    drop(cluster);
}

#[test]
fn path_with_spaces_and_signs_is_encoded_in_the_url() {
    let place = Place::new();
    let data_dir = place.root().join("a b&c=d%20é");
    let cluster = Cluster::open(&quick(&data_dir)).unwrap();
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok());
}

#[test]
fn short_folder_that_somebody_else_holds_is_not_used() {
    let place = Place::new();
    let data_dir = place.root().join("x".repeat(120));
    let pointer = data_dir.join("postgres.socket");
    drop(Cluster::open(&quick(&data_dir)).unwrap());
    let taken = Named::by(&pointer);
    std::fs::remove_dir_all(&taken.0).unwrap();
    std::fs::remove_file(&pointer).unwrap();
    std::fs::create_dir(&taken.0).unwrap();
    crate::support::set_mode(&taken.0, 0o777);
    let cluster = Cluster::open(&quick(&data_dir)).unwrap();
    let _named = Named::by(&pointer);
    assert_ne!(cluster.socket_dir(), taken.0);
    drop(cluster);
}

#[test]
fn short_folder_that_became_a_link_is_refused() {
    let place = Place::new();
    let data_dir = place.root().join("x".repeat(120));
    drop(Cluster::open(&quick(&data_dir)).unwrap());
    let named = Named::by(&data_dir.join("postgres.socket"));
    std::fs::remove_dir_all(&named.0).unwrap();
    std::os::unix::fs::symlink(place.root(), &named.0).unwrap();
    let error = Cluster::open(&quick(&data_dir)).unwrap_err();
    std::fs::remove_file(&named.0).unwrap();
    assert!(matches!(error, EmbeddedError::NotOurs { .. }), "{error}");
}

#[test]
fn short_folder_that_a_restart_of_the_machine_removed_is_made_again() {
    let place = Place::new();
    let data_dir = place.root().join("x".repeat(120));
    drop(Cluster::open(&quick(&data_dir)).unwrap());
    let named = Named::by(&data_dir.join("postgres.socket"));
    std::fs::remove_dir_all(&named.0).unwrap();
    let cluster = Cluster::open(&quick(&data_dir)).unwrap();
    assert_eq!(cluster.socket_dir(), named.0);
    drop(cluster);
}

#[test]
fn forged_name_of_a_cluster_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.data_dir()).unwrap();
    std::fs::write(place.data_dir().join("postgres.location"), "/etc\n").unwrap();
    crate::support::set_mode(&place.data_dir(), 0o700);
    let error = Cluster::open(&place.options()).unwrap_err();
    assert!(matches!(error, EmbeddedError::BadPointer { .. }), "{error}");
}

#[test]
fn cluster_folder_that_is_a_link_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.data_dir()).unwrap();
    std::os::unix::fs::symlink(place.root(), place.data_dir().join("postgres")).unwrap();
    crate::support::set_mode(&place.data_dir(), 0o700);
    let error = Cluster::open(&place.options()).unwrap_err();
    assert!(matches!(error, EmbeddedError::NotOurs { .. }), "{error}");
}

#[test]
fn server_never_runs_as_root() {
    let place = Place::new();
    let cluster = place.open();
    let owner = Path::new("/proc").join(cluster.server_pid().unwrap().to_string()).metadata().unwrap().uid();
    assert_ne!(owner, 0);
}

#[test]
fn data_directory_behind_a_closed_folder_works_for_its_owner() {
    let place = Place::barred();
    let cluster = place.open();
    // Only root needs another place: its server is another account's.
    let _named = is_root().then(|| Named::by(&place.data_dir().join("postgres.location")));
    assert!(query(&cluster.url(DATABASE), "SELECT 1").is_ok());
    drop(cluster);
}

#[test]
fn cluster_behind_a_closed_folder_is_found_again() {
    let place = Place::barred();
    let cluster = place.open();
    let _named = is_root().then(|| Named::by(&place.data_dir().join("postgres.location")));
    query(&cluster.url(DATABASE), "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    cluster.close().unwrap();
    let cluster = place.open();
    assert_eq!(query(&cluster.url(DATABASE), "SELECT n FROM t").unwrap().as_deref(), Some("7"));
    drop(cluster);
}

#[test]
fn user_without_rights_runs_a_cluster_of_its_own() {
    let place = Place::new();
    let data_dir = place.data_dir();
    let mut actor = if is_root() {
        let user = plain_user();
        std::fs::create_dir(&data_dir).unwrap();
        std::os::unix::fs::chown(&data_dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        Actor::start_as(&user, place.root(), "use", &data_dir)
    } else {
        Actor::start("use", &data_dir)
    };
    let pid = actor.hears();
    let owner = Path::new("/proc").join(&pid).metadata().unwrap().uid();
    actor.finish();
    eventually("the server ends with its user", || !crate::support::is_alive(pid.parse().unwrap()));
    assert_eq!(owner, data_dir.metadata().unwrap().uid());
}

#[test]
fn root_runs_the_cluster_of_another_user_as_that_user() {
    if !is_root() {
        eprintln!("only root can act for another user; nothing to show here");
        return;
    }
    let place = Place::new();
    let (user, data_dir) = (plain_user(), place.data_dir());
    std::fs::create_dir(&data_dir).unwrap();
    std::os::unix::fs::chown(&data_dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    let mut actor = Actor::start_as(&user, place.root(), "use", &data_dir);
    actor.hears();
    actor.finish();
    place.open().close().unwrap();
    let mut actor = Actor::start_as(&user, place.root(), "use", &data_dir);
    actor.hears();
    actor.finish();
}

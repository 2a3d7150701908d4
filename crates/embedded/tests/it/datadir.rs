use crate::support::{Actor, Place, is_root, mode, plain_user, set_mode};
use statuspulse_embedded::{DataDirLock, EmbeddedError, prepare_data_dir};

#[test]
fn new_data_directory_is_for_its_owner_alone() {
    let place = Place::new();
    let dir = prepare_data_dir(&place.data_dir()).unwrap();
    // Root's can be passed through by the account of the server, not read.
    assert_eq!(mode(&dir), if is_root() { 0o711 } else { 0o700 });
}

#[test]
fn empty_data_directory_that_lets_others_in_is_closed() {
    let place = Place::new();
    std::fs::create_dir(place.data_dir()).unwrap();
    set_mode(&place.data_dir(), 0o755);
    assert_eq!(mode(&prepare_data_dir(&place.data_dir()).unwrap()) & 0o066, 0);
}

#[test]
fn directory_with_other_files_is_not_closed_to_others() {
    let place = Place::new();
    std::fs::write(place.root().join("file"), "").unwrap();
    let error = prepare_data_dir(place.root()).unwrap_err();
    assert!(matches!(error, EmbeddedError::TooOpen { mode: 0o755, .. }) && mode(place.root()) == 0o755, "{error}");
}

#[test]
fn data_directory_is_answered_absolute_and_free_of_links() {
    let place = Place::new();
    std::fs::create_dir(place.data_dir()).unwrap();
    let link = place.root().join("link");
    std::os::unix::fs::symlink("data", &link).unwrap();
    assert_eq!(prepare_data_dir(&link).unwrap(), place.data_dir().canonicalize().unwrap());
}

#[test]
fn file_in_the_way_of_the_data_directory_is_named() {
    let place = Place::new();
    let file = place.root().join("file");
    std::fs::write(&file, "").unwrap();
    let error = prepare_data_dir(&file.join("data")).unwrap_err();
    assert!(matches!(&error, EmbeddedError::NotADirectory { path } if *path == file), "{error}");
}

#[test]
fn read_only_directory_is_named_in_one_line() {
    let place = Place::new();
    let dir = place.data_dir();
    std::fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o555);
    // Nothing is read-only for root.
    let mut actor = if is_root() {
        let user = plain_user();
        std::os::unix::fs::chown(&dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        Actor::start_as(&user, place.root(), "prepare", &dir)
    } else {
        Actor::start("prepare", &dir)
    };
    let told = actor.hears();
    assert!(told.starts_with(&format!("directory `{}` is read-only", dir.display())), "{told}");
}

#[test]
fn directory_below_a_read_only_one_names_that_one() {
    let place = Place::new();
    let closed = place.root().join("closed");
    std::fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o555);
    let dir = closed.join("a/b");
    let mut actor = if is_root() {
        Actor::start_as(&plain_user(), place.root(), "prepare", &dir)
    } else {
        Actor::start("prepare", &dir)
    };
    let told = actor.hears();
    assert!(told.starts_with(&format!("directory `{}` is read-only", closed.display())), "{told}");
}

#[test]
fn second_server_is_refused_with_the_process_of_the_first() {
    let place = Place::new();
    let mut actor = Actor::start("lock", &place.data_dir());
    actor.hears();
    let error = DataDirLock::acquire(&place.data_dir()).unwrap_err();
    assert!(matches!(error, EmbeddedError::InUse { pid: Some(pid), .. } if pid == actor.id()), "{error}");
}

#[test]
fn lock_of_a_killed_server_is_free() {
    let place = Place::new();
    let mut actor = Actor::start("lock", &place.data_dir());
    actor.hears();
    actor.kill();
    assert!(DataDirLock::acquire(&place.data_dir()).is_ok());
}

#[test]
fn dropped_lock_is_free() {
    let place = Place::new();
    let dir = prepare_data_dir(&place.data_dir()).unwrap();
    drop(DataDirLock::acquire(&dir).unwrap());
    assert!(DataDirLock::acquire(&dir).is_ok());
}

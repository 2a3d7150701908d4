use crate::support::set_mode;
use statuspulse_embedded::{Binaries, EmbeddedError};
use std::path::{Path, PathBuf};

/// A folder with programs that only tell this version.
fn fake(parent: &Path, name: &str, version: &str) -> PathBuf {
    let dir = parent.join(name);
    std::fs::create_dir(&dir).unwrap();
    for program in ["initdb", "postgres", "pg_ctl"] {
        let file = dir.join(program);
        std::fs::write(&file, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
        set_mode(&file, 0o755);
    }
    dir
}

fn found(candidates: &[PathBuf]) -> Binaries {
    // A process that another test starts at this moment may still hold a script open for writing.
    let mut result = Binaries::find_in(candidates);
    crate::support::eventually("the scripts can be run", || {
        result = Binaries::find_in(candidates);
        result.is_ok()
    });
    result.unwrap()
}

#[test]
fn server_of_this_machine_is_found() {
    assert!(Binaries::find().unwrap().major() >= statuspulse_embedded::OLDEST_MAJOR);
}

#[test]
fn missing_server_is_told_in_one_line_that_says_what_to_install() {
    let error = Binaries::find_in(&[PathBuf::from("/nonexistent")]).unwrap_err();
    let text = error.to_string();
    let said = ["apt-get install postgresql", "brew install postgresql", "DATABASE_URL"];
    assert!(said.iter().all(|part| text.contains(part)) && !text.contains('\n'), "{text}");
}

#[test]
fn too_old_server_is_told_with_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let old = [fake(dir.path(), "a", "9.6.24"), fake(dir.path(), "b", "13.14 (Debian 13.14-1)")];
    let is_told = |error: &EmbeddedError| matches!(error, EmbeddedError::TooOld { found } if found == "13, 9");
    crate::support::eventually("both versions are told", || is_told(&Binaries::find_in(&old).unwrap_err()));
}

#[test]
fn too_old_server_is_passed_over_for_a_later_candidate() {
    let dir = tempfile::tempdir().unwrap();
    let candidates = [fake(dir.path(), "a", "13.1"), fake(dir.path(), "b", "16.2"), fake(dir.path(), "c", "17.0")];
    crate::support::eventually("the second candidate is found", || found(&candidates).major() == 16);
}

#[test]
fn folder_without_all_programs_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let candidates = [fake(dir.path(), "a", "16.2"), fake(dir.path(), "b", "15.1")];
    std::fs::remove_file(candidates[0].join("pg_ctl")).unwrap();
    assert_eq!(found(&candidates).major(), 15);
}

#[test]
fn version_before_its_release_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(found(&[fake(dir.path(), "a", "18beta1")]).major(), 18);
}

#[test]
fn linked_programs_are_run_from_the_folder_where_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let real = fake(dir.path(), "real", "16.2");
    let links = dir.path().join("links");
    std::fs::create_dir(&links).unwrap();
    for program in ["initdb", "postgres", "pg_ctl"] {
        std::os::unix::fs::symlink(real.join(program), links.join(program)).unwrap();
    }
    assert_eq!(found(&[links]).dir(), real.canonicalize().unwrap());
}

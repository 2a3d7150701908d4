//! Without `DATABASE_URL`: the private PostgreSQL of a data directory.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use statuspulse_embedded::{Cluster, Options};
use statuspulse_testkit::Process;
use tempfile::TempDir;

use crate::support::{PROGRAM, Ran, folder, run, words};

fn command(folder: &TempDir, arguments: &str) -> Command {
    let mut command = Process::command(PROGRAM);
    command.args(words(arguments)).env("STATUSPULSE_DATA_DIR", folder.path().join("data"));
    command
}

fn admin(folder: &TempDir, arguments: &str) -> Ran {
    run(command(folder, arguments), "")
}

fn is_stopped(folder: &TempDir) -> bool {
    !folder.path().join("data/postgres/data/postmaster.pid").exists()
}

fn cluster(folder: &TempDir) -> Cluster {
    let mut options = Options::new(folder.path().join("data"));
    options.durable = false;
    Cluster::open(&options).unwrap()
}

#[test]
fn a_stopped_server_is_found_and_stopped_again() {
    let folder = folder();
    let applied = admin(&folder, "--json migrate").json()["applied"].as_array().unwrap().len();
    admin(&folder, "--json org create --slug acme --name Acme").json();
    let slug = admin(&folder, "--json org list").json()["items"][0]["slug"].take();
    assert_eq!((applied > 0, slug, is_stopped(&folder)), (true, json!("acme"), true));
}

#[test]
fn a_running_server_is_found_and_left_running() {
    let folder = folder();
    let server = cluster(&folder);
    let pid = server.server_pid();
    admin(&folder, "--json org create --slug acme --name Acme").json();
    assert_eq!((pid.is_some(), server.server_pid()), (true, pid));
}

#[test]
fn an_error_leaves_no_server_behind() {
    let folder = folder();
    admin(&folder, "--json migrate").json();
    let ran = admin(&folder, "key list --org nobody");
    assert_eq!((ran.code, is_stopped(&folder)), (3, true));
}

fn is_empty(folder: &TempDir) -> bool {
    folder.path().read_dir().unwrap().next().is_none()
}

#[test]
fn what_looks_for_something_makes_no_data_directory() {
    let folder = folder();
    let commands = [
        "key list --org acme",
        "org list",
        "settings show --org acme",
        "pepper status",
        "signing-key rotate",
        "app list --org acme",
        "key create --org acme --environment staging --name ci --preset read-only",
    ];
    let told = format!("nothing is installed in `{}`", folder.path().join("data").display());
    let runs = commands.map(|command| {
        let ran = admin(&folder, command);
        (ran.code, ran.stderr.contains(&told), ran.stderr.lines().count())
    });
    assert_eq!((runs, is_empty(&folder)), ([(1, true, 1); 7], true));
}

#[test]
fn what_looks_for_something_makes_no_master_key_in_a_folder_of_others() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let ran = admin(&folder, "org list");
    let untouched = folder.path().join("data").read_dir().unwrap().next().is_none();
    assert_eq!((ran.refusal("nothing is installed in"), untouched), ((1, true), true));
}

#[test]
fn an_organization_may_be_the_first_thing_in_a_data_directory() {
    let folder = folder();
    assert_eq!(admin(&folder, "--json org create --slug acme --name Acme").json()["slug"], "acme");
}

#[test]
fn with_a_database_but_no_master_key_none_is_made_by_looking() {
    let folder = folder();
    let mut command = command(&folder, "org list");
    command.env("DATABASE_URL", "postgresql://u@/x?host=/nowhere");
    assert_eq!((run(command, "").refusal("nothing is installed in"), is_empty(&folder)), ((1, true), true));
}

#[test]
fn a_command_that_is_ended_while_it_asks_leaves_no_server_behind() {
    let folder = folder();
    admin(&folder, "--json org create --slug acme --name Acme").json();
    admin(&folder, "--json key create --org acme --environment staging --name ci --preset read-only").json();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut asking = command(&folder, "key revoke-many --org acme");
    let mut asking = asking.stdin(terminal.slave).stderr(Stdio::piped()).spawn().unwrap();
    let (mut told, mut byte) = (Vec::new(), [0]);
    let mut stderr = asking.stderr.take().unwrap();
    while !told.ends_with(b"to go on: ") {
        stderr.read_exact(&mut byte).unwrap();
        told.push(byte[0]);
    }
    kill(Pid::from_raw(asking.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!((asking.wait().unwrap().code(), is_stopped(&folder)), (Some(1), true));
}

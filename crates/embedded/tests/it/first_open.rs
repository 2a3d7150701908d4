use crate::support::{Actor, Place, eventually, mode, query};
use statuspulse_embedded::{Closed, Cluster, DATABASE, EmbeddedError, Options};

#[test]
fn empty_data_directory_gets_the_database_of_the_service() {
    let place = Place::new();
    let cluster = place.open();
    let name = query(&cluster.url(DATABASE), "SELECT current_database() || ' ' || current_user").unwrap();
    assert_eq!(name.as_deref(), Some("statuspulse postgres"));
}

#[test]
fn data_survives_a_stop_and_a_start() {
    let place = Place::new();
    let options = Options::new(place.data_dir());
    let cluster = Cluster::open(&options).unwrap();
    query(&cluster.url(DATABASE), "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    assert_eq!(cluster.close().unwrap(), Closed::Stopped);
    let cluster = Cluster::open(&options).unwrap();
    assert_eq!(query(&cluster.url(DATABASE), "SELECT n FROM t").unwrap().as_deref(), Some("7"));
}

#[test]
fn new_cluster_checks_its_pages_and_keeps_utf_8() {
    let place = Place::new();
    let cluster = place.open();
    let sql = "SELECT current_setting('data_checksums') || ' ' || current_setting('server_encoding')";
    assert_eq!(query(&cluster.url(DATABASE), sql).unwrap().as_deref(), Some("on UTF8"));
}

#[test]
fn durable_cluster_writes_through_to_the_disk() {
    let place = Place::new();
    let cluster = Cluster::open(&Options::new(place.data_dir())).unwrap();
    let sql = "SELECT concat_ws(' ', current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'))";
    assert_eq!(query(&cluster.url(DATABASE), sql).unwrap().as_deref(), Some("on on on"));
}

#[test]
fn server_opens_no_tcp_port() {
    let place = Place::new();
    let cluster = place.open();
    let listen = query(&cluster.url(DATABASE), "SHOW listen_addresses").unwrap();
    assert_eq!(listen.as_deref(), Some(""));
}

#[test]
fn only_the_socket_is_let_in_by_the_access_rules() {
    let place = Place::new();
    let cluster = place.open();
    let sql = "SELECT string_agg(concat_ws(' ', type, database, user_name, auth_method), ',') FROM pg_hba_file_rules";
    assert_eq!(query(&cluster.url(DATABASE), sql).unwrap().as_deref(), Some("local {all} {all} trust"));
}

#[test]
fn folders_of_the_cluster_admit_their_owner_alone() {
    let place = Place::new();
    let cluster = place.open();
    let home = place.data_dir().join("postgres");
    let modes = [mode(&home), mode(&home.join("data")), mode(cluster.socket_dir()), mode(&home.join("log"))];
    assert_eq!(modes, [0o700, 0o700, 0o700, 0o600]);
}

#[test]
fn environment_of_the_service_does_not_reach_the_server() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    let pid = actor.hears();
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    actor.finish();
    assert!(!String::from_utf8_lossy(&environment).contains("STATUSPULSE_TEST_ROLE"));
}

#[test]
fn values_of_a_failed_statement_stay_out_of_the_log() {
    let place = Place::new();
    let cluster = place.open();
    let url = cluster.url(DATABASE);
    query(&url, "CREATE TABLE t (secret text PRIMARY KEY)").unwrap();
    let twice = "INSERT INTO t VALUES ('sp_live_x'), ('sp_live_x')";
    assert!(query(&url, twice).is_err());
    let log = std::fs::read_to_string(place.data_dir().join("postgres/log")).unwrap();
    assert!(log.contains("duplicate key") && !log.contains("sp_live_x"), "{log}");
}

#[test]
fn long_log_is_set_aside_at_the_next_start() {
    let place = Place::new();
    place.open().close().unwrap();
    let log = place.data_dir().join("postgres/log");
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(11 * 1024 * 1024).unwrap();
    let _cluster = place.open();
    let lengths = [&log, &log.with_extension("old")].map(|path| path.metadata().unwrap().len());
    assert!(lengths[0] < 1024 * 1024 && lengths[1] == 11 * 1024 * 1024, "{lengths:?}");
}

#[test]
fn remains_of_an_interrupted_initialisation_are_removed() {
    let place = Place::new();
    let remains = place.data_dir().join("postgres.init-1-1");
    std::fs::create_dir_all(remains.join("data/base")).unwrap();
    crate::support::set_mode(&place.data_dir(), 0o700);
    let _cluster = place.open();
    assert!(!remains.exists());
}

#[test]
fn initialisation_that_was_killed_is_begun_anew() {
    let place = Place::new();
    let mut actor = Actor::start("use", &place.data_dir());
    eventually("the initialisation is under way", || {
        let entries = place.data_dir().read_dir().into_iter().flatten().flatten();
        let mut aside = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("postgres.init-"));
        aside.any(|entry| entry.path().join("data/PG_VERSION").exists())
    });
    actor.kill();
    let cluster = place.open();
    assert_eq!(query(&cluster.url(DATABASE), "SELECT 1").unwrap().as_deref(), Some("1"));
}

#[test]
fn folder_that_holds_no_whole_cluster_is_refused() {
    let place = Place::new();
    place.open().close().unwrap();
    std::fs::remove_file(place.cluster_data().join("global/pg_control")).unwrap();
    let error = Cluster::open(&place.options()).unwrap_err();
    assert!(matches!(error, EmbeddedError::Damaged { .. }), "{error}");
}

#[test]
fn cluster_of_a_version_that_is_not_here_is_refused_with_both_versions() {
    let place = Place::new();
    place.open().close().unwrap();
    std::fs::write(place.cluster_data().join("PG_VERSION"), "9\n").unwrap();
    let error = Cluster::open(&place.options()).unwrap_err();
    assert!(matches!(error, EmbeddedError::OtherMajor { cluster: 9, .. }), "{error}");
}

#[test]
fn cluster_of_another_version_is_run_by_the_binaries_of_that_version() {
    let place = Place::new();
    place.open().close().unwrap();
    std::fs::write(place.cluster_data().join("PG_VERSION"), "9\n").unwrap();
    let fake = place.root().join("bin");
    std::fs::create_dir(&fake).unwrap();
    for program in ["initdb", "postgres", "pg_ctl"] {
        let script = "#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.1'\necho 'started by version nine' >&2\nexit 1\n";
        std::fs::write(fake.join(program), script).unwrap();
        crate::support::set_mode(&fake.join(program), 0o755);
    }
    let mut candidates = statuspulse_embedded::Binaries::candidates();
    candidates.push(fake);
    let started = |error: &EmbeddedError| error.to_string().contains("started by version nine");
    // Its scripts may be open for writing in a process that another test starts at this moment.
    eventually("the binaries of version nine are run", || {
        started(&Cluster::open_with(&place.options(), &candidates).unwrap_err())
    });
}

#[test]
fn server_that_does_not_start_is_told_with_its_last_words() {
    let place = Place::new();
    place.open().close().unwrap();
    let settings = place.cluster_data().join("postgresql.conf");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("{text}\nno_such_setting = 1\n")).unwrap();
    let text = Cluster::open(&place.options()).unwrap_err().to_string();
    assert!(text.contains("no_such_setting") && !text.contains('\n'), "{text}");
}

//! `scripts/renew-key`, run as a job runs it: with the key in its environment, against a server with a successor that waits.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use statuspulse_app::keys::{CreateKey, successor};
use statuspulse_testkit::{Process, eventually, key_of};
use tempfile::TempDir;

use crate::server::World;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/renew-key");

/// A server that knows a key with Auto-Rotate in the second half of its one day, and a folder.
struct Scene {
    world: World,
    token: String,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let wanted =
            CreateKey { auto_rotate: true, expires_in_days: Some(1), ..key_of("production", &["checks:read"]) };
        let token = world.token_of(wanted).await;
        let aged = "UPDATE key_versions SET created_at = created_at - interval '13 hours',
                        expires_at = expires_at - interval '13 hours', valid_until = valid_until - interval '13 hours'";
        world.db.client().await.execute(aged, &[]).await.unwrap();
        successor::pass(&world.app.app()).await.unwrap();
        let scene = Self { world, token, folder: tempfile::tempdir().unwrap() };
        eventually("the server knows of the slot", async || {
            scene.world.server.judged(&scene.token).await.header("x-key-successor") == Some("pending")
        })
        .await;
        scene
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs the script with a token: its exit code, and all that it wrote.
    async fn run(&self, token: &str, options: &[&str], behind: &[&str]) -> (Option<i32>, String) {
        let mut command = Process::command(SCRIPT);
        command.args(options).arg(format!("http://{}", self.world.server.address)).args(behind);
        command.env("STATUSPULSE_KEY", token).env("TMPDIR", self.folder.path());
        let mut process = Process::spawn(command);
        let status = process.ended().await;
        (status.code(), process.stdout() + &process.stderr())
    }

    /// The version that a token is of; null when it is refused.
    async fn version_of(&self, token: &str) -> Value {
        self.world.server.ask("GET", "/v1/keys/self").key(token).send().await.json()["version"].clone()
    }

    async fn judged(&self, token: &str) -> u16 {
        self.world.server.judged(token).await.status
    }

    /// Names of what lies in the folder.
    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

fn mode(path: &str) -> u32 {
    fs::metadata(Path::new(path)).unwrap().permissions().mode() & 0o7777
}

/// Shows that the new token lies alone in the file, with mode 0600, and works beside the old one; and that none of the two is
/// printed.
///
/// spec: keys K35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl"]
async fn the_file_gets_a_token_that_works_and_nobody_else_may_read_it() {
    let scene = Scene::new().await;
    let file = scene.path("key");
    fs::write(&file, &scene.token).unwrap();
    let (code, told) = scene.run(&scene.token, &["--file", &file], &[]).await;
    let fresh = fs::read_to_string(&file).unwrap();
    let printed = [&scene.token, &fresh].map(|token| told.contains(token.as_str()));
    let judged = (scene.judged(&scene.token).await, scene.judged(&fresh).await);
    let seen = (code, fresh != scene.token, mode(&file), judged, printed, scene.left());
    assert_eq!(seen, (Some(0), true, 0o600, (200, 200), [false; 2], vec!["key".to_owned()]), "{told}");
}

/// Shows that a command gets the new token on its standard input, that its environment holds no key, and that nothing is
/// left of it elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl"]
async fn a_command_gets_the_token_on_its_standard_input() {
    let scene = Scene::new().await;
    let taken = scene.path("taken");
    let take = format!("cat >'{taken}'; env | grep -c 'sp_[l]ive_' >&2");
    let (code, told) = scene.run(&scene.token, &[], &["--", "sh", "-c", &format!("{take}; exit 0")]).await;
    let version = scene.version_of(&fs::read_to_string(&taken).unwrap()).await;
    let clean = told.lines().next() == Some("0");
    let seen = (code, version, clean, scene.left());
    assert_eq!(seen, (Some(0), Value::from(2), true, vec!["taken".to_owned()]), "{told}");
}

/// Shows that the new token is kept, for its owner alone, when the command that should take it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl"]
async fn a_command_that_fails_loses_no_token() {
    let scene = Scene::new().await;
    let kept = scene.path("kept");
    let (code, told) = scene.run(&scene.token, &["--keep-in", &kept], &["false"]).await;
    let version = scene.version_of(&fs::read_to_string(&kept).unwrap()).await;
    let seen = (code, mode(&kept), version, told.contains(&kept));
    assert_eq!(seen, (Some(1), 0o600, Value::from(2), true), "{told}");
}

/// Shows the runs before and after: with the new token there is nothing to do, with the old one something has gone wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl"]
async fn afterwards_the_new_token_has_nothing_to_renew_and_the_old_one_is_told_so() {
    let scene = Scene::new().await;
    let file = scene.path("key");
    let first = scene.run(&scene.token, &["--file", &file], &[]).await.0;
    let fresh = fs::read_to_string(&file).unwrap();
    let again = scene.run(&fresh, &["--file", &file], &[]).await.0;
    let late = scene.run(&scene.token, &["--file", &file], &[]).await.0;
    let untouched = fs::read_to_string(&file).unwrap() == fresh;
    assert_eq!((first, again, late, untouched), (Some(0), Some(3), Some(1), true));
}

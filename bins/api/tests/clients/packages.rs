//! The clients of npm and PyPI: fetched once into the target directory, and run.
//!
//! The first test that wants them fetches them with the machine's own npm and pip, as their settings say, in the versions
//! that the lock files name. A lock on the folder keeps other test processes out meanwhile; a stamp tells when the folder is
//! older than the lock file. Nothing has to be prepared, neither by a contributor before `just e2e` nor in `.ci/run`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, sync::OnceCell, time::timeout};

/// How long a package manager may take, which may have to wait for a network.
const FETCHING: Duration = Duration::from_secs(300);
/// How long a client program may take on a machine that runs all tests at once.
const RUNNING: Duration = Duration::from_secs(60);

/// A folder of our sources with the packages that they use.
struct Folder {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Another version of this program needs other packages, and so do other names in this file.
    program: &'static str,
    lock: &'static str,
}

const NODE: Folder = Folder {
    name: "node",
    files: &[
        ("package.json", include_str!("node/package.json")),
        ("package-lock.json", include_str!("node/package-lock.json")),
        ("common.mjs", include_str!("node/common.mjs")),
        ("openid-client.mjs", include_str!("node/openid-client.mjs")),
        ("oauth4webapi.mjs", include_str!("node/oauth4webapi.mjs")),
        ("standardwebhooks.mjs", include_str!("node/standardwebhooks.mjs")),
    ],
    program: "node",
    lock: include_str!("node/package-lock.json"),
};

const PYTHON: Folder = Folder {
    name: "python",
    files: &[
        ("requirements.txt", include_str!("python/requirements.txt")),
        ("authlib_client.py", include_str!("python/authlib_client.py")),
    ],
    program: "python3",
    lock: include_str!("python/requirements.txt"),
};

/// Where the packages are, or why there are none: said by every test that wants them, tried once.
type Ready = OnceCell<Result<PathBuf, String>>;

/// The packages of npm.
async fn of_npm() -> &'static Path {
    static READY: Ready = OnceCell::const_new();
    READY.get_or_init(|| NODE.prepared(fetch_node)).await.as_ref().unwrap_or_else(|failure| panic!("{failure}"))
}

/// A country database that is free to use: the package declares CC0-1.0, its text CC BY 4.0 by the NRO.
pub(crate) async fn countries() -> PathBuf {
    of_npm().await.join("node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb")
}

/// Runs a program of `node/` with a step and settings; answers what it reports.
pub(crate) async fn node(program: &str, step: &str, settings: &Value) -> Value {
    let folder = of_npm().await;
    report(Command::new("node").arg(folder.join(program)).arg(step).arg(settings.to_string())).await
}

/// The same of `python/`.
pub(crate) async fn python(program: &str, step: &str, settings: &Value) -> Value {
    static READY: Ready = OnceCell::const_new();
    let folder = READY
        .get_or_init(|| PYTHON.prepared(fetch_python))
        .await
        .as_ref()
        .unwrap_or_else(|failure| panic!("{failure}"));
    let python = folder.join("venv/bin/python");
    report(Command::new(python).arg(folder.join(program)).arg(step).arg(settings.to_string())).await
}

async fn fetch_node(folder: PathBuf) -> Result<String, String> {
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    output(Command::new("npm").args(arguments).current_dir(folder), FETCHING).await
}

async fn fetch_python(folder: PathBuf) -> Result<String, String> {
    let venv = folder.join("venv");
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), FETCHING).await?;
    let arguments = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
    let mut pip = Command::new(venv.join("bin/pip"));
    output(pip.args(arguments).arg(folder.join("requirements.txt")), FETCHING).await
}

impl Folder {
    /// Brings the folder to the state of the sources.
    async fn prepared(&self, fetch: impl AsyncFnOnce(PathBuf) -> Result<String, String>) -> Result<PathBuf, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(self.name);
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        // Held until this function ends; waiting for it must not stop the runtime.
        let _lock = tokio::task::spawn_blocking(|| lock.lock().map(|()| lock)).await.unwrap().unwrap();
        for (name, text) in self.files {
            let file = folder.join(name);
            // A program that another process runs at this moment is left alone.
            if fs::read_to_string(&file).ok().as_deref() != Some(text) {
                fs::write(file, text).unwrap();
            }
        }
        let stamp = folder.join("fetched");
        let wanted = output(Command::new(self.program).arg("--version"), RUNNING).await? + self.lock;
        if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
            let _ = fs::remove_file(&stamp);
            fetch(folder.clone()).await?;
            fs::write(stamp, wanted).unwrap();
        }
        Ok(folder)
    }
}

/// The JSON that a client program writes.
async fn report(program: &mut Command) -> Value {
    // A proxy of the machine is none for loopback.
    program.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let text = output(program, RUNNING).await.unwrap_or_else(|failure| panic!("{failure}"));
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no report: {text}"))
}

/// What a program writes, or how it failed.
async fn output(program: &mut Command, bound: Duration) -> Result<String, String> {
    program.stdin(Stdio::null()).kill_on_drop(true);
    let name = format!("{:?}", program.as_std().get_program());
    let Ok(done) = timeout(bound, program.output()).await else {
        return Err(format!("{name} does not end within {} s", bound.as_secs()));
    };
    let done = done.map_err(|error| format!("{name} can't be started: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(text(&done.stdout))
    } else {
        Err(format!("{name} failed: {}\n{}{}", done.status, text(&done.stdout), text(&done.stderr)))
    }
}

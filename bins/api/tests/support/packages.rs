//! Packages of npm and PyPI: fetched once into the target directory.
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

use tokio::{process::Command, sync::OnceCell, time::timeout};

/// How long a package manager may take, which may have to wait for a network.
pub(crate) const FETCHING: Duration = Duration::from_secs(300);
/// How long a client program may take on a machine that runs all tests at once.
pub(crate) const RUNNING: Duration = Duration::from_secs(60);

/// A folder of our sources with the packages that they use.
pub(crate) struct Folder {
    /// Where it lies under the target directory.
    pub(crate) name: &'static str,
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Another version of this program needs other packages, and so do other names in `lock`.
    pub(crate) program: &'static str,
    pub(crate) lock: &'static str,
}

/// Where the packages are, or why there are none: said by every test that wants them, tried once.
pub(crate) type Ready = OnceCell<Result<PathBuf, String>>;

/// Has npm fetch what the lock file of a folder names.
pub(crate) async fn fetch_node(folder: PathBuf) -> Result<String, String> {
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    output(Command::new("npm").args(arguments).current_dir(folder), FETCHING).await
}

impl Folder {
    /// Where it is, brought there by the first who asks.
    pub(crate) async fn ready<'r>(
        &self,
        ready: &'r Ready,
        fetch: impl AsyncFnOnce(PathBuf) -> Result<String, String>,
    ) -> &'r Path {
        let found = ready.get_or_init(|| self.prepared(fetch)).await;
        found.as_ref().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Brings the folder to the state of the sources.
    async fn prepared(&self, fetch: impl AsyncFnOnce(PathBuf) -> Result<String, String>) -> Result<PathBuf, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name);
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

/// What a program writes, or how it failed.
pub(crate) async fn output(program: &mut Command, bound: Duration) -> Result<String, String> {
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

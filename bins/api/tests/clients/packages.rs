//! The clients of npm and PyPI, with the packages that they use.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::fetched::{FETCHING, Folder, RUNNING, Ready, fetch_node, output};

const NODE: Folder = Folder {
    name: "clients/node",
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
    name: "clients/python",
    files: &[
        ("requirements.txt", include_str!("python/requirements.txt")),
        ("authlib_client.py", include_str!("python/authlib_client.py")),
    ],
    program: "python3",
    lock: include_str!("python/requirements.txt"),
};

/// The packages of npm.
async fn of_npm() -> &'static Path {
    static READY: Ready = Ready::const_new();
    NODE.ready(&READY, fetch_node).await
}

/// Runs a program of `node/` with a step and settings; answers what it reports.
pub(crate) async fn node(program: &str, step: &str, settings: &Value) -> Value {
    let folder = of_npm().await;
    report(Command::new("node").arg(folder.join(program)).arg(step).arg(settings.to_string())).await
}

/// The same of `python/`.
pub(crate) async fn python(program: &str, step: &str, settings: &Value) -> Value {
    static READY: Ready = Ready::const_new();
    let folder = PYTHON.ready(&READY, fetch_python).await;
    let python = folder.join("venv/bin/python");
    report(Command::new(python).arg(folder.join(program)).arg(step).arg(settings.to_string())).await
}

async fn fetch_python(folder: PathBuf) -> Result<String, String> {
    let venv = folder.join("venv");
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), FETCHING).await?;
    let arguments = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
    let mut pip = Command::new(venv.join("bin/pip"));
    output(pip.args(arguments).arg(folder.join("requirements.txt")), FETCHING).await
}

/// The JSON that a client program writes.
async fn report(program: &mut Command) -> Value {
    // A proxy of the machine is none for loopback.
    program.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let text = output(program, RUNNING).await.unwrap_or_else(|failure| panic!("{failure}"));
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no report: {text}"))
}

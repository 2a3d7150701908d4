//! Which processes are the server of a cluster.
//!
//! A process id in a file says little: the process may have ended, and the id may be another program's by now. A
//! process is taken for the server only when it runs as the account of the cluster and works in its data folder,
//! which every process of PostgreSQL does.

use crate::account::Account;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;

/// Whether this process belongs to the server that works in `data` as this account.
#[cfg(target_os = "linux")]
pub(crate) fn works_in(pid: i32, data: &Path, account: Account) -> bool {
    !filter(&[pid], data, account).is_empty()
}

/// All processes of the server that works in `data` as this account, also those whose postmaster is gone.
#[cfg(target_os = "linux")]
pub(crate) fn all_in(data: &Path, account: Account) -> Vec<i32> {
    let entries = Path::new("/proc").read_dir().into_iter().flatten().flatten();
    let pids: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    filter(&pids, data, account)
}

#[cfg(target_os = "linux")]
fn filter(pids: &[i32], data: &Path, account: Account) -> Vec<i32> {
    use std::os::unix::fs::MetadataExt;
    let Ok(data_found) = data.metadata() else {
        return Vec::new();
    };
    let (mut found, mut unseen) = (Vec::new(), Vec::new());
    for pid in pids {
        let folder = Path::new("/proc").join(pid.to_string());
        if !folder.metadata().is_ok_and(|found| found.uid() == account.uid()) {
            continue;
        }
        match folder.join("cwd").metadata() {
            Ok(cwd) if cwd.dev() == data_found.dev() && cwd.ino() == data_found.ino() => found.push(*pid),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => unseen.push(*pid),
            _ => {}
        }
    }
    // Root in a container lacks the capability to look into the processes of others; they may look into their own.
    found.extend(ask(&unseen, data, account));
    found
}

/// Which of these processes work in `data`, as a program of the account sees it.
#[cfg(target_os = "linux")]
fn ask(pids: &[i32], data: &Path, account: Account) -> Vec<i32> {
    if pids.is_empty() || !crate::account::is_root() {
        return Vec::new();
    }
    let script = r#"for pid; do if [ "/proc/$pid/cwd" -ef "$0" ]; then echo "$pid"; fi; done"#;
    let mut command = account.command("sh");
    command.arg("-c").arg(script).arg(data).args(pids.iter().map(i32::to_string));
    let Ok(output) = Account::run(command, b"") else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether this process belongs to the server that works in `data` as this account; here by its command line, which
/// names the folder.
#[cfg(not(target_os = "linux"))]
pub(crate) fn works_in(pid: i32, data: &Path, account: Account) -> bool {
    let pid = pid.to_string();
    let output = std::process::Command::new("ps").args(["-ww", "-o", "uid=,command=", "-p", &pid]).output();
    let Ok(output) = output else { return false };
    let line = String::from_utf8_lossy(&output.stdout);
    let line = line.trim();
    line.split_whitespace().next() == Some(account.uid().to_string().as_str())
        && line.contains(&*data.to_string_lossy())
}

/// All processes of the server that works in `data`; here a server process does not tell its folder, so that only
/// PostgreSQL's own check of the shared memory guards against those whose postmaster is gone.
#[cfg(not(target_os = "linux"))]
pub(crate) fn all_in(_data: &Path, _account: Account) -> Vec<i32> {
    Vec::new()
}

/// Whether any process has this id.
pub(crate) fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// Sends a signal; a process that has ended meanwhile is no error.
pub(crate) fn send(pid: i32, signal: Signal) {
    if let Err(error) = kill(Pid::from_raw(pid), signal)
        && error != Errno::ESRCH
    {
        tracing::warn!(pid, %signal, %error, "could not signal postgresql");
    }
}

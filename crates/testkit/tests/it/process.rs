use statuspulse_testkit::{Process, eventually};

fn shell(script: &str) -> Process {
    Process::start("/bin/sh", ["-c", script], [("WORD", "port 17")])
}

#[tokio::test]
async fn a_line_is_waited_for_and_read() {
    let mut process = shell("echo starting; echo \"$WORD\" >&2; read -r never; exec cat");
    let port = process.line("the port", |line| line.strip_prefix("port ")?.parse::<u16>().ok());
    assert_eq!(port.await, 17);
}

#[tokio::test]
async fn a_dropped_process_is_gone() {
    let process = shell("exec sleep 60");
    let pid = nix::unistd::Pid::from_raw(process.pid().cast_signed());
    drop(process);
    eventually("the process is gone", async || nix::sys::signal::kill(pid, None).is_err()).await;
}

#[tokio::test]
async fn the_end_of_a_process_is_seen_with_all_of_its_output() {
    let mut process = shell("echo out; echo err >&2; exit 3");
    let code = process.ended().await.code();
    assert_eq!((code, process.stdout(), process.stderr()), (Some(3), "out\n".into(), "err\n".into()));
}

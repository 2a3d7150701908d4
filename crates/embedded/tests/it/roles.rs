//! What other processes do: the test binary, started again with a role.

use crate::support::quick;
use statuspulse_embedded::ephemeral::Ephemeral;
use statuspulse_embedded::{Cluster, DataDirLock, prepare_data_dir};
use std::io::Read;
use std::path::PathBuf;

#[test]
#[ignore = "no test: other tests start it as a process of its own"]
fn role_of_another_process() {
    let Ok(role) = std::env::var("STATUSPULSE_TEST_ROLE") else {
        return;
    };
    let dir = PathBuf::from(std::env::var_os("STATUSPULSE_TEST_DIR").unwrap());
    match role.as_str() {
        "use" => {
            let cluster = Cluster::open(&quick(&dir)).unwrap();
            tell(&cluster.server_pid().unwrap().to_string());
            wait_for_end_of_input();
            tell(&format!("{:?}", cluster.close().unwrap()));
        }
        "lock" => {
            let _lock = DataDirLock::acquire(&prepare_data_dir(&dir).unwrap()).unwrap();
            tell("locked");
            wait_for_end_of_input();
        }
        "prepare" => match prepare_data_dir(&dir) {
            Ok(path) => tell(&format!("prepared {}", path.display())),
            Err(error) => tell(&error.to_string()),
        },
        "ephemeral" => {
            let cluster = Ephemeral::start(Some(&dir)).unwrap();
            tell(&cluster.server_pid().unwrap().to_string());
            wait_for_end_of_input();
            // An exit drops nothing.
            std::process::exit(0);
        }
        other => panic!("no such role: {other}"),
    }
}

fn tell(text: &str) {
    eprintln!("@@ {text}");
}

fn wait_for_end_of_input() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

//! How the server is configured.

use crate::place::PORT;
use std::path::Path;

/// How much a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// What was committed survives a loss of power.
    Full,
    /// For tests: fast, and lost with the machine.
    None,
}

/// The settings, given on the command line so that no file of the cluster overrides them.
pub(crate) fn settings(socket_dir: &Path, durability: Durability) -> Vec<String> {
    let socket_dir = format!("unix_socket_directories={}", socket_dir.display());
    let port = format!("port={PORT}");
    let fixed = [
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "cluster_name=statuspulse",
        "timezone=UTC",
        "log_timezone=UTC",
        "jit=off",
        // Statements carry credentials in their parameters, and the details of an error carry rows.
        "logging_collector=off",
        "log_destination=stderr",
        "log_line_prefix=%m [%p] ",
        "log_statement=none",
        "log_min_error_statement=panic",
        "log_min_duration_statement=-1",
        "log_parameter_max_length=0",
        "log_parameter_max_length_on_error=0",
        "log_error_verbosity=terse",
        "log_checkpoints=off",
    ];
    let sized: &[&str] = match durability {
        Durability::Full => &["max_connections=100", "shared_buffers=128MB"],
        Durability::None => &[
            "max_connections=300",
            "shared_buffers=32MB",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "autovacuum=off",
        ],
    };
    let texts = fixed.iter().chain(sized).map(|text| (*text).to_owned());
    [socket_dir, port].into_iter().chain(texts).collect()
}

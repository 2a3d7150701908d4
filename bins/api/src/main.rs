//! The server's program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    statuspulse_auth::run().await
}

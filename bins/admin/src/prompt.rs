//! What is read from standard input: an answer, or a password.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use statuspulse_app::passwords::Password;
use zeroize::Zeroizing;

use crate::error::CliError;

/// More than any password has, less than a mistaken file.
const LONGEST_INPUT: u64 = 4_096;

/// Whether somebody is there to be asked.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a `yes`, on standard error. Anything else, and the end of the input, is a no.
pub(crate) async fn confirm(question: &str) -> Result<bool, CliError> {
    let failed = |source| CliError::Io { what: "can't ask", source };
    let mut stderr = io::stderr();
    write!(stderr, "{question} Type `yes` to go on: ").and_then(|()| stderr.flush()).map_err(failed)?;
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A thread that nobody waits for: a read from a terminal can't be given up, the program can.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().take(LONGEST_INPUT).read_line(&mut line);
        let _ = answer.send(read.map(|_| line.trim() == "yes"));
    });
    answered.await.unwrap_or(Ok(false)).map_err(failed)
}

/// Reads a password.
pub(crate) fn password() -> Result<Password, CliError> {
    secret_line("--password-stdin", "password").map(Password::new)
}

/// Reads a secret: the first line of standard input, which is not a terminal, where it would be shown.
pub(crate) fn secret_line(flag: &str, what: &str) -> Result<String, CliError> {
    let usage = |text: String| CliError::Usage(text);
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(usage(format!("{flag} reads from a pipe or file; a terminal would show the {what}")));
    }
    let mut text = Zeroizing::new(String::new());
    let read = stdin.lock().take(LONGEST_INPUT).read_line(&mut text);
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(usage(format!("the {what} is not UTF-8")));
        }
        other => other.map_err(|source| CliError::Io { what: "can't read standard input", source })?,
    };
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err(usage(format!("{flag}: there is no {what} on standard input")));
    }
    Ok(line.to_owned())
}

use statuspulse_app::{
    boot::BootError,
    doctor::{self, Check, Diagnosis, Status},
};

use super::Context;
use crate::{
    error::CliError,
    output::{Output, escaped},
};

pub(crate) async fn run(context: &Context) -> Result<(), CliError> {
    tell(context.output, &doctor::examine(&context.app).await)
}

/// An installation that can't even be opened.
pub(crate) fn unopened(output: Output, error: &BootError) -> Result<(), CliError> {
    tell(output, &Diagnosis::from(vec![Check::new("start", Status::Failed, error.to_string())]))
}

fn tell(output: Output, diagnosis: &Diagnosis) -> Result<(), CliError> {
    output.answer(diagnosis, |_| {
        let lines = diagnosis.checks.iter().map(|check| {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Warning => "warning",
                Status::Failed => "FAILED",
            };
            format!("{status:<7}  {:<14}  {}", check.name, escaped(&check.detail))
        });
        lines.collect::<Vec<_>>().join("\n")
    })?;
    match diagnosis.checks.iter().filter(|check| check.status == Status::Failed).count() {
        0 => Ok(()),
        failed => Err(CliError::Unwell(failed)),
    }
}

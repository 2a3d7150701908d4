use serde_json::json;

use super::Context;
use crate::error::CliError;

/// Opening the database has applied them.
pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    context.output.answer(&json!({"applied": context.migrated}), |_| {
        if context.migrated.is_empty() {
            return "the database is up to date".to_owned();
        }
        context.migrated.iter().map(|step| format!("applied {step}")).collect::<Vec<_>>().join("\n")
    })
}

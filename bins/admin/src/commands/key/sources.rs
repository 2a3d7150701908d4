use serde::Serialize;
use serde_json::Value;
use statuspulse_app::keys;
use statuspulse_policy::{Cidr, KeyId};

use crate::{
    commands::Context,
    error::CliError,
    output::{readable, table},
};

#[derive(Serialize)]
struct Preview {
    calls: i64,
    would_be_blocked: i64,
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct Source {
    network: Value,
    country: Option<String>,
    calls: i64,
    blocked: i64,
}

pub(super) async fn preview(
    context: &Context,
    id: KeyId,
    entries: Vec<String>,
    days: Option<i64>,
) -> Result<(), CliError> {
    let access = keys::operator_access(&context.app, id).await?;
    let found = keys::preview(&context.app, &context.caller, &access, id, Some(entries), days).await?;
    let by_network = found.sources.into_iter().map(|source| Source {
        network: serde_json::to_value(source.network).unwrap_or_default(),
        country: source.country,
        calls: source.calls,
        blocked: source.blocked,
    });
    let answer =
        Preview { calls: found.calls, would_be_blocked: found.would_be_blocked, sources: by_network.collect() };
    context.output.answer(&answer, |answer| {
        let told = format!("{} of {} calls would have been refused", answer["would_be_blocked"], answer["calls"]);
        if answer["sources"].as_array().is_some_and(|list| !list.is_empty()) {
            let columns = ["network", "country", "calls", "blocked"];
            format!("{told}\n\n{}", table(&answer["sources"], &columns))
        } else {
            told
        }
    })
}

#[derive(Serialize)]
struct Suggestions {
    unused_scopes: Vec<String>,
    allowlist: Vec<Cidr>,
    basis: Basis,
}

#[derive(Serialize)]
struct Basis {
    days: i64,
    calls: i64,
}

pub(super) async fn suggest(context: &Context, id: KeyId) -> Result<(), CliError> {
    let access = keys::operator_access(&context.app, id).await?;
    let found = keys::suggest(&context.app, &context.caller, &access, id).await?;
    let (calls, days) = (found.calls, found.days);
    let answer =
        Suggestions { unused_scopes: found.unused_scopes, allowlist: found.allowlist, basis: Basis { days, calls } };
    context.output.answer(&answer, |answer| {
        format!(
            "from {calls} accepted calls of {days} days\nunused scopes  {}\nallowlist      {}",
            readable(&answer["unused_scopes"]),
            readable(&answer["allowlist"])
        )
    })
}

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use statuspulse_app::alerts::backtest::{self, Question, Tried};
use statuspulse_audit::{
    AlertRule,
    anomaly::{Counting, Would},
    record::instant,
};

use super::parse_rule;
use crate::{
    commands::{
        Context,
        audit::{Progress, drained},
        parse_moment,
    },
    error::CliError,
    output::table,
};

const COLUMNS: [&str; 6] = ["opened", "subject", "count", "severity", "until", "sources"];

#[derive(Debug, Args)]
pub(crate) struct BacktestArgs {
    /// The rule, such as `call_rate`.
    #[arg(long, value_parser = parse_rule)]
    rule: AlertRule,
    /// Events from this moment on, such as `2030-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: DateTime<Utc>,
    /// Events before this moment.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: DateTime<Utc>,
    /// Slug of the organization [default: all, and what belongs to none].
    #[arg(long)]
    org: Option<String>,
    /// In place of the rule's own: a rate opens at more, happenings at as many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    threshold: Option<u64>,
}

impl BacktestArgs {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let question = Question { rule: self.rule, threshold: self.threshold, from: self.from, to: self.to };
        question.check()?;
        let access = match &self.org {
            Some(org) => Some(context.access(org).await?),
            None => None,
        };
        drained(context).await?;
        let mut progress = Progress::new();
        let tell = |events| progress.tell(events);
        let tried = backtest::run(&context.app, &context.caller, access.as_ref(), &question, tell).await;
        progress.end();
        let tried = tried?;
        context.output.answer(&self.answer(&tried), |answer| {
            let items = answer.get("would_open").and_then(Value::as_array).into_iter().flatten();
            table(&items.map(row).collect(), &COLUMNS)
        })?;
        let number = match tried.would_open.len() {
            1 => "1 alert".to_owned(),
            number => format!("{number} alerts"),
        };
        let opens_at = match self.rule.rule().counting {
            Counting::Peak => "more than ",
            Counting::Happenings => "",
        };
        context.output.note(&format!(
            "{} events were read: `{}` at {opens_at}{} would have opened {number}",
            tried.events,
            self.rule.as_str(),
            tried.threshold
        ));
        Ok(())
    }

    fn answer(&self, tried: &Tried) -> Value {
        json!({
            "rule": self.rule.as_str(),
            "threshold": tried.threshold,
            "from": instant(self.from),
            "to": instant(self.to),
            "events": tried.events,
            "would_open": tried.would_open.iter().map(shown).collect::<Vec<_>>(),
        })
    }
}

fn shown(would: &Would) -> Value {
    json!({
        "subject": {"kind": would.subject_kind, "id": would.subject},
        "organization_id": would.organization,
        "opened_at": instant(would.opened_at),
        "last_seen_at": instant(would.last_seen_at),
        "resolved_at": would.resolved_at.map(instant),
        "count": would.count,
        "peak": would.peak,
        "severity": would.severity.as_str(),
        "routes": would.routes,
        "sources": would.sources,
        "events": would.events,
    })
}

/// One alert as a row.
fn row(would: &Value) -> Value {
    let text = |pointer: &str| would.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let field = |name: &str| would.get(name).cloned().unwrap_or_default();
    let until = match text("/resolved_at") {
        "" => "open at the end",
        at => at,
    };
    json!({
        "opened": field("opened_at"),
        "subject": format!("{} {}", text("/subject/kind"), text("/subject/id")),
        "count": field("count"),
        "severity": field("severity"),
        "until": until,
        "sources": field("sources"),
    })
}

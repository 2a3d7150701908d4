//! Which alerts a rule would have opened over the past, by what the audit trail holds. Nothing is opened, and nobody is told.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use statuspulse_audit::{
    Action, AlertRule,
    anomaly::backtest::{Backtest, NotFromTrail, Would},
};
use statuspulse_policy::OrganizationId;
use statuspulse_store::audit::{
    checkpoints,
    trail::{self, Filter, Order, Place},
};

use crate::{
    app::App,
    audit::{read, until::Until},
    caller::{Access, Caller},
    error::AppError,
};

/// Events that are read at once.
const PAGE: i64 = 2_000;

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The rule.
    pub rule: AlertRule,
    /// In place of the rule's own.
    pub threshold: Option<u64>,
    /// Events from this moment on.
    pub from: DateTime<Utc>,
    /// Events before this moment.
    pub to: DateTime<Utc>,
}

impl Question {
    /// Whether it can be answered at all.
    ///
    /// # Errors
    /// 409 for a rule that the trail can't tell or a threshold that it doesn't have, 422 for a span that ends before it
    /// begins.
    pub fn check(&self) -> Result<(), AppError> {
        self.prepare().map(drop)
    }

    fn prepare(&self) -> Result<Backtest, AppError> {
        let backtest = Backtest::new(self.rule, self.threshold)?;
        if self.from >= self.to {
            return Err(AppError::field("to", "out_of_order", "a span ends behind its beginning"));
        }
        Ok(backtest)
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Tried {
    /// The threshold that was tried.
    pub threshold: u64,
    /// Events that were read.
    pub events: u64,
    /// The alerts, the oldest first.
    pub would_open: Vec<Would>,
}

/// Tries a rule on the trail of an organization, or for an operator of all. `progress` is told how many events are read.
///
/// # Errors
/// Those of [`Question::check`], 403, 503.
pub async fn run(
    app: &Arc<App>,
    caller: &Caller,
    access: Option<&Access>,
    question: &Question,
    mut progress: impl FnMut(u64),
) -> Result<Tried, AppError> {
    let mut backtest = question.prepare()?;
    let threshold = backtest.threshold();
    let Question { rule, from, to, .. } = *question;
    let organization: Option<OrganizationId> = access.map(|access| access.organization.id);
    let filter = Filter { organization, from: Some(from), to: Some(to), ..Filter::default() };
    app.recorder.settle().await;
    if let Some(access) = access {
        read::may_read(&mut *app.conn().await?, caller, access, &filter).await?;
    }
    read::note(app, caller, Action::AuditRead, organization, &filter, |event| {
        event.with("alert_rule", rule.as_str()).with("threshold", threshold)
    })
    .await?;
    let heads = checkpoints::heads(&mut *app.conn().await?, DateTime::UNIX_EPOCH).await?;
    // What is written meanwhile would be read in part.
    let mut until = Until::new(heads.into_iter().map(|head| (head.stream, head.sequence)));
    let (mut after, mut events): (Option<Place>, u64) = (None, 0);
    loop {
        let mut conn = app.conn().await?;
        let records = trail::page(&mut conn, &filter, Order::OldestFirst, after, PAGE).await?;
        until.next_page();
        for record in &records {
            if !until.is_new(&mut conn, record).await? {
                backtest.see(&record.entry);
                events += 1;
            }
        }
        progress(events);
        after = records.last().map(Place::from).or(after);
        if i64::try_from(records.len()).unwrap_or(PAGE) < PAGE {
            break;
        }
    }
    // Of what is to come nobody knows that it will be calm.
    let would_open = backtest.finish(to.min(app.env.now()));
    Ok(Tried { threshold, events, would_open })
}

impl From<NotFromTrail> for AppError {
    fn from(refusal: NotFromTrail) -> Self {
        let code = match refusal {
            NotFromTrail::Unwritten { .. } => "not_from_trail",
            NotFromTrail::NoThreshold(_) => "no_threshold",
        };
        Self::conflict(code, refusal.to_string())
    }
}

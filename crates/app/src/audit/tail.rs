//! Following the trail as it grows.
//!
//! Records come late and out of order: a tailer writes what happened up to a batch ago, or an outage. So what was shown is not
//! remembered by time but by how far each stream has come, which knows no holes: nothing is repeated, and nothing skipped.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use statuspulse_audit::{Action, Record};
use statuspulse_store::audit::{
    checkpoints,
    trail::{self, Filter, Order, Place, Stretch},
};
use uuid::Uuid;

use super::{read, until::Until};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::AppError,
};

/// Records of one stream that are taken at once.
const TAKEN: i64 = 2_000;
/// How long ago a stream moved that is looked at. Far more than clocks differ.
const MOVED: Duration = Duration::days(1);

/// Somebody who follows the trail.
#[derive(Debug)]
pub struct Tail {
    app: Arc<App>,
    filter: Filter,
    /// How far each stream was shown: 24 bytes for each start of a process.
    shown: HashMap<Uuid, i64>,
    /// Number of the newest checkpoint at the look before.
    checkpoint: i64,
    /// Earliest time of what was found and not taken yet.
    since: Option<DateTime<Utc>>,
}

/// The newest events of an organization, or for an operator of all, oldest first; and what follows them.
///
/// # Errors
/// 403, 503.
pub async fn begin(
    app: &Arc<App>,
    caller: &Caller,
    access: Option<&Access>,
    filter: Filter,
    limit: usize,
) -> Result<(Vec<Record>, Tail), AppError> {
    let organization = access.map(|access| access.organization.id);
    let filter = Filter { organization, ..filter };
    let mut conn = app.conn().await?;
    if let Some(access) = access {
        read::may_read(&mut conn, caller, access, &filter).await?;
    }
    drop(conn);
    read::note(app, caller, Action::AuditRead, organization, &filter, |event| event.with("follow", true)).await?;
    let mut conn = app.conn().await?;
    let checkpoint = checkpoints::newest(&mut conn).await?.map_or(0, |newest| newest.number);
    let heads = checkpoints::heads(&mut conn, DateTime::UNIX_EPOCH).await?;
    let shown: HashMap<_, _> = heads.iter().map(|head| (head.stream, head.sequence)).collect();
    let mut until = Until::new(shown.clone());
    let mut newest: Vec<Record> = Vec::new();
    let mut after: Option<Place> = None;
    while newest.len() < limit {
        let wanted = i64::try_from(limit - newest.len()).unwrap_or(TAKEN).clamp(1, TAKEN);
        let records = trail::page(&mut conn, &filter, Order::NewestFirst, after, wanted).await?;
        let is_last = i64::try_from(records.len()).unwrap_or(wanted) < wanted;
        after = records.last().map(Place::from).or(after);
        until.next_page();
        for record in records {
            // What was written since is shown as what follows.
            if !until.is_new(&mut conn, &record).await? {
                newest.push(record);
            }
        }
        if is_last {
            break;
        }
    }
    newest.reverse();
    Ok((newest, Tail { app: Arc::clone(app), filter, shown, checkpoint, since: None }))
}

impl Tail {
    /// What was written since, in the order in which it happened; of a stream at most so much that memory stays small, and
    /// the rest the next time.
    ///
    /// # Errors
    /// When the database can't be reached; nothing is lost by asking again.
    pub async fn next(&mut self) -> Result<Vec<Record>, AppError> {
        let mut conn = self.app.conn().await?;
        let newest = checkpoints::newest(&mut conn).await?.map_or(0, |newest| newest.number);
        let heads = checkpoints::heads(&mut conn, self.app.env.now() - MOVED).await?;
        let mut stretches = Vec::new();
        let mut since = self.since;
        let mut is_all = true;
        for head in heads {
            let behind = self.shown.get(&head.stream).copied().unwrap_or_default();
            if head.sequence > behind {
                let to = head.sequence.min(behind.saturating_add(TAKEN));
                is_all &= to == head.sequence;
                stretches.push(Stretch { stream: head.stream, behind, to });
                since = earlier(since, head.uncovered_since);
            }
        }
        if stretches.is_empty() {
            self.checkpoint = newest;
            return Ok(Vec::new());
        }
        // A head forgets when its events began once a checkpoint covers them; the checkpoint then knows.
        since = earlier(since, checkpoints::earliest_behind(&mut conn, self.checkpoint).await?);
        let records = trail::stretches(&mut conn, &self.filter, &stretches, since).await?;
        self.shown.extend(stretches.into_iter().map(|stretch| (stretch.stream, stretch.to)));
        // One that is made between the looks at checkpoints and heads is looked at twice.
        self.checkpoint = newest;
        self.since = since.filter(|_| !is_all);
        Ok(records)
    }
}

fn earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    [one, other].into_iter().flatten().min()
}

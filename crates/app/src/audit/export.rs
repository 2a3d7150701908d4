//! Exports: everything that is asked for, oldest first, in one of the formats. The event of an export is written before its
//! first byte.

use std::sync::Arc;

use statuspulse_audit::{Action, Record, export::Format};
use statuspulse_policy::{EventId, OrganizationId};
use statuspulse_store::audit::{
    checkpoints,
    trail::{self, Filter, Order, Place},
};

use super::{read, until::Until};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::AppError,
};

/// Events that are read at once.
const PAGE: i64 = 2_000;

/// An export that is under way: a page after the other, in memory that doesn't grow.
#[derive(Debug)]
pub struct Export {
    app: Arc<App>,
    format: Format,
    filter: Filter,
    after: Option<Place>,
    /// What is written since it began is left out: with some of it and not all, the export would have holes.
    until: Until,
    begun: bool,
    ended: bool,
    events: u64,
}

/// A piece of an export.
#[derive(Debug)]
pub struct Chunk {
    /// Whole lines.
    pub bytes: Vec<u8>,
    /// The place behind them: where an export that breaks off can go on.
    pub place: Option<Place>,
}

/// Begins an export of an organization, or by an operator of all.
///
/// # Errors
/// 403, 503.
pub async fn begin(
    app: &Arc<App>,
    caller: &Caller,
    access: Option<&Access>,
    format: Format,
    filter: Filter,
    after: Option<Place>,
) -> Result<Export, AppError> {
    let organization: Option<OrganizationId> = access.map(|access| access.organization.id);
    let filter = Filter { organization, ..filter };
    app.recorder.settle().await;
    if let Some(access) = access {
        read::may_read(&mut *app.conn().await?, caller, access, &filter).await?;
    }
    read::note(app, caller, Action::AuditExport, organization, &filter, |event| event.with("format", format.as_str()))
        .await?;
    let heads = checkpoints::heads(&mut *app.conn().await?, chrono::DateTime::UNIX_EPOCH).await?;
    let until = Until::new(heads.into_iter().map(|head| (head.stream, head.sequence)));
    Ok(Export { app: Arc::clone(app), format, filter, after, until, begun: false, ended: false, events: 0 })
}

/// The place of the last event that somebody has received: an export goes on behind it.
///
/// # Errors
/// 422 where the organization has no such event, or has it no more; 503.
pub async fn behind(app: &App, access: Option<&Access>, event: &str) -> Result<Place, AppError> {
    let unknown = || {
        let detail = "give the id of the last event that arrived; where it has left the trail, begin anew with `from`";
        AppError::field("after", "unknown_event", detail)
    };
    let id: EventId = event.parse().map_err(|_| unknown())?;
    let organization = access.map(|access| access.organization.id);
    let found = trail::find(&mut *app.conn().await?, organization, id).await?;
    found.as_ref().map(Place::from).ok_or_else(unknown)
}

impl Export {
    /// The media type of what follows: one that goes on has no header line.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match (self.format, self.after) {
            (Format::Csv, Some(_)) => "text/csv; charset=utf-8; header=absent",
            (format, _) => format.content_type(),
        }
    }

    /// The form of the lines.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The next lines; none at the end.
    ///
    /// # Errors
    /// When the database can't be reached: the export breaks off.
    pub async fn next(&mut self) -> Result<Option<Chunk>, AppError> {
        if self.ended {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        if !self.begun {
            self.begun = true;
            // One that goes on has its header already.
            if self.after.is_none()
                && let Some(header) = self.format.header()
            {
                bytes.extend_from_slice(header.as_bytes());
            }
        }
        let mut conn = self.app.conn().await?;
        let records = trail::page(&mut conn, &self.filter, Order::OldestFirst, self.after, PAGE).await?;
        self.until.next_page();
        for record in &records {
            if !self.until.is_new(&mut conn, record).await? {
                self.write(record, &mut bytes)?;
                self.events += 1;
            }
        }
        self.ended = i64::try_from(records.len()).unwrap_or(PAGE) < PAGE;
        self.after = records.last().map(Place::from).or(self.after);
        Ok(Some(Chunk { bytes, place: self.after }))
    }

    /// Events so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    fn write(&self, record: &Record, bytes: &mut Vec<u8>) -> Result<(), AppError> {
        self.format.write(record, bytes).map_err(|error| AppError::internal(error.to_string()))
    }
}

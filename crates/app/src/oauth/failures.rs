//! The refused exchanges of an app, with the true reason, for its owner (oauth §2.9). The wire stays vague.

use statuspulse_policy::AppId;
use statuspulse_store::{
    audit::uses::{self, Failure},
    oauth::apps,
    page::Position,
};

use crate::{app::App, caller::Access, cursor, error::AppError};

const DEFAULT_PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 200;

/// A page of refused exchanges.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub items: Vec<Failure>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// The refused exchanges of an app, newest first.
///
/// # Errors
/// 404, 400 `invalid_cursor`, 422 for a page out of bounds, 503.
pub async fn list(
    app: &App,
    access: &Access,
    id: AppId,
    limit: Option<i64>,
    after: Option<&str>,
) -> Result<Page, AppError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(AppError::field("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    let filters = id.to_string();
    let list = cursor::List { name: "failures", organization: access.organization.id, filters: &filters };
    let after: Option<Position> = after.map(|text| cursor::read(&app.secrets, &list, text)).transpose()?;
    app.recorder.settle().await;
    let mut conn = app.conn().await?;
    apps::find(&mut conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("app"))?;
    let mut items = uses::failures_of_app(&mut conn, id, after, limit + 1).await?;
    let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|failure| {
        cursor::write(&app.secrets, &list, Position { created_at: failure.occurred_at, id: failure.id })
    });
    Ok(Page { items, next_cursor })
}

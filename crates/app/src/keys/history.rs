//! What has become of a key: its versions, and what it did by the hour.

use chrono::{DateTime, Duration, DurationRound as _, Utc};
use statuspulse_keys::{KeyVersion, Standing, VersionState};
use statuspulse_policy::KeyId;
use statuspulse_store::{
    habits::{self, Hour, Stay},
    keys,
};

use crate::{
    app::App,
    caller::Access,
    cursor::{self, List},
    error::AppError,
};

/// Versions of a page where no number is asked for.
const PAGE: i64 = 50;
/// Days of usage where none are asked for.
const USAGE_DAYS: i64 = 7;
/// Days of usage, at most: as long as hours are kept.
const USAGE_MOST: i64 = 8;

/// A version as it is shown: nothing of its secret but the hint.
#[derive(Debug, Clone)]
pub struct VersionView {
    /// Number within the key, from 1.
    pub number: i32,
    /// What may be shown of the token; none for a successor that waits.
    pub hint: Option<String>,
    /// What it is now.
    pub standing: Standing,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its end under today's caps.
    pub expires_at: DateTime<Utc>,
    /// When it stops: the earlier of `expires_at` and the end of its overlap or its revocation.
    pub valid_until: DateTime<Utc>,
    /// When it was picked up, where it was prepared as a successor.
    pub claimed_at: Option<DateTime<Utc>>,
}

/// A page of versions.
#[derive(Debug)]
pub struct VersionPage {
    /// The versions, newest first.
    pub items: Vec<VersionView>,
    /// How to ask for the next page, if there is one.
    pub next_cursor: Option<String>,
}

/// The versions of a key, newest first. `limit` is 1 to 200, 50 where it is left out.
///
/// # Errors
/// 404, 422 for a limit out of bounds, 400 for a cursor of another list.
pub async fn versions(
    app: &App,
    access: &Access,
    id: KeyId,
    limit: Option<i64>,
    cursor: Option<&str>,
) -> Result<VersionPage, AppError> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=200).contains(&limit) {
        return Err(AppError::field("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    let filters = id.to_string();
    let list = List { name: "key versions", organization: access.organization.id, filters: &filters };
    let before = cursor.map(|cursor| cursor::read_number(&app.secrets, &list, cursor)).transpose()?;
    let before = before.map(|number| i32::try_from(number).unwrap_or(i32::MAX));
    let mut conn = app.conn().await?;
    let key = keys::find_key(&mut conn, access.organization.id, id).await?.ok_or(AppError::NotFound("key"))?;
    // One more than asked for says whether there is a next page.
    let mut rows = keys::versions_before(&mut conn, id, before, limit + 1).await?;
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let next = rows.last().filter(|_| more).map(|last| last.number);
    let (now, caps) = (app.env.now(), access.organization.settings.caps);
    let shown = |version: KeyVersion| {
        let expires_at = caps.effective_end(key.environment, version.created_at, version.expires_at);
        VersionView {
            standing: key.standing(&version, &caps, now),
            number: version.number,
            hint: Some(version.hint).filter(|_| version.state != VersionState::Pending),
            created_at: version.created_at,
            expires_at,
            valid_until: version.valid_until.min(expires_at),
            claimed_at: version.claimed_at,
        }
    };
    Ok(VersionPage {
        items: rows.into_iter().map(shown).collect(),
        next_cursor: next.map(|number| cursor::write_number(&app.secrets, &list, number.into())),
    })
}

/// What a key did by the hour, and from where.
#[derive(Debug)]
pub struct Usage {
    /// Begin of the first hour.
    pub from: DateTime<Utc>,
    /// End of the last hour, the present one.
    pub to: DateTime<Utc>,
    /// Every hour between the two, oldest first.
    pub hours: Vec<Hour>,
    /// Countries from which calls were ever accepted, the last one first.
    pub places: Vec<Stay>,
}

/// What a key did by the hour in 1 to 8 days, 7 where none are asked for. It is as fresh as instances write it: every ten
/// seconds, and later where the database was away.
///
/// # Errors
/// 404, 422 for days out of bounds.
pub async fn usage(app: &App, access: &Access, id: KeyId, days: Option<i64>) -> Result<Usage, AppError> {
    let days = days.unwrap_or(USAGE_DAYS);
    if !(1..=USAGE_MOST).contains(&days) {
        return Err(AppError::field("days", "out_of_bounds", "1 to 8 days"));
    }
    let present = app.env.now().duration_trunc(Duration::hours(1)).map_err(AppError::internal)?;
    let from = present - Duration::days(days) + Duration::hours(1);
    let mut conn = app.conn().await?;
    keys::find_key(&mut conn, access.organization.id, id).await?.ok_or(AppError::NotFound("key"))?;
    let noted = habits::hours_of(&mut conn, id, from).await?;
    let places = habits::places_of(&mut conn, id).await?;
    Ok(Usage { from, to: present + Duration::hours(1), hours: filled(id, from, days * 24, noted), places })
}

/// So many hours from a moment on, those in which nothing happened among them. What lies beyond, after a clock that was
/// ahead, is left out.
fn filled(key: KeyId, from: DateTime<Utc>, number: i64, noted: Vec<Hour>) -> Vec<Hour> {
    let mut noted = noted.into_iter().peekable();
    (0..number)
        .map(|place| {
            let hour = from + Duration::hours(place);
            while noted.next_if(|held| held.hour < hour).is_some() {}
            noted.next_if(|held| held.hour == hour).unwrap_or(Hour {
                key,
                hour,
                calls: 0,
                refused: 0,
                busiest_minute: 0,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(place: i64, calls: i64) -> Hour {
        let hour = DateTime::UNIX_EPOCH + Duration::hours(place);
        Hour { key: KeyId::from_uuid(uuid::Uuid::nil()), hour, calls, refused: 0, busiest_minute: calls }
    }

    fn calls(number: i64, noted: Vec<Hour>) -> Vec<(i64, i64)> {
        let hours = filled(KeyId::from_uuid(uuid::Uuid::nil()), DateTime::UNIX_EPOCH, number, noted);
        hours.iter().map(|hour| (hour.hour.timestamp() / 3600, hour.calls)).collect()
    }

    #[test]
    fn hours_in_which_nothing_happened_are_filled_in_with_zeros() {
        assert_eq!(calls(4, vec![hour(1, 5), hour(3, 7)]), [(0, 0), (1, 5), (2, 0), (3, 7)]);
    }

    #[test]
    fn hours_outside_of_the_range_are_left_out() {
        assert_eq!(calls(2, vec![hour(-1, 3), hour(1, 5), hour(2, 9)]), [(0, 0), (1, 5)]);
    }
}

//! Cursors of lists: a place, sealed to the list, its organization and its filters. A cursor from elsewhere, or one that
//! somebody has edited, is refused instead of showing another part of another list.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use statuspulse_policy::OrganizationId;
use statuspulse_store::{audit::trail::Place, page::Position};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{error::AppError, secrets::Secrets};

const SEAL: usize = 16;

/// What a cursor belongs to.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Name of the list.
    pub name: &'static str,
    /// Whose.
    pub organization: OrganizationId,
    /// Every filter, in a fixed form.
    pub filters: &'a str,
}

impl List<'_> {
    fn seal(&self, secrets: &Secrets, place: &[u8]) -> [u8; 32] {
        let organization = self.organization.as_uuid();
        secrets.cursor_seal(&[self.name.as_bytes(), organization.as_bytes(), self.filters.as_bytes(), place])
    }
}

/// The cursor of a place.
#[must_use]
pub fn write(secrets: &Secrets, list: &List<'_>, position: Position) -> String {
    seal(secrets, list, &[micros(position.created_at).as_slice(), position.id.as_bytes()].concat())
}

/// The place of a cursor.
///
/// # Errors
/// 400 `invalid_cursor`.
pub fn read(secrets: &Secrets, list: &List<'_>, cursor: &str) -> Result<Position, AppError> {
    let place: [u8; 24] = open(secrets, list, cursor)?;
    let (created_at, id) = place.split_at(8);
    Ok(Position { created_at: instant(created_at)?, id: Uuid::from_slice(id).map_err(|_| refused())? })
}

/// The cursor of a place of the trail.
#[must_use]
pub fn write_place(secrets: &Secrets, list: &List<'_>, place: Place) -> String {
    let (at, sequence) = (micros(place.occurred_at), place.sequence.to_be_bytes());
    seal(secrets, list, &[at.as_slice(), place.stream.as_bytes(), &sequence].concat())
}

/// The place of the trail of a cursor.
///
/// # Errors
/// 400 `invalid_cursor`.
pub fn read_place(secrets: &Secrets, list: &List<'_>, cursor: &str) -> Result<Place, AppError> {
    let place: [u8; 32] = open(secrets, list, cursor)?;
    let (at, rest) = place.split_at(8);
    let (stream, sequence) = rest.split_at(16);
    Ok(Place {
        occurred_at: instant(at)?,
        stream: Uuid::from_slice(stream).map_err(|_| refused())?,
        sequence: number(sequence)?,
    })
}

/// The cursor of a number, in a list that goes by numbers.
#[must_use]
pub fn write_number(secrets: &Secrets, list: &List<'_>, number: i64) -> String {
    seal(secrets, list, &number.to_be_bytes())
}

/// The number of a cursor.
///
/// # Errors
/// 400 `invalid_cursor`.
pub fn read_number(secrets: &Secrets, list: &List<'_>, cursor: &str) -> Result<i64, AppError> {
    Ok(i64::from_be_bytes(open(secrets, list, cursor)?))
}

fn seal(secrets: &Secrets, list: &List<'_>, place: &[u8]) -> String {
    let seal = list.seal(secrets, place);
    URL_SAFE_NO_PAD.encode([place, seal.split_at(SEAL).0].concat())
}

fn open<const N: usize>(secrets: &Secrets, list: &List<'_>, cursor: &str) -> Result<[u8; N], AppError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
    let (place, seal) = bytes.split_at_checked(N).filter(|(_, seal)| seal.len() == SEAL).ok_or_else(refused)?;
    if !bool::from(list.seal(secrets, place).split_at(SEAL).0.ct_eq(seal)) {
        return Err(refused());
    }
    place.try_into().map_err(|_| refused())
}

fn micros(at: DateTime<Utc>) -> [u8; 8] {
    at.timestamp_micros().to_be_bytes()
}

fn instant(bytes: &[u8]) -> Result<DateTime<Utc>, AppError> {
    DateTime::from_timestamp_micros(number(bytes)?).ok_or_else(refused)
}

fn number(bytes: &[u8]) -> Result<i64, AppError> {
    bytes.try_into().map(i64::from_be_bytes).map_err(|_| refused())
}

fn refused() -> AppError {
    AppError::BadRequest {
        code: "invalid_cursor",
        detail: "the cursor is not one of this list with these filters; start again without it".into(),
    }
}

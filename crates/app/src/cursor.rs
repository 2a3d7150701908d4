//! Cursors of lists: a place, sealed to the list, its organization and its filters. A cursor from elsewhere, or one that
//! somebody has edited, is refused instead of showing another part of another list.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use statuspulse_policy::OrganizationId;
use statuspulse_store::page::Position;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{error::AppError, secrets::Secrets};

const PLACE: usize = 24;
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
    let mut bytes = Vec::with_capacity(PLACE + SEAL);
    bytes.extend_from_slice(&position.created_at.timestamp_micros().to_be_bytes());
    bytes.extend_from_slice(position.id.as_bytes());
    let seal = list.seal(secrets, &bytes);
    bytes.extend_from_slice(seal.split_at(SEAL).0);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place of a cursor.
///
/// # Errors
/// 400 `invalid_cursor`.
pub fn read(secrets: &Secrets, list: &List<'_>, cursor: &str) -> Result<Position, AppError> {
    let refused = || AppError::BadRequest {
        code: "invalid_cursor",
        detail: "the cursor is not one of this list with these filters; start again without it".into(),
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
    let (place, seal) = bytes.split_at_checked(PLACE).filter(|(_, seal)| seal.len() == SEAL).ok_or_else(refused)?;
    if !bool::from(list.seal(secrets, place).split_at(SEAL).0.ct_eq(seal)) {
        return Err(refused());
    }
    let (micros, id) = place.split_at(8);
    let micros = micros.try_into().map(i64::from_be_bytes).map_err(|_| refused())?;
    Ok(Position {
        created_at: DateTime::from_timestamp_micros(micros).ok_or_else(refused)?,
        id: Uuid::from_slice(id).map_err(|_| refused())?,
    })
}

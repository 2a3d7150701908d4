//! Successors that travel sealed: an age file (X25519) for a recipient that only the holder can open (keys §7).

use std::io::Write as _;

use age::{
    Encryptor,
    armor::{ArmoredWriter, Format},
    x25519::Recipient,
};

use crate::error::AppError;

/// Reads a recipient: `age1…`, in lower case.
pub(super) fn recipient(text: &str) -> Option<Recipient> {
    // The library folds the case; whoever compares what is stored with what was given must not have to.
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Seals a text, ASCII-armoured.
///
/// # Errors
/// When the recipient is none.
pub(super) fn seal_to(to: &str, secret: &str) -> Result<String, AppError> {
    let recipient = recipient(to).ok_or_else(|| AppError::internal("the recipient is no age recipient"))?;
    let recipients = [&recipient as &dyn age::Recipient];
    let encryptor = Encryptor::with_recipients(recipients.into_iter()).map_err(AppError::internal)?;
    let mut sealed = Vec::new();
    let armour = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor).map_err(AppError::internal)?;
    let mut writer = encryptor.wrap_output(armour).map_err(AppError::internal)?;
    writer.write_all(secret.as_bytes()).map_err(AppError::internal)?;
    writer.finish().and_then(ArmoredWriter::finish).map_err(AppError::internal)?;
    String::from_utf8(sealed).map_err(AppError::internal)
}

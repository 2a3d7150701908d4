//! Passwords of people: Argon2id (RFC 9106) with 19 MiB, two passes, one lane.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{app::App, error::AppError};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The least and the most characters of a password (NIST SP 800-63B §3.1.1.2 asks for at least 8, and to accept 64).
const LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

/// A password; wiped when dropped, never shown.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password as it was typed; nothing is trimmed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A random one of 144 bits, for an account that is made without.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(app: &App) -> Result<Self, AppError> {
        Ok(Self::new(URL_SAFE_NO_PAD.encode(app.env.random::<18>()?)))
    }

    /// The text, for the one answer that shows a generated password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a new password may be chosen; `field` is where it was given.
    ///
    /// # Errors
    /// [`AppError::Invalid`] `password_length` on the field.
    pub fn check_strength(&self, field: &'static str) -> Result<(), AppError> {
        let length = self.0.chars().take(*LENGTH.end() + 1).count();
        if LENGTH.contains(&length) && !self.0.contains('\0') {
            Ok(())
        } else {
            Err(AppError::field(field, "password_length", "a password has 8 to 256 characters"))
        }
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// A password as it was given, or a generated one, with that to be shown.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn given_or_generated(app: &App, given: Option<Password>) -> Result<(Password, Option<Password>), AppError> {
    if let Some(given) = given {
        return Ok((given, None));
    }
    let generated = Password::generate(app)?;
    let shown = Password::new(generated.expose().to_owned());
    Ok((generated, Some(shown)))
}

fn argon2() -> Result<Argon2<'static>, AppError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(AppError::internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes a password behind the gate; answers a PHC string.
///
/// # Errors
/// When the gate's queue is full.
pub async fn hash(app: &App, password: Password) -> Result<String, AppError> {
    let salt = app.env.random::<16>()?;
    let argon2 = argon2()?;
    app.gate
        .run(move || {
            let hashed = argon2.hash_password_with_salt(password.0.as_bytes(), &salt);
            hashed.map(|hash| hash.to_string()).map_err(AppError::internal)
        })
        .await?
}

/// Whether a password fits a stored hash; without a hash it costs as much and never fits, so that an unknown account
/// looks and takes the same as a wrong password.
///
/// # Errors
/// When the gate's queue is full.
pub async fn verify(app: &App, password: Password, stored: Option<String>) -> Result<bool, AppError> {
    let argon2 = argon2()?;
    app.gate
        .run(move || match stored {
            Some(stored) => argon2.verify_password(password.0.as_bytes(), stored.as_str()).is_ok(),
            None => {
                let mut out = [0_u8; 32];
                // Only the time counts, so the compiler must not find out that nothing is done with it.
                let spent = argon2.hash_password_into(password.0.as_bytes(), b"no such account!", &mut out);
                std::hint::black_box((spent.is_ok(), out));
                false
            }
        })
        .await
}

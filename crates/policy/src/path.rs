//! One spelling of a path. Gateways and applications disagree about odd ones, and an attacker lives in the difference; so
//! what is ambiguous is refused and the rest has one form.

use std::borrow::Cow;

use crate::error::PathError;

/// The longest path that is read, in bytes, without scheme, host, query and fragment.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// A path in its one form: it begins with `/`, has no empty, `.` or `..` segment and no closing slash (but the root's own),
/// unreserved characters are not escaped, and the escapes that remain are in upper-case hex. Case is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

impl<'a> CanonicalPath<'a> {
    /// Reads a request target in origin form or absolute form. Allocates only where an escape has to be rewritten.
    ///
    /// # Errors
    /// Each [`PathError`]; such a path is under no rule.
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        let end = raw.bytes().position(|b| matches!(b, b'?' | b'#')).unwrap_or(raw.len());
        let target = raw.get(..end).unwrap_or_default();
        if target.bytes().any(|b| !(0x21..0x7f).contains(&b) || b == b'\\') {
            return Err(PathError::Character);
        }
        let path = origin_form(target)?;
        if path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let path = decode_unreserved(path)?;
        check_segments(&path)?;
        Ok(Self(without_closing_slash(path)))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        segments(&self.0)
    }
}

pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> + Clone {
    let body = path.strip_prefix('/').unwrap_or(path);
    body.split('/').take(if body.is_empty() { 0 } else { usize::MAX })
}

pub(crate) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `http://host/path` (RFC 9112 §3.2.2) is reduced to `/path`. A target without a path (`http://host`) is not taken for `/`.
fn origin_form(target: &str) -> Result<&str, PathError> {
    if target.starts_with('/') {
        return Ok(target);
    }
    let (scheme, rest) = target.split_once("://").ok_or(PathError::NotAbsolute)?;
    let is_scheme = scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    match rest.find('/') {
        Some(at) if at > 0 && is_scheme => rest.get(at..).ok_or(PathError::NotAbsolute),
        _ => Err(PathError::NotAbsolute),
    }
}

fn decode_unreserved(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.bytes().any(|b| b == b'%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = String::with_capacity(path.len());
    let mut parts = path.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (high, low) = match part.as_bytes() {
            [high, low, ..] => (hex(*high)?, hex(*low)?),
            _ => return Err(PathError::BrokenEscape),
        };
        let byte = high * 16 + low;
        if byte < 0x20 || matches!(byte, 0x7f | b'/' | b'\\' | b'%') {
            return Err(PathError::ForbiddenEscape);
        }
        let (escape, rest) = part.split_at_checked(2).ok_or(PathError::BrokenEscape)?;
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(escape.chars().map(|c| c.to_ascii_uppercase()));
        }
        out.push_str(rest);
    }
    Ok(if out == path { Cow::Borrowed(path) } else { Cow::Owned(out) })
}

fn hex(digit: u8) -> Result<u8, PathError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(PathError::BrokenEscape),
    }
}

fn check_segments(path: &str) -> Result<(), PathError> {
    let Some(body) = path.strip_prefix('/').filter(|body| !body.is_empty()) else {
        return Ok(());
    };
    for segment in body.strip_suffix('/').unwrap_or(body).split('/') {
        if segment.is_empty() {
            return Err(PathError::EmptySegment);
        }
        // `..;x` is `..` to servers that cut path parameters; some cut after decoding, so the escaped `;` counts too.
        if let Some(rest) = segment.strip_prefix('.') {
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            if rest.is_empty() || rest.starts_with(';') || rest.starts_with("%3B") {
                return Err(PathError::DotSegment);
            }
        }
    }
    Ok(())
}

fn without_closing_slash(path: Cow<'_, str>) -> Cow<'_, str> {
    if path.len() < 2 || !path.ends_with('/') {
        return path;
    }
    match path {
        Cow::Borrowed(path) => Cow::Borrowed(path.strip_suffix('/').unwrap_or(path)),
        Cow::Owned(mut path) => {
            path.pop();
            Cow::Owned(path)
        }
    }
}

#[cfg(test)]
mod tests;

//! Forms and queries (`application/x-www-form-urlencoded`), read strictly: a value that doesn't decode to UTF-8 without
//! U+0000 is marked, so that it can neither match anything nor reach the database (oauth §4.1).

use std::fmt;

use percent_encoding::percent_decode;
use zeroize::Zeroizing;

/// A value of a form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// It decodes.
    Text(&'a str),
    /// A broken escape, bytes that aren't UTF-8, or U+0000. It stands for no text at all.
    Broken,
}

impl<'a> Field<'a> {
    /// The text, if it is one.
    #[must_use]
    pub const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Broken => None,
        }
    }
}

/// A parameter that may be there once is there more often (RFC 6749 §3.1, §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a parameter is repeated")]
pub struct Repeated;

/// The parameters of a form or query, in order, decoded once.
#[derive(Clone, Default)]
pub struct Form {
    pairs: Vec<(Box<str>, Option<Zeroizing<String>>)>,
}

impl Form {
    /// Reads a body or query. Never fails: what can't be read is marked, and what to make of it is the reader's rule. A
    /// name that doesn't decode is that of no parameter.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut pairs = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, rest) = pair.split_at(equals);
            let Some(name) = decode(name) else { continue };
            pairs.push((name.as_str().into(), decode(rest.strip_prefix(b"=").unwrap_or(rest))));
        }
        Self { pairs }
    }

    /// A parameter that may be there once. An empty one counts as left out (RFC 6749 §3.1), but still as a repetition.
    ///
    /// # Errors
    /// [`Repeated`].
    pub fn one(&self, name: &str) -> Result<Option<Field<'_>>, Repeated> {
        let mut values = self.pairs.iter().filter(|(key, _)| &**key == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated);
        }
        Ok(first.map(|(_, value)| field(value)).filter(|value| *value != Field::Text("")))
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.pairs.iter().filter(move |(key, _)| &**key == name).map(|(_, value)| field(value))
    }

    /// The first of these parameters that is there more than once.
    #[must_use]
    pub fn repeated<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.all(name).nth(1).is_some())
    }
}

fn field(value: &Option<Zeroizing<String>>) -> Field<'_> {
    value.as_ref().map_or(Field::Broken, |text| Field::Text(text))
}

/// The values may be secrets.
impl fmt::Debug for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Form({} parameters)", self.pairs.len())
    }
}

/// Decodes a name or value once: `+` is a blank, `%XX` a byte. None when an escape is broken, the bytes aren't UTF-8, or
/// U+0000 is among them.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let mut spaced = Zeroizing::new(bytes.to_vec());
    for byte in spaced.iter_mut().filter(|byte| **byte == b'+') {
        *byte = b' ';
    }
    let whole = |at: usize| {
        let digits = spaced.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !spaced.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| whole(at)) {
        return None;
    }
    // In one piece from the start: a buffer that grows leaves parts of a secret behind that nobody wipes.
    let mut decoded = Zeroizing::new(Vec::with_capacity(spaced.len()));
    decoded.extend(percent_decode(&spaced));
    let text = std::str::from_utf8(&decoded).ok().filter(|text| !text.contains('\0'))?;
    Some(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests;

//! Resource indicators (RFC 8707): for whom a token is meant.

use crate::form::Field;

/// Resources of one request, at most.
const MOST: usize = 10;
/// Characters of one, at most.
const LONGEST: usize = 2_048;

/// A resource that this service doesn't know, or that was not granted (`invalid_target`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resource is unknown or was not granted")]
pub struct UnknownResource;

/// The resources that this service issues tokens for.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The public URL, which is also the issuer.
    pub public_url: &'a str,
    /// The catalog's audiences.
    pub audiences: &'a [String],
}

impl<'a> Known<'a> {
    /// The resource that a text names. The public URL has two spellings (RFC 3986 §6.2.3: an empty path is `/`), and
    /// clients use both; everything else is compared byte for byte.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&'a str> {
        if text == self.public_url || text.strip_suffix('/') == Some(self.public_url) {
            return Some(self.public_url);
        }
        self.audiences.iter().map(String::as_str).find(|known| *known == text)
    }
}

/// A set of resources, each in the spelling of the request that brought it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources(Vec<String>);

impl Resources {
    /// From a stored list.
    #[must_use]
    pub const fn from_stored(list: Vec<String>) -> Self {
        Self(list)
    }

    /// The list, as it becomes the audience of a token.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The resources of a request; the public URL when it names none.
    ///
    /// # Errors
    /// [`UnknownResource`].
    pub fn requested<'f>(fields: impl Iterator<Item = Field<'f>>, known: &Known<'_>) -> Result<Self, UnknownResource> {
        let mut list: Vec<String> = Vec::new();
        for field in fields {
            let Field::Text(text) = field else { return Err(UnknownResource) };
            if text.is_empty() {
                continue;
            }
            let there = text.len() <= LONGEST && known.find(text).is_some();
            if !there || list.len() >= MOST {
                return Err(UnknownResource);
            }
            if !list.iter().any(|held| known.find(held) == known.find(text)) {
                list.push(text.to_owned());
            }
        }
        if list.is_empty() {
            list.push(known.public_url.to_owned());
        }
        Ok(Self(list))
    }

    /// The part of a grant's resources that a token request names; all of them when it names none (RFC 8707 §2.2).
    ///
    /// # Errors
    /// [`UnknownResource`] when one was not granted.
    pub fn narrowed<'f>(
        &self,
        fields: impl Iterator<Item = Field<'f>>,
        known: &Known<'_>,
    ) -> Result<Self, UnknownResource> {
        let mut fields = fields.filter(|field| *field != Field::Text("")).peekable();
        if fields.peek().is_none() {
            return Ok(self.clone());
        }
        let asked = Self::requested(fields, known)?;
        if asked.0.iter().all(|text| self.contains(text, known)) { Ok(asked) } else { Err(UnknownResource) }
    }

    /// Whether a resource is one of these.
    #[must_use]
    pub fn contains(&self, text: &str, known: &Known<'_>) -> bool {
        let same = |held: &String| held == text || known.find(held).is_some_and(|held| known.find(text) == Some(held));
        self.0.iter().any(same)
    }

    /// Whether one of the caller's audiences is one of these.
    #[must_use]
    pub fn meet(&self, audiences: &[String], known: &Known<'_>) -> bool {
        audiences.iter().any(|audience| self.contains(audience, known))
    }

    /// Whether all of another set's are among these.
    #[must_use]
    pub fn cover(&self, other: &Self, known: &Known<'_>) -> bool {
        other.0.iter().all(|text| self.contains(text, known))
    }
}

#[cfg(test)]
mod tests;

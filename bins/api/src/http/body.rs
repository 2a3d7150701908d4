//! Bodies: bounded while they are read, JSON, and every error at its field.

use std::collections::BTreeSet;

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header::CONTENT_LENGTH,
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt as _;
use serde::{Deserialize as _, de::DeserializeOwned};
use serde_json::Value;
use statuspulse_app::{AppError, FieldError};

use super::error::ApiError;

/// The longest body: 64 KiB.
pub(crate) const LONGEST: usize = 64 * 1024;

/// Reads a body; one that is too long is refused before it is read, or where it gets too long.
pub(crate) async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, ApiError> {
    let too_long = || ApiError::http(413, "body_too_large", "a body has at most 64 KiB");
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LONGEST) {
        return Err(too_long());
    }
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|_| ApiError::http(400, "body_unreadable", "the body ended early or can't be read"))?;
        if body.len() + part.len() > LONGEST {
            return Err(too_long());
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

/// Whether a text may hold U+0000, which PostgreSQL's text can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nul {
    /// 422.
    Refused,
    /// The endpoint keeps none of its texts.
    Judged,
}

/// Reads JSON: 400 when it is none, 422 with all unknown fields, or the first field that is missing or of a wrong type.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8], nul: Nul) -> Result<T, ApiError> {
    let mut value: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::http(400, "invalid_json", format!("the body is not JSON: {}", short(&error))))?;
    if !value.is_object() {
        return Err(AppError::field("", "invalid_type", "the body is a JSON object").into());
    }
    if nul == Nul::Refused
        && let Some(field) = find_nul(&value, String::new())
    {
        return Err(AppError::field(field, "nul_character", "a text can't hold U+0000").into());
    }
    let mut unknown = BTreeSet::new();
    loop {
        // Read again without each unknown field that was met, so that all of them are named at once.
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(read) if unknown.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => error,
        };
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        let Some(name) = quoted(&message, "unknown field `") else {
            if unknown.is_empty() {
                return Err(field_error(&path, &message));
            }
            break;
        };
        if !unknown.insert(path.clone()) || !remove(&mut value, &path) {
            unknown.insert(name);
            break;
        }
    }
    let errors = unknown.into_iter().map(|field| FieldError::new(field, "unknown_field", "there is no such field"));
    Err(AppError::Invalid(errors.collect()).into())
}

fn field_error(path: &str, message: &str) -> ApiError {
    let path = if path == "." { "" } else { path };
    if let Some(name) = quoted(message, "missing field `") {
        let field = if path.is_empty() { name } else { format!("{path}.{name}") };
        return AppError::field(field, "required", "this field is needed").into();
    }
    AppError::field(path, "invalid_type", message.to_owned()).into()
}

fn quoted(message: &str, before: &str) -> Option<String> {
    let (name, _) = message.strip_prefix(before)?.split_once('`')?;
    Some(name.to_owned())
}

fn remove(value: &mut Value, path: &str) -> bool {
    match path.split_once('.') {
        None => value.as_object_mut().is_some_and(|object| object.remove(path).is_some()),
        Some((first, rest)) => value.get_mut(first).is_some_and(|inner| remove(inner, rest)),
    }
}

fn find_nul(value: &Value, path: String) -> Option<String> {
    match value {
        Value::String(text) if text.contains('\0') => Some(path),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| find_nul(item, format!("{path}[{index}]")))
        }
        Value::Object(object) => object.iter().find_map(|(name, item)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if name.contains('\0') { Some(path.replace('\0', "\\0")) } else { find_nul(item, path) }
        }),
        _ => None,
    }
}

fn short(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// Tells a field that is left out from one that is null.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A list that is not given and one that is null are different things where null means "any".
pub(crate) fn required_nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Sample {
        name: String,
        #[serde(default)]
        list: Vec<String>,
        #[serde(default)]
        days: Option<i64>,
    }

    fn errors(body: &str) -> Vec<(String, &'static str)> {
        match parse::<Sample>(body.as_bytes(), Nul::Refused) {
            Err(ApiError::App(AppError::Invalid(fields))) => {
                fields.into_iter().map(|error| (error.field, error.code)).collect()
            }
            Err(error) => vec![(error.status().to_string(), error.code())],
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn all_unknown_fields_are_named() {
        let named = errors(r#"{"name":"x","b":1,"a":2}"#);
        assert_eq!(named, [("a".into(), "unknown_field"), ("b".into(), "unknown_field")]);
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(errors("{}"), [("name".into(), "required")]);
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        assert_eq!(errors(r#"{"name":"x","list":["a",1]}"#), [("list[1]".into(), "invalid_type")]);
    }

    #[test]
    fn a_fraction_is_no_number_of_days() {
        assert_eq!(errors(r#"{"name":"x","days":90.5}"#), [("days".into(), "invalid_type")]);
    }

    #[test]
    fn a_nul_is_refused_at_its_field() {
        assert_eq!(errors(r#"{"name":"x","list":["a","b\u0000"]}"#), [("list[1]".into(), "nul_character")]);
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        assert_eq!([errors("{"), errors("\u{1}"), errors("")].concat(), vec![("400".to_owned(), "invalid_json"); 3]);
    }
}

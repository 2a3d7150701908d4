//! Bodies: bounded while they are read, JSON, and every error at its field.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::Payload,
    http::{ConnectionType, header::CONTENT_LENGTH},
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt as _;
use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use statuspulse_app::{AppError, FieldError};

use super::error::ApiError;

/// The longest body: 64 KiB.
pub(crate) const LONGEST: usize = 64 * 1024;

/// Reads a body; one that is too long is refused before it is read, or where it gets too long.
pub(crate) async fn read(request: &HttpRequest, payload: &mut Payload, longest: usize) -> Result<Bytes, ApiError> {
    let too_long = || ApiError::http(413, "body_too_large", format!("a body has at most {} KiB here", longest / 1024));
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > longest) {
        return Err(too_long());
    }
    let deadline = tokio::time::Instant::now() + patience(request);
    let late = |_| ApiError::http(408, TOO_SLOW, "the body did not arrive in time");
    let mut body = BytesMut::new();
    while let Some(part) = tokio::time::timeout_at(deadline, payload.next()).await.map_err(late)? {
        let part = part.map_err(|_| ApiError::http(400, "body_unreadable", "the body ended early or can't be read"))?;
        if body.len() + part.len() > longest {
            return Err(too_long());
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

/// An answer behind which the connection is closed although the body was not read to its end. The library reads a chunked
/// body whose reader is gone to whatever end it has, and holds the connection for as long as the client likes; not so while
/// somebody holds the unread rest.
pub(crate) fn closing(answer: HttpResponse, unread: Payload) -> HttpResponse {
    answer.map_body(|head, body| {
        head.set_connection_type(ConnectionType::Close);
        BoxBody::new(Holding { body, _unread: unread })
    })
}

struct Holding {
    body: BoxBody,
    _unread: Payload,
}

impl MessageBody for Holding {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(context)
    }
}

/// How long the body of a request may take to arrive (oauth §4.1).
pub(crate) fn patience(request: &HttpRequest) -> Duration {
    Duration::from_secs(if request.path().starts_with("/oauth/") { 20 } else { 8 })
}

/// The code of a body that did not arrive in time.
pub(crate) const TOO_SLOW: &str = "body_too_slow";
/// Unknown fields that a refusal names, at most.
const UNKNOWN_NAMED: usize = 50;

/// Whether a text may hold U+0000, which PostgreSQL's text can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nul {
    /// 422.
    Refused,
    /// The endpoint keeps none of its texts.
    Judged,
}

/// Reads JSON: 400 when it is none or names a member twice, 422 for a number beyond all bounds, or with all unknown fields of the first object that has some,
/// or the first field that is missing or of a wrong type.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8], nul: Nul) -> Result<T, ApiError> {
    let Strict(mut value) = serde_json::from_slice(body).map_err(|error| unreadable(body, &error))?;
    if !value.is_object() {
        return Err(AppError::field("", "invalid_type", "the body is a JSON object").into());
    }
    if nul == Nul::Refused
        && let Some(field) = find_nul(&value, String::new())
    {
        return Err(AppError::field(field, "nul_character", "a text can't hold U+0000").into());
    }
    let error = match serde_path_to_error::deserialize::<_, T>(&value) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let (path, message) = (error.path().to_string(), error.inner().to_string());
    let Some(name) = quoted(&message, "unknown field `") else { return Err(field_error(&path, &message)) };
    // The message names one of them, and all that are known: what else the object has is unknown too.
    let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
    let parent = path.strip_suffix(&name).unwrap_or_default();
    let object = if parent.is_empty() { Some(&mut value) } else { lookup(&mut value, parent.trim_end_matches('.')) };
    let names = object.and_then(|object| object.as_object()).into_iter().flat_map(|object| object.keys());
    let errors: Vec<FieldError> = names
        .filter(|name| !known.contains(&name.as_str()))
        .take(UNKNOWN_NAMED)
        .map(|name| FieldError::new(format!("{parent}{name}"), "unknown_field", "there is no such field"))
        .collect();
    Err(AppError::Invalid(errors).into())
}

/// What JSON can't be held here. A number may have any size (RFC 8259 §6): one that is too large for us is a value out of
/// bounds, where all the rest is JSON.
fn unreadable(body: &[u8], error: &serde_json::Error) -> ApiError {
    if error.to_string().starts_with("number out of range") && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let path =
            serde_path_to_error::deserialize::<_, Strict>(&mut reader).err().map(|error| error.path().to_string());
        let field = path.filter(|path| path != ".").unwrap_or_default();
        return AppError::field(field, "out_of_bounds", "this number is too large").into();
    }
    ApiError::http(400, "invalid_json", format!("the body is not JSON: {}", short(error)))
}

fn lookup<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(value, |value, name| value.get_mut(name))
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

/// JSON without repeated members: of two readers of one text, each could take another one.
struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Strict(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is named twice"));
            }
        }
        Ok(Strict(object.into()))
    }
}

/// Tells a field that is left out from one that is null.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A field that may be left out, but not be null.
pub(crate) fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// An object within a body that may be left out, but not be null. Every struct within another one is read by this: serde
/// takes a list for a struct too, its items as fields in the order of the source.
pub(crate) fn not_null_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Some)
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: serde::Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
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
    fn unknown_fields_of_an_inner_object_are_named_with_their_place() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its reading is tested")]
        struct Outer {
            #[serde(default, deserialize_with = "not_null_object")]
            inner: Option<Sample>,
        }
        let read = parse::<Outer>(br#"{"inner":{"name":"x","b":1}}"#, Nul::Refused);
        let Err(ApiError::App(AppError::Invalid(fields))) = read else { panic!("{read:?}") };
        assert_eq!(fields[0].field, "inner.b");
    }

    #[test]
    fn a_member_that_is_named_twice_is_refused() {
        assert_eq!(errors(r#"{"name":"x","name":"y"}"#), [("400".into(), "invalid_json")]);
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
    fn a_number_beyond_all_bounds_is_refused_at_its_field() {
        let digits = "9".repeat(400);
        let refused =
            ["1e999", "-1e999", digits.as_str()].map(|days| errors(&format!(r#"{{"name":"x","days":{days}}}"#)));
        assert_eq!(refused.concat(), vec![("days".to_owned(), "out_of_bounds"); 3]);
    }

    #[test]
    fn a_number_beyond_all_bounds_is_refused_in_a_list() {
        assert_eq!(errors(r#"{"name":"x","list":["a",1e999]}"#), [("list[1]".into(), "out_of_bounds")]);
    }

    #[test]
    fn a_number_beyond_all_bounds_makes_no_json_of_what_is_none() {
        assert_eq!(errors(r#"{"name":"x","days":1e999"#), [("400".into(), "invalid_json")]);
    }

    #[test]
    fn a_depth_that_nobody_needs_is_no_json() {
        assert_eq!(errors(&format!(r#"{{"name":{}"#, "[".repeat(10_000))), [("400".into(), "invalid_json")]);
    }

    #[test]
    fn half_a_character_is_no_json() {
        assert_eq!(errors(r#"{"name":"\ud800"}"#), [("400".into(), "invalid_json")]);
    }

    #[test]
    fn a_list_is_no_inner_object() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its reading is tested")]
        struct Outer {
            #[serde(default, deserialize_with = "not_null_object")]
            inner: Option<Sample>,
        }
        let read = parse::<Outer>(br#"{"inner":["x"]}"#, Nul::Refused);
        let Err(ApiError::App(AppError::Invalid(fields))) = read else { panic!("{read:?}") };
        assert_eq!((fields[0].field.as_str(), fields[0].code), ("inner", "invalid_type"));
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

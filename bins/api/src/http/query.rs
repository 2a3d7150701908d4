//! Query strings.

use actix_web::HttpRequest;
use statuspulse_app::{AppError, FieldError, boot::parse_duration};
use std::time::Duration;
use url::form_urlencoded;

use super::error::ApiError;

/// The parameters of a query, decoded once, in order.
pub(crate) fn parameters(request: &HttpRequest) -> Vec<(String, String)> {
    form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect()
}

/// The parameters of a list. A mistyped or repeated filter must not widen the answer: both are 422.
pub(crate) fn list_parameters(request: &HttpRequest, known: &[&str]) -> Result<Vec<(String, String)>, ApiError> {
    let parameters = parameters(request);
    let mut errors = Vec::new();
    for (index, (name, value)) in parameters.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let detail = format!("this list takes {}", known.join(", "));
            errors.push(FieldError::new(name.replace('\0', "\\0"), "unknown_parameter", detail));
        } else if parameters.iter().take(index).any(|(earlier, _)| earlier == name) {
            errors.push(FieldError::new(name.clone(), "repeated_parameter", "give this parameter once"));
        } else if value.contains('\0') {
            errors.push(FieldError::new(name.clone(), "nul_character", "a text can't hold U+0000"));
        }
    }
    if errors.is_empty() { Ok(parameters) } else { Err(AppError::Invalid(errors).into()) }
}

/// The value of a parameter.
pub(crate) fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A page's length: a number, never clamped in silence.
pub(crate) fn limit(parameters: &[(String, String)]) -> Result<Option<i64>, ApiError> {
    number(parameters, "limit", "a page has 1 to 200 items")
}

/// A number without a sign; `bounds` says to people which ones are taken.
pub(crate) fn number(
    parameters: &[(String, String)],
    name: &'static str,
    bounds: &'static str,
) -> Result<Option<i64>, ApiError> {
    value(parameters, name)
        .map(|text| {
            // `+5` is a number to Rust, but a mistake here.
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.ok_or_else(|| AppError::field(name, "out_of_bounds", bounds).into())
        })
        .transpose()
}

/// How long to wait for all instances: `wait=5s`.
pub(crate) fn wait(request: &HttpRequest) -> Result<Duration, ApiError> {
    let parameters = parameters(request);
    let Some(text) = value(&parameters, "wait") else { return Ok(Duration::ZERO) };
    let read = if text == "0" { Some(Duration::ZERO) } else { parse_duration(text) };
    read.ok_or_else(|| AppError::field("wait", "invalid_duration", "a wait is 0 to 30 seconds, such as `5s`").into())
}

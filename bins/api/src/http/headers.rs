//! Around every request: its id, the headers that every answer carries, its line in the log.

use std::time::Instant;

use actix_web::{
    Error, HttpMessage as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{
        CACHE_CONTROL, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
    middleware::Next,
    web::Data,
};
use statuspulse_policy::RequestId;

use super::{credentials::short_method, error::problem};
use crate::state::State;

/// Name of the header with the request's id.
pub const REQUEST_ID: &str = "x-request-id";
const CSP: HeaderName = HeaderName::from_static("content-security-policy");

/// Makes the request's id (never the caller's word for it), runs the request, completes the answer.
pub(crate) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let state = request.app_data::<Data<State>>().cloned();
    // Without randomness nothing else works either; a nil id is honest about it.
    let id = state.as_ref().and_then(|state| state.app.env.id().ok()).unwrap_or_default();
    request.extensions_mut().insert(RequestId::from_uuid(id));
    let noted = super::credentials::note_url(&request).await;
    let method = short_method(request.method().as_str());
    let mut response = match noted {
        Ok(()) => next.call(request).await?.map_into_left_body(),
        // What can't be put into the trail isn't answered.
        Err(error) => {
            let answer = problem(request.request(), error.into());
            request.into_response(answer).map_into_right_body()
        }
    };
    let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let status = response.status().as_u16();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static(REQUEST_ID), value);
    }
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CSP, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        // An answer is about one caller at one moment; no cache may give it to another.
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if state.is_some_and(|state| state.is_secure()) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    // The pattern, never the path: no ids, no personal data, no secret that somebody put into a URL.
    tracing::debug!(method, route, status, elapsed_us, request_id = %id, "answered");
    Ok(response)
}

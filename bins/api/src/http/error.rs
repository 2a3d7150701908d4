//! Refusals on the wire: RFC 9457 problem documents, and the challenges of RFC 6750.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    web::Data,
};
use serde::Serialize;
use serde_json::{Map, Value};
use statuspulse_app::{AppError, FieldError};
use statuspulse_policy::{Code, RequestId};
use utoipa::ToSchema;

use crate::state::State;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// A use case refused.
    App(AppError),
    /// The credential was judged and refused; its event is in the trail.
    Judged {
        /// The decision.
        code: Code,
        /// The missing scope.
        scope: Option<String>,
    },
    /// The request itself is at fault.
    Http {
        /// Status.
        status: u16,
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: String,
    },
}

impl<T: Into<AppError>> From<T> for ApiError {
    fn from(error: T) -> Self {
        Self::App(error.into())
    }
}

impl ApiError {
    /// A fault of the request itself.
    pub(crate) fn http(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Http { status, code, detail: detail.into() }
    }

    /// Status of the answer.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::App(error) => error.status(),
            Self::Judged { code, .. } => code.http_status(),
            Self::Http { status, .. } => *status,
        }
    }

    /// Stable word.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::App(error) => error.code(),
            Self::Judged { code, .. } => code.as_str(),
            Self::Http { code, .. } => code,
        }
    }
}

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`: the code says more than a page could.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemField>,
    request_id: String,
    /// What a program needs to go on: ids, versions.
    #[serde(flatten)]
    #[schema(ignore)]
    facts: Map<String, Value>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemField {
    field: String,
    code: &'static str,
    detail: String,
}

impl From<FieldError> for ProblemField {
    fn from(error: FieldError) -> Self {
        Self { field: error.field, code: error.code, detail: error.detail }
    }
}

/// The id of a request.
pub(crate) fn request_id(request: &HttpRequest) -> Option<RequestId> {
    use actix_web::HttpMessage as _;
    request.extensions().get::<RequestId>().copied()
}

/// The answer to a refusal. The cause of a fault of ours goes to the log, under the request's id, and nowhere else.
pub(crate) fn problem(request: &HttpRequest, error: ApiError) -> HttpResponse {
    if let Some(answer) = super::oauth::refusal(request, &error) {
        return answer;
    }
    let id = request_id(request).map(|id| id.to_string()).unwrap_or_default();
    let (status, code) = (error.status(), error.code());
    let mut retry_after = None;
    let mut challenge = None;
    let (mut errors, mut facts) = (Vec::new(), Map::new());
    let detail = match error {
        ApiError::Judged { code, scope } => {
            challenge = challenge_for(request, code, scope.as_deref());
            if code == Code::Unavailable {
                retry_after = Some(1);
            }
            detail_of(code).to_owned()
        }
        ApiError::Http { detail, .. } => detail,
        ApiError::App(error) => {
            let detail = error.to_string();
            match error {
                AppError::Invalid(fields) => errors = fields.into_iter().map(ProblemField::from).collect(),
                AppError::Conflict { facts: more, .. } => facts = more,
                AppError::TooMany { retry_after: seconds, .. } => retry_after = Some(seconds),
                AppError::Unauthorized { .. } => challenge = challenge_for(request, Code::Missing, None),
                AppError::Unavailable { cause } => {
                    tracing::warn!(request_id = %id, %cause, "unavailable");
                    retry_after = Some(1);
                }
                AppError::Internal { cause } => tracing::error!(request_id = %id, %cause, "internal error"),
                _ => {}
            }
            // What is refused may hold what was sent, and what was sent may hold a secret.
            statuspulse_audit::redact::redact(&detail).into_owned()
        }
    };
    for field in &mut errors {
        // The name of an unknown field is what was sent, too.
        field.field = statuspulse_audit::redact::redact(&field.field).into_owned();
        field.detail = statuspulse_audit::redact::redact(&field.detail).into_owned();
    }
    let http = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(http);
    answer.content_type("application/problem+json");
    if let Some(seconds) = retry_after {
        answer.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    if let Some(challenge) = challenge {
        answer.insert_header((WWW_AUTHENTICATE, challenge));
    }
    let title = http.canonical_reason().unwrap_or("Error");
    let problem = Problem { kind: "about:blank", title, status, detail, code, errors, request_id: id, facts };
    answer.body(serde_json::to_vec(&problem).unwrap_or_default())
}

/// The challenge of a refusal (RFC 6750 §3, RFC 9728 §5.1); none where another credential would not help.
pub(crate) fn challenge_for(request: &HttpRequest, code: Code, scope: Option<&str>) -> Option<String> {
    let base = request.app_data::<Data<State>>().map(|state| state.public_url.as_str()).unwrap_or_default();
    let resource = format!(r#"resource_metadata="{base}/.well-known/oauth-protected-resource""#);
    match code {
        Code::Missing => Some(format!(r#"Bearer realm="StatusPulse", {resource}"#)),
        Code::InsufficientScope => {
            let scope = scope.map(|scope| format!(r#", scope="{scope}""#)).unwrap_or_default();
            Some(format!(r#"Bearer realm="StatusPulse", error="insufficient_scope"{scope}, {resource}"#))
        }
        _ if code.http_status() == 401 => {
            Some(format!(r#"Bearer realm="StatusPulse", error="invalid_token", {resource}"#))
        }
        _ => None,
    }
}

/// What a refusal says to people. None of them names an address, a range or a part of a token.
pub(crate) const fn detail_of(code: Code) -> &'static str {
    match code {
        Code::Allowed => "the call may pass",
        Code::Missing => "send a key as `Authorization: Bearer …`",
        Code::Malformed => {
            "the credential is malformed; send exactly one `Authorization: Bearer` header with one token"
        }
        Code::Unknown => "the key is not known",
        Code::Revoked => "the key is revoked; create or rotate one",
        Code::Expired => "the key has expired; create or rotate one",
        Code::Disabled => "the key is disabled; enable it first",
        Code::EnvironmentMismatch => "the key belongs to another environment",
        Code::IpNotAllowed => "the key may not be used from here",
        Code::InsufficientScope => "the key lacks the scope that this call needs",
        Code::RateLimited => "the key's limit of calls is reached; wait",
        Code::Unavailable => "the credential can't be judged right now; try again",
    }
}

/// A path that nobody serves.
pub(crate) async fn not_found(request: HttpRequest) -> HttpResponse {
    problem(&request, ApiError::http(404, "not_found", "there is nothing at this path; see /openapi.json"))
}

/// A path that is served, but not by this method.
pub(crate) fn method_not_allowed(request: &HttpRequest, allowed: &str) -> HttpResponse {
    let detail = format!("this path takes {allowed}");
    let mut answer = problem(request, ApiError::http(405, "method_not_allowed", detail));
    if let Ok(value) = allowed.parse() {
        answer.headers_mut().insert(ALLOW, value);
    }
    answer
}

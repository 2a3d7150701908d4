//! The judgement of a call for a resource server that asks.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use statuspulse_app::{
    App, AppError, FieldError,
    verify::{self as judgement, Call, Credential, Gateway, Presented, Verdict},
};
use statuspulse_audit::{RequestTraits, event::Origin, user_agent};
use statuspulse_policy::{
    Catalog, ClientAddress, Environment, EnvironmentSet, Requirement, Served, UserId, canonical_ip,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, dto::Question};
use crate::http::{
    ApiError, Context,
    body::{self, Nul},
    credentials::{note_keys_in, short_method},
    error::{Problem, request_id},
};

/// A longer token is refused unread.
const LONGEST_TOKEN: usize = 4_096;
/// Unknown environments that a refusal names, at most.
const NAMED: usize = 50;

/// The answer, whatever the verdict.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerdictJson {
    allowed: bool,
    code: &'static str,
    /// What the caller should answer.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Of a key that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateJson>,
    request_id: Option<Uuid>,
}

/// How the key stands with its limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct RateJson {
    /// Accepted calls in any 60 s, at most.
    limit: u32,
    /// How many more would be accepted now.
    remaining: u32,
}

/// The credential that was judged.
#[derive(Serialize, ToSchema)]
pub(crate) struct CredentialJson {
    kind: &'static str,
    id: Uuid,
    organization: String,
    environment: &'static str,
    scopes: Vec<String>,
    expires_at: DateTime<Utc>,
    /// Of an access token: the app that it was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Of an access token: the person who authorized it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Uuid>,
}

impl CredentialJson {
    fn new(app: &App, catalog: &Catalog, credential: &Credential) -> Option<Self> {
        let grant = credential.grant(app)?;
        let scopes = grant.scopes.intersection(catalog.mask(grant.environment));
        let (kind, client_id, user_id) = match credential {
            Credential::Key(_) => ("api_key", None, None),
            Credential::AccessToken(found) => {
                ("access_token", Some(found.app.client_id.to_string()), found.token.user_id.map(UserId::as_uuid))
            }
        };
        Some(Self {
            kind,
            id: credential.id(),
            organization: credential.organization().slug.clone(),
            environment: grant.environment.as_str(),
            scopes: catalog.names(scopes).into_iter().map(str::to_owned).collect(),
            expires_at: grant.expires_at,
            client_id,
            user_id,
        })
    }
}

/// Judge a call.
#[utoipa::path(post, path = "/v1/verify", tag = "judgement", security(("key" = ["credentials:verify"])),
    request_body = Question, responses(
    (status = 200, description = "the verdict, whatever it is", body = VerdictJson),
    (status = 401, description = "the caller's own key is not accepted", body = Problem),
    (status = 403, description = "the caller's own key lacks `credentials:verify`", body = Problem),
    (status = 422, description = "the question can't be read", body = Problem)))]
pub(crate) async fn verify(context: Context) -> Answer {
    // Tokens, paths and user agents are judged as they are, a NUL in them too; none of them is stored unescaped.
    let question: Question = body::parse(&context.bytes().await?, Nul::Judged)?;
    let asked = read(&question)?;
    let gateway = context.key()?;
    let app = context.app();
    let catalog = app.catalog.load_full();
    let requirement = match (&question.scope, &question.method, &question.path) {
        (Some(scope), ..) => catalog.requirement_for_scope(scope),
        (None, Some(method), Some(path)) => catalog.requirement(method, path),
        _ => return Err(AppError::internal("a question without a call was let through").into()),
    };
    if let Some(path) = &question.path {
        note_keys_in(&context.state, &context.request, &[path], asked.client).await?;
    }
    let presented =
        if question.token.len() > LONGEST_TOKEN { Presented::Malformed } else { Presented::Token(&question.token) };
    let call = Call {
        presented,
        client: asked.client,
        served: asked.served,
        requirement,
        catalog: &catalog,
        origin: origin(&context, &question, requirement, asked.client),
        via: Some(Gateway { key: gateway.key.key.id, organization: gateway.organization.id }),
        quiet: false,
        anonymous: false,
        audience: Some(&context.state.public_url),
        refused: judgement::refused_call,
    };
    let verdict = judgement::judge(app, call).await;
    Ok(HttpResponse::Ok().json(answer(&context, &catalog, verdict)))
}

struct Asked {
    client: ClientAddress,
    served: Served,
}

/// Judges the question itself: a bad address or environment is the resource server's fault, not the caller's.
fn read(question: &Question) -> Result<Asked, ApiError> {
    let mut errors = Vec::new();
    let client = match question.client_ip.as_deref().map(str::parse) {
        None => ClientAddress::Unknown,
        Some(Ok(ip)) => ClientAddress::Known(canonical_ip(ip)),
        Some(Err(_)) => {
            errors.push(FieldError::new(
                "client_ip",
                "invalid_address",
                "this is not an address; leave it out if unknown",
            ));
            ClientAddress::Unknown
        }
    };
    let names = || question.environments.iter().flatten().map(String::as_str);
    let served = Served::from_names(names()).unwrap_or_else(|_| {
        let wrong = names().enumerate().filter_map(|(index, name)| Some((index, name.parse::<Environment>().err()?)));
        errors.extend(wrong.take(NAMED).map(|(index, error)| {
            FieldError::new(format!("environments[{index}]"), "unknown_environment", error.to_string())
        }));
        Served::Only(EnvironmentSet::EMPTY)
    });
    if question.scope.is_none() {
        for (field, value) in [("method", &question.method), ("path", &question.path)] {
            if value.is_none() {
                errors.push(FieldError::new(field, "required", "give method and path, or a scope"));
            }
        }
    }
    if errors.is_empty() { Ok(Asked { client, served }) } else { Err(AppError::Invalid(errors).into()) }
}

/// What the event of the call carries: what the resource server tells, and nothing of its own request but the id.
fn origin(context: &Context, question: &Question, requirement: Requirement<'_>, client: ClientAddress) -> Origin {
    let agent = question.user_agent.as_deref().map(str::as_bytes);
    let traits = RequestTraits {
        method: question.method.as_deref().unwrap_or_default(),
        route: requirement.route().unwrap_or_default(),
        user_agent: agent.unwrap_or_default(),
        ip: client.ip(),
        ..RequestTraits::default()
    };
    Origin {
        method: question.method.as_deref().map(short_method),
        route: None,
        ip: client.ip(),
        user_agent: agent.map(user_agent::for_trail),
        fingerprint: Some(context.app().secrets.fingerprint().fingerprint(&traits)),
        request_id: request_id(&context.request),
    }
}

fn answer(context: &Context, catalog: &Catalog, verdict: Verdict) -> VerdictJson {
    VerdictJson {
        allowed: verdict.allowed(),
        code: verdict.code.as_str(),
        status: verdict.code.http_status(),
        credential: verdict.credential.as_ref().and_then(|found| CredentialJson::new(context.app(), catalog, found)),
        required_scope: verdict.required_scope,
        retry_after: match verdict.code {
            statuspulse_policy::Code::Unavailable => Some(1),
            _ => verdict.rate.and_then(|rate| rate.retry_after),
        },
        rate_limit: verdict.rate.map(|rate| RateJson { limit: rate.limit, remaining: rate.remaining }),
        request_id: request_id(&context.request).map(|id| id.as_uuid()),
    }
}

//! The OpenAPI document, made from the handlers and the types that they read and write.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, RefOr, Response,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "StatusPulse Auth",
        description = "API keys, their policy, and the judgement of every call. Errors are RFC 9457 problem documents \
            whose `code` is a stable word."
    ),
    paths(
        crate::routes::session::sign_in, crate::routes::session::show, crate::routes::session::sign_out,
        crate::routes::keys::scopes, crate::routes::keys::create, crate::routes::keys::list, crate::routes::keys::show, crate::routes::keys::change,
        crate::routes::keys::rotate, crate::routes::keys::revoke, crate::routes::keys::disable, crate::routes::keys::enable, crate::routes::keys::set_allowlist,
        crate::routes::keys::preview_allowlist, crate::routes::keys::suggest, crate::routes::keys::versions, crate::routes::keys::usage,
        crate::routes::keys::preview_ranges, crate::routes::keys::add_ranges,
        crate::routes::keys::explain, crate::routes::keys::own, crate::routes::keys::claim_successor, crate::routes::keys::inventory,
        crate::routes::audit::list, crate::routes::audit::show, crate::routes::audit::export, crate::routes::audit::checkpoints,
        crate::routes::alerts::list, crate::routes::alerts::show, crate::routes::alerts::acknowledge, crate::routes::alerts::resolve,
        crate::routes::alerts::rules, crate::routes::alerts::change_rule,
        crate::routes::members::list, crate::routes::members::add, crate::routes::members::change, crate::routes::members::remove,
        crate::routes::session::list, crate::routes::session::end_one, crate::routes::session::end_others,
        crate::routes::session::change_password,
        crate::routes::settings::show, crate::routes::settings::change,
        crate::routes::verify::verify, crate::routes::forward_auth::judge,
        crate::routes::apps::create, crate::routes::apps::list, crate::routes::apps::show, crate::routes::apps::change,
        crate::routes::apps::delete, crate::routes::apps::add_secret, crate::routes::apps::revoke_secret, crate::routes::apps::failures,
        crate::routes::grants::own, crate::routes::grants::revoke_own, crate::routes::grants::revoke,
        crate::routes::leaks::report, crate::routes::leaks::report_by_github,
        crate::routes::webhooks::create, crate::routes::webhooks::list, crate::routes::webhooks::show, crate::routes::webhooks::change,
        crate::routes::webhooks::delete, crate::routes::webhooks::test, crate::routes::webhooks::rotate_secret,
        crate::routes::webhooks::deliveries, crate::routes::webhooks::retry,
        crate::routes::authorize::ask, crate::routes::oauth::token, crate::routes::oauth::refresh, crate::routes::oauth::revoke,
        crate::routes::oauth::introspect, crate::routes::oauth::server_metadata, crate::routes::oauth::resource_metadata,
        crate::routes::oauth::jwks,
        crate::routes::health::alive, crate::routes::health::ready, crate::routes::health::openapi, crate::routes::docs::docs,
        crate::routes::metrics::metrics,
    ),
    modifiers(&Security, &Complete),
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let cookie = ApiKeyValue::new("statuspulse_session");
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// Puts in what the handlers leave to a rule: names of operations that are unique, what a refusal means, and the type of
/// problem documents.
struct Complete;

const PROBLEM: &str = "#/components/schemas/Problem";

impl Modify for Complete {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
            all.into_iter().flatten().for_each(complete);
        }
    }
}

fn complete(operation: &mut Operation) {
    // The handlers are named within their subject, which is the tag.
    if let (Some(name), Some(tag)) = (&operation.operation_id, operation.tags.as_ref().and_then(|tags| tags.first())) {
        operation.operation_id = Some(format!("{}_{name}", tag.replace(' ', "_")));
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(Response { description, content, .. }) = response else { continue };
        if description.is_empty() {
            *description = meaning(status).to_owned();
        }
        let is_problem = |content: &RefOr<Content>| {
            let RefOr::T(content) = content else { return false };
            matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location == PROBLEM)
        };
        if content.get("application/json").is_some_and(is_problem)
            && let Some(problem) = content.shift_remove("application/json")
        {
            content.insert("application/problem+json".to_owned(), problem);
        }
    }
}

/// What a refusal means wherever it comes.
fn meaning(status: &str) -> &'static str {
    match status {
        "400" => "the request can't be read",
        "401" => "no credential, or one that is not accepted",
        "403" => "the credential or role may not do this",
        "404" => "there is no such thing in this organization",
        "409" => "the state of things stands in the way",
        "422" => "a field is out of bounds; `errors` names each",
        "429" => "too many; `Retry-After` says when to come again",
        "503" => "not now; `Retry-After` says when to come again",
        _ => "as its `code` says",
    }
}

/// The document of this version.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

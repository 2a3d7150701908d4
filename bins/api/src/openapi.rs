//! The OpenAPI document, made from the handlers and the types that they read and write.

use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
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
        crate::routes::keys::explain, crate::routes::keys::own, crate::routes::keys::claim_successor, crate::routes::keys::inventory,
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
    modifiers(&Security),
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

/// The document of this version.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

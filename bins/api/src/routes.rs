//! The one table of routes: what is served, by which method, and who may call it. A route can't be served without a row
//! here, and a row can't leave its access out.

use actix_web::{HttpRequest, HttpResponse, dev::Payload, http::Method, web};
use futures_util::future::LocalBoxFuture;

use crate::http::{
    ApiError, Context,
    context::run,
    error::{method_not_allowed, not_found},
};

pub(crate) mod alerts;
pub(crate) mod apps;
pub(crate) mod audit;
pub(crate) mod authorize;
pub(crate) mod authorized_apps;
pub(crate) mod dashboard;
pub(crate) mod docs;
pub(crate) mod dto;
pub(crate) mod dto_apps;
pub(crate) mod forward_auth;
pub(crate) mod grants;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod leaks;
pub(crate) mod members;
pub(crate) mod metrics;
pub(crate) mod oauth;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod verify;
pub(crate) mod webhooks;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anyone; no credential is looked at, or the route judges for itself.
    Anyone,
    /// A session. A key is refused with 403.
    Session,
    /// A session of a member of the organization in the path, whatever the role. A key is refused with 403.
    Member,
    /// The same, of anyone but an auditor. Judged before the body is read; the use case judges it too.
    Writer,
    /// The same, of an owner or admin.
    Admin,
    /// The same, of an owner.
    Owner,
    /// A session of any member, or a key of that organization with this scope.
    MemberOrKey(&'static str),
    /// A key, about itself; it needs no scope.
    OwnKey,
    /// A resource server's key with this scope.
    Gateway(&'static str),
    /// A gateway at one of the trusted addresses, which hands a client's credential on.
    TrustedProxy,
}

type Answer = Result<HttpResponse, ApiError>;
type Handler = fn(Context) -> LocalBoxFuture<'static, Answer>;

/// A row of the table.
pub struct Route {
    /// Method; `ANY` stands for all.
    pub method: &'static str,
    /// Path with `{parameters}`; also the pattern in the audit trail.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    pub(crate) handler: Handler,
}

macro_rules! route {
    ($method:literal $path:literal $who:expr, $handler:path) => {
        Route { method: $method, path: $path, who: $who, handler: |context| Box::pin($handler(context)) }
    };
}

/// Everything that is served.
pub static ROUTES: &[Route] = &[
    route!("POST" "/v1/session" Who::Anyone, session::sign_in),
    route!("GET" "/v1/session" Who::Session, session::show),
    route!("DELETE" "/v1/session" Who::Session, session::sign_out),
    route!("GET" "/v1/scopes" Who::Anyone, keys::scopes),
    route!("POST" "/v1/orgs/{org}/keys" Who::Writer, keys::create),
    route!("GET" "/v1/orgs/{org}/keys" Who::MemberOrKey("keys:read"), keys::list),
    route!("GET" "/v1/orgs/{org}/keys/{id}" Who::MemberOrKey("keys:read"), keys::show),
    route!("PATCH" "/v1/orgs/{org}/keys/{id}" Who::Writer, keys::change),
    route!("POST" "/v1/orgs/{org}/keys/{id}/rotate" Who::Writer, keys::rotate),
    route!("POST" "/v1/orgs/{org}/keys/{id}/revoke" Who::Writer, keys::revoke),
    route!("POST" "/v1/orgs/{org}/keys/{id}/disable" Who::Writer, keys::disable),
    route!("POST" "/v1/orgs/{org}/keys/{id}/enable" Who::Writer, keys::enable),
    route!("PUT" "/v1/orgs/{org}/keys/{id}/allowlist" Who::Writer, keys::set_allowlist),
    route!("POST" "/v1/orgs/{org}/keys/{id}/allowlist/preview" Who::Member, keys::preview_allowlist),
    route!("POST" "/v1/orgs/{org}/keys/{id}/explain" Who::Member, keys::explain),
    route!("GET" "/v1/orgs/{org}/keys/{id}/suggestions" Who::Member, keys::suggest),
    route!("GET" "/v1/orgs/{org}/keys/{id}/versions" Who::MemberOrKey("keys:read"), keys::versions),
    route!("GET" "/v1/orgs/{org}/keys/{id}/usage" Who::MemberOrKey("keys:read"), keys::usage),
    route!("GET" "/v1/orgs/{org}/settings" Who::Member, settings::show),
    route!("PATCH" "/v1/orgs/{org}/settings" Who::Admin, settings::change),
    route!("GET" "/v1/orgs/{org}/members" Who::Member, members::list),
    route!("POST" "/v1/orgs/{org}/members" Who::Owner, members::add),
    route!("PATCH" "/v1/orgs/{org}/members/{id}" Who::Owner, members::change),
    route!("DELETE" "/v1/orgs/{org}/members/{id}" Who::Owner, members::remove),
    route!("GET" "/v1/keys/self" Who::OwnKey, keys::own),
    route!("POST" "/v1/keys/self/successor" Who::OwnKey, keys::claim_successor),
    route!("POST" "/v1/verify" Who::Gateway("credentials:verify"), verify::verify),
    route!("ANY" "/v1/forward-auth" Who::TrustedProxy, forward_auth::judge),
    route!("ANY" "/v1/forward-auth/{path:[\\s\\S]*}" Who::TrustedProxy, forward_auth::judge),
    route!("POST" "/v1/orgs/{org}/apps" Who::Writer, apps::create),
    route!("GET" "/v1/orgs/{org}/apps" Who::MemberOrKey("apps:read"), apps::list),
    route!("GET" "/v1/orgs/{org}/apps/{id}" Who::MemberOrKey("apps:read"), apps::show),
    route!("PATCH" "/v1/orgs/{org}/apps/{id}" Who::Writer, apps::change),
    route!("DELETE" "/v1/orgs/{org}/apps/{id}" Who::Writer, apps::delete),
    route!("POST" "/v1/orgs/{org}/apps/{id}/secrets" Who::Writer, apps::add_secret),
    route!("DELETE" "/v1/orgs/{org}/apps/{id}/secrets/{secret}" Who::Writer, apps::revoke_secret),
    route!("GET" "/v1/orgs/{org}/apps/{id}/failures" Who::MemberOrKey("apps:read"), apps::failures),
    route!("POST" "/v1/orgs/{org}/grants/revoke" Who::Admin, grants::revoke),
    route!("POST" "/v1/orgs/{org}/webhooks" Who::Admin, webhooks::create),
    route!("GET" "/v1/orgs/{org}/webhooks" Who::Member, webhooks::list),
    route!("GET" "/v1/orgs/{org}/webhooks/{id}" Who::Member, webhooks::show),
    route!("PATCH" "/v1/orgs/{org}/webhooks/{id}" Who::Admin, webhooks::change),
    route!("DELETE" "/v1/orgs/{org}/webhooks/{id}" Who::Admin, webhooks::delete),
    route!("POST" "/v1/orgs/{org}/webhooks/{id}/test" Who::Admin, webhooks::test),
    route!("POST" "/v1/orgs/{org}/webhooks/{id}/rotate-secret" Who::Admin, webhooks::rotate_secret),
    route!("GET" "/v1/orgs/{org}/webhooks/{id}/deliveries" Who::Member, webhooks::deliveries),
    route!("POST" "/v1/orgs/{org}/webhooks/{id}/deliveries/{delivery}/retry" Who::Admin, webhooks::retry),
    route!("GET" "/v1/orgs/{org}/inventory" Who::MemberOrKey("keys:read"), keys::inventory),
    route!("POST" "/v1/orgs/{org}/allowlist/preview" Who::Member, keys::preview_ranges),
    route!("POST" "/v1/orgs/{org}/allowlist/add" Who::Writer, keys::add_ranges),
    route!("GET" "/v1/orgs/{org}/audit/events" Who::MemberOrKey("audit:read"), audit::list),
    route!("GET" "/v1/orgs/{org}/audit/events/{id}" Who::MemberOrKey("audit:read"), audit::show),
    route!("GET" "/v1/orgs/{org}/audit/export" Who::MemberOrKey("audit:read"), audit::export),
    route!("GET" "/v1/orgs/{org}/audit/checkpoints" Who::MemberOrKey("audit:read"), audit::checkpoints),
    route!("GET" "/v1/orgs/{org}/alerts" Who::MemberOrKey("alerts:read"), alerts::list),
    route!("GET" "/v1/orgs/{org}/alerts/{id}" Who::MemberOrKey("alerts:read"), alerts::show),
    route!("POST" "/v1/orgs/{org}/alerts/{id}/acknowledge" Who::Admin, alerts::acknowledge),
    route!("POST" "/v1/orgs/{org}/alerts/{id}/resolve" Who::Admin, alerts::resolve),
    route!("GET" "/v1/orgs/{org}/alert-rules" Who::MemberOrKey("alerts:read"), alerts::rules),
    route!("PUT" "/v1/orgs/{org}/alert-rules/{rule}" Who::Admin, alerts::change_rule),
    route!("POST" "/v1/leaks" Who::Anyone, leaks::report),
    route!("POST" "/v1/leaks/github" Who::Anyone, leaks::report_by_github),
    route!("GET" "/v1/me/sessions" Who::Session, session::list),
    route!("DELETE" "/v1/me/sessions" Who::Session, session::end_others),
    route!("DELETE" "/v1/me/sessions/{id}" Who::Session, session::end_one),
    route!("POST" "/v1/me/password" Who::Session, session::change_password),
    route!("GET" "/v1/me/grants" Who::Session, grants::own),
    route!("DELETE" "/v1/me/grants/{id}" Who::Session, grants::revoke_own),
    route!("GET" "/oauth/authorize" Who::Anyone, authorize::ask),
    route!("POST" "/oauth/authorize" Who::Anyone, authorize::decide),
    route!("POST" "/oauth/token" Who::Anyone, oauth::token),
    route!("OPTIONS" "/oauth/token" Who::Anyone, oauth::preflight),
    route!("POST" "/oauth/refresh" Who::Anyone, oauth::refresh),
    route!("OPTIONS" "/oauth/refresh" Who::Anyone, oauth::preflight),
    route!("POST" "/oauth/revoke" Who::Anyone, oauth::revoke),
    route!("OPTIONS" "/oauth/revoke" Who::Anyone, oauth::preflight),
    route!("POST" "/oauth/introspect" Who::Anyone, oauth::introspect),
    route!("GET" "/.well-known/oauth-authorization-server" Who::Anyone, oauth::server_metadata),
    route!("OPTIONS" "/.well-known/oauth-authorization-server" Who::Anyone, oauth::open_preflight),
    route!("GET" "/.well-known/oauth-authorization-server/{path:.+}" Who::Anyone, oauth::server_metadata_of_path),
    route!("GET" "/.well-known/oauth-protected-resource" Who::Anyone, oauth::resource_metadata),
    route!("OPTIONS" "/.well-known/oauth-protected-resource" Who::Anyone, oauth::open_preflight),
    route!("GET" "/.well-known/oauth-protected-resource/{path:.+}" Who::Anyone, oauth::resource_metadata_of_path),
    route!("GET" "/.well-known/jwks.json" Who::Anyone, oauth::jwks),
    route!("OPTIONS" "/.well-known/jwks.json" Who::Anyone, oauth::open_preflight),
    route!("GET" "/login" Who::Anyone, authorize::login),
    route!("POST" "/login" Who::Anyone, authorize::sign_in),
    route!("POST" "/logout" Who::Anyone, authorize::sign_out),
    route!("GET" "/authorized-apps" Who::Anyone, authorized_apps::show),
    route!("POST" "/authorized-apps" Who::Anyone, authorized_apps::end),
    route!("GET" "/" Who::Anyone, dashboard::page),
    route!("GET" "/keys" Who::Anyone, dashboard::page),
    route!("GET" "/keys/{id}" Who::Anyone, dashboard::page),
    route!("GET" "/security" Who::Anyone, dashboard::page),
    route!("GET" "/apps" Who::Anyone, dashboard::page),
    route!("GET" "/audit" Who::Anyone, dashboard::page),
    route!("GET" "/alerts" Who::Anyone, dashboard::page),
    route!("GET" "/static/{version}/{file:.+}" Who::Anyone, dashboard::file),
    route!("GET" "/healthz" Who::Anyone, health::alive),
    route!("GET" "/readyz" Who::Anyone, health::ready),
    route!("GET" "/metrics" Who::Anyone, metrics::metrics),
    route!("GET" "/openapi.json" Who::Anyone, health::openapi),
    route!("GET" "/docs" Who::Anyone, docs::docs),
];

/// Registers the table: one resource for each path, whose other methods are 405 with `Allow`.
pub(crate) fn configure(service: &mut web::ServiceConfig) {
    let mut paths: Vec<&'static str> = ROUTES.iter().map(|route| route.path).collect();
    paths.dedup();
    for path in paths {
        let rows: Vec<&'static Route> = ROUTES.iter().filter(|route| route.path == path).collect();
        let mut allowed: Vec<&str> = rows.iter().map(|route| route.method).collect();
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        let allowed = allowed.join(", ");
        let handle = move |request: HttpRequest, payload: web::Payload| {
            let row = rows.iter().copied().find(|route| serves(route, request.method()));
            let allowed = allowed.clone();
            async move { answer(row, request, payload.into_inner(), &allowed).await }
        };
        service.service(web::resource(path).to(handle));
    }
    service.default_service(web::to(not_found));
}

fn serves(route: &Route, method: &Method) -> bool {
    let asked = if method == Method::HEAD { "GET" } else { method.as_str() };
    route.method == "ANY" || route.method == asked
}

async fn answer(row: Option<&'static Route>, request: HttpRequest, payload: Payload, allowed: &str) -> HttpResponse {
    match row {
        Some(route) => run(route, request, payload).await,
        None => method_not_allowed(&request, allowed),
    }
}

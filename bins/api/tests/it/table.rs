//! The table of routes: its access, its description, and the contract's table.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use statuspulse_auth::{ROUTES, Route, Who, openapi_document};
use statuspulse_policy::Role;
use statuspulse_testkit::key_of;
use uuid::Uuid;

use crate::support::World;

/// What is served beside the table of the contract's §5: its §6, lists of what the table shows one by one, single ones of
/// what it lists, the settings of alerts, and what the pages need.
const BESIDE: &[(&str, &str)] = &[
    ("GET", "/v1/orgs/{org}/apps"),
    ("GET", "/v1/orgs/{org}/webhooks"),
    ("GET", "/v1/orgs/{org}/audit/events/{id}"),
    ("GET", "/v1/orgs/{org}/alerts/{id}"),
    ("GET", "/v1/orgs/{org}/alert-rules"),
    ("PUT", "/v1/orgs/{org}/alert-rules/{rule}"),
    ("GET", "/oauth/authorize"),
    ("POST", "/oauth/authorize"),
    ("POST", "/oauth/token"),
    ("OPTIONS", "/oauth/token"),
    ("POST", "/oauth/refresh"),
    ("OPTIONS", "/oauth/refresh"),
    ("POST", "/oauth/revoke"),
    ("OPTIONS", "/oauth/revoke"),
    ("POST", "/oauth/introspect"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/oauth-authorization-server/{path:.+}"),
    ("OPTIONS", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/{path:.+}"),
    ("OPTIONS", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/jwks.json"),
    ("OPTIONS", "/.well-known/jwks.json"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/authorized-apps"),
    ("GET", "/static/{version}/{file:.+}"),
];

/// What no program calls: what browsers ask for by themselves, and what a page of ours sends or shows. By prefix.
const UNDESCRIBED: &[(&str, &str)] = &[
    ("OPTIONS", "/oauth/"),
    ("OPTIONS", "/.well-known/"),
    ("POST", "/oauth/authorize"),
    ("GET", "/.well-known/oauth-authorization-server/"),
    ("GET", "/.well-known/oauth-protected-resource/"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/authorized-apps"),
    ("POST", "/authorized-apps"),
    ("GET", "/static/"),
    ("GET", "/"),
    ("GET", "/keys"),
    ("GET", "/keys/{id}"),
    ("GET", "/security"),
    ("GET", "/apps"),
    ("GET", "/audit"),
    ("GET", "/alerts"),
];

/// A path of the list that ends in a slash, the first one excepted, stands for all below it.
fn is_undescribed(method: &str, path: &str) -> bool {
    let covers = |listed: &str| path == listed || listed.len() > 1 && listed.ends_with('/') && path.starts_with(listed);
    UNDESCRIBED.iter().any(|(known, listed)| *known == method && covers(listed))
}

fn contract() -> BTreeSet<(String, String)> {
    let text = include_str!("../../../../docs/spec/CONTRACT.md");
    let (_, from) = text.split_once("## 5. HTTP: the endpoints").unwrap();
    let (table, _) = from.split_once("Decision codes and the status").unwrap();
    table.lines().filter_map(|line| line.strip_prefix("| ")).flat_map(endpoints).collect()
}

/// The endpoints of a row: `GET /a?x=`, `GET`/`PATCH …/{id}`, `/disable`. A method stands for all paths behind it until the
/// next one; methods without a path belong to the next path; an abbreviated path goes on from those before it.
fn endpoints(row: &str) -> Vec<(String, String)> {
    let (cell, _) = row.split_once(" | ").unwrap();
    let (mut found, mut waiting, mut methods) = (Vec::new(), Vec::new(), vec!["GET".to_owned()]);
    let (mut first, mut previous) = (String::new(), String::new());
    for code in cell.split('`').skip(1).step_by(2) {
        let (verbs, rest): (Vec<&str>, Vec<&str>) = code.split_whitespace().partition(|word| is_method(word));
        waiting.extend(verbs.iter().map(|verb| (*verb).to_owned()));
        let Some(path) = rest.iter().find(|word| word.starts_with(['/', '…'])) else { continue };
        if !waiting.is_empty() {
            methods = std::mem::take(&mut waiting);
        }
        let path = path.split('?').next().unwrap().replace("[/…]", "");
        let full = match path.strip_prefix('…') {
            Some(rest) => resolve(&first, rest),
            // `/disable` stands beside what was named before it.
            None if first.starts_with("/v1") && !path.starts_with("/v1") => {
                format!("{}{path}", previous.rsplit_once('/').unwrap().0)
            }
            None => path,
        };
        if first.is_empty() {
            first.clone_from(&full);
        }
        found.extend(methods.iter().map(|method| (method.clone(), full.clone())));
        previous = full;
    }
    found
}

fn is_method(word: &str) -> bool {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "ANY"].contains(&word)
}

/// `…/keys/{id}/rotate`, `…/{id}` and `…/allowlist/preview` all hang below the organization or the row's first path.
fn resolve(first: &str, rest: &str) -> String {
    let root = rest.split('/').nth(1).unwrap();
    if let Some((before, _)) = first.split_once(&format!("/{root}/")) {
        return format!("{before}{rest}");
    }
    match root {
        "keys" | "apps" | "alerts" | "audit" => format!("/v1/orgs/{{org}}{rest}"),
        _ => {
            let base = if first.ends_with("/allowlist") { first.trim_end_matches("/allowlist") } else { first };
            format!("{base}{rest}")
        }
    }
}

fn served() -> BTreeSet<(String, String)> {
    let plain = |route: &Route| (route.method.to_owned(), route.path.replace("/{path:[\\s\\S]*}", ""));
    ROUTES.iter().map(plain).collect()
}

#[test]
fn every_endpoint_of_the_contract_is_served() {
    let missing: Vec<_> = contract().difference(&served()).cloned().collect();
    assert!(missing.is_empty(), "in the contract, but not served: {missing:?}");
}

#[test]
fn nothing_is_served_that_the_contract_does_not_name() {
    let beside = BESIDE.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    let known: BTreeSet<_> = contract().union(&beside).cloned().collect();
    let unknown: Vec<_> = served().difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "served, but not in the contract: {unknown:?}");
}

#[test]
fn the_document_describes_every_route_and_nothing_else() {
    let document = serde_json::to_value(openapi_document()).unwrap();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            methods.into_iter().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    // OpenAPI has no word for "any method"; the subrequest of nginx is a GET.
    let served: BTreeSet<_> = served()
        .into_iter()
        .filter(|(method, path)| !is_undescribed(method, path))
        .map(|(method, path)| (if method == "ANY" { "GET".to_owned() } else { method }, path))
        .collect();
    assert_eq!(described, served);
}

#[test]
fn the_committed_document_is_that_of_the_code() {
    let committed: Value = serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    assert_eq!(committed, serde_json::to_value(openapi_document()).unwrap(), "run `just openapi`");
}

fn filled(route: &Route) -> String {
    let path = route.path.replace("{org}", "acme").replace("{path:[\\s\\S]*}", "api/v1/checks");
    let id = Uuid::nil().to_string();
    path.replace("{id}", &id).replace("{secret}", &id).replace("{path:.+}", "tenant")
}

fn method(route: &Route) -> &'static str {
    if route.method == "ANY" { "GET" } else { route.method }
}

fn needs_credential(route: &&Route) -> bool {
    !matches!(route.who, Who::Anyone | Who::TrustedProxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_that_needs_a_credential_answers_without_one() {
    let world = World::new().await;
    let mut open = Vec::new();
    for route in ROUTES.iter().filter(needs_credential) {
        let reply = world.api.ask(method(route), &filled(route)).json(&json!({})).send().await;
        let challenged = reply.header("www-authenticate").starts_with("Bearer realm=");
        if reply.outcome() != (401, "missing".into()) || !challenged {
            open.push((route.method, route.path, reply.status, reply.text));
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_that_needs_a_credential_answers_to_a_wrong_one() {
    let world = World::new().await;
    let (_, dead) = world.key(&["checks:read"]).await;
    let stranger = dead.replace("sp_live_", "sp_test_");
    let mut open = Vec::new();
    for route in ROUTES.iter().filter(needs_credential) {
        let with = |header: &'static str, value: String| {
            world.api.ask(method(route), &filled(route)).header(header, value).json(&json!({})).send()
        };
        let replies = [
            with("authorization", format!("Bearer {stranger}")).await,
            with("authorization", "Basic b3duZXI6cGFzc3dvcmQ=".into()).await,
            with("cookie", "statuspulse_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()).await,
            with("x-api-key", dead.clone()).await,
        ];
        open.extend(replies.into_iter().filter(|r| r.status != 401).map(|r| (route.path, r.status, r.text)));
    }
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_only_the_routes_of_its_scopes() {
    let world = World::new().await;
    // Every scope but the management ones.
    let scopes = ["monitoring:read", "checks:read", "checks:write", "incidents:write", "webhooks:write"];
    let (_, token) = world.key_like(key_of("production", &scopes)).await;
    let mut open = Vec::new();
    for route in ROUTES.iter().filter(|route| needs_credential(route) && route.who != Who::OwnKey) {
        let reply = world.api.ask(method(route), &filled(route)).key(&token).json(&json!({})).send().await;
        let refused = match route.who {
            Who::Session | Who::Member | Who::Writer | Who::Admin | Who::Owner => {
                reply.outcome() == (403, "credential_not_allowed".into())
            }
            _ => reply.outcome() == (403, "insufficient_scope".into()),
        };
        if !refused {
            open.push((route.method, route.path, reply.status, reply.text));
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_people_act_who_brings_nothing_is_told_to_sign_in() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for route in ROUTES
        .iter()
        .filter(|route| matches!(route.who, Who::Session | Who::Member | Who::Writer | Who::Admin | Who::Owner))
    {
        let reply = world.api.ask(method(route), &filled(route)).send().await;
        let detail = reply.json()["detail"].to_string();
        if !detail.contains("sign in") || detail.contains("key") {
            silent.push((route.method, route.path, reply.text));
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}

/// What somebody of a role is answered at these routes for a body that is no JSON.
async fn answers_to_nonsense(
    role: Role,
    refused: impl Fn(Who) -> bool,
) -> Vec<(&'static str, &'static str, u16, String)> {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "somebody", role).await;
    let browser = world.api.sign_in(&person).await;
    let mut answers = Vec::new();
    for route in ROUTES.iter().filter(|route| refused(route.who)) {
        let reply = world.api.ask(route.method, &filled(route)).browser(&browser).body("{").send().await;
        answers.push((route.method, route.path, reply.status, reply.code()));
    }
    answers
}

fn is_refused(answer: &(&str, &str, u16, String)) -> bool {
    (answer.2, answer.3.as_str()) == (403, "role_not_sufficient")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_is_refused_before_the_body_is_read() {
    let answers = answers_to_nonsense(Role::Auditor, |who| matches!(who, Who::Writer | Who::Admin | Who::Owner)).await;
    assert!(answers.len() > 10 && answers.iter().all(is_refused), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_is_refused_what_is_for_admins_before_the_body_is_read() {
    let answers = answers_to_nonsense(Role::Developer, |who| matches!(who, Who::Admin | Who::Owner)).await;
    assert!(answers.len() > 1 && answers.iter().all(is_refused), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_is_refused_what_is_for_owners_before_the_body_is_read() {
    let answers = answers_to_nonsense(Role::Admin, |who| who == Who::Owner).await;
    assert!(answers.len() > 2 && answers.iter().all(is_refused), "{answers:?}");
}

/// What reads a body and may be called by auditors: a change that is missing here is one that the table lets them begin.
#[test]
fn every_change_in_an_organization_states_its_role() {
    let open = ROUTES.iter().filter(|route| route.who == Who::Member && route.method != "GET");
    let reading = [
        "/v1/orgs/{org}/keys/{id}/allowlist/preview",
        "/v1/orgs/{org}/keys/{id}/explain",
        "/v1/orgs/{org}/allowlist/preview",
    ];
    assert_eq!(open.map(|route| route.path).collect::<Vec<_>>(), reading);
}

/// The fields of JSON bodies that are objects with fields of their own, with their endpoints.
fn inner_objects() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(openapi_document()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let schema = operation["requestBody"]["content"]["application/json"]["schema"].to_string();
            let Some((_, name)) = schema.split_once("#/components/schemas/") else { continue };
            let body = &document["components"]["schemas"][name.split('"').next().unwrap()];
            for (field, schema) in body["properties"].as_object().into_iter().flatten() {
                if schema.to_string().contains("$ref") {
                    found.push((method.to_uppercase(), path.clone(), field.clone()));
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_taken_for_no_object_within_a_body() {
    let world = World::new().await;
    let found = inner_objects();
    let mut taken = Vec::new();
    for (method, path, field) in &found {
        let reply = world.owner(method, &path.replace("{org}", "acme"), &json!({field: [30, 100, 20]})).await;
        if (reply.status, reply.fields()) != (422, vec![format!("{field}: invalid_type")]) {
            taken.push((path, field, reply.text));
        }
    }
    assert!(!found.is_empty() && taken.is_empty(), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_api_names_every_endpoint_under_the_headers_of_a_page() {
    let world = World::new().await;
    let reply = world.api.get("/docs").send().await;
    let login = world.api.get("/login").send().await;
    let missing: Vec<_> = served()
        .into_iter()
        .filter(|(method, path)| !is_undescribed(method, path))
        .filter(|(method, path)| !reply.text.contains(&format!("<code>{method} {path}</code>")))
        .collect();
    let headers = ["content-type", "content-security-policy", "x-frame-options", "cache-control"];
    let same = headers.map(|name| reply.header(name) == login.header(name));
    assert_eq!((reply.status, same, missing), (200, [true; 4], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_plain_text_unless_open_metrics_is_asked_for() {
    let world = World::new().await;
    let plain = world.api.get("/metrics").send().await;
    let open = world.api.get("/metrics").header("accept", "application/openmetrics-text; version=1.0.0").send().await;
    let seen = [&plain, &open].map(|reply| (reply.header("content-type"), reply.text.ends_with("# EOF\n")));
    assert_eq!(
        seen,
        [
            ("text/plain; version=0.0.4; charset=utf-8", false),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", true)
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_refuses_other_methods_and_says_which_it_takes() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for route in ROUTES.iter().filter(|route| route.method != "ANY") {
        let reply = world.api.ask("TRACE", &filled(route)).send().await;
        if reply.status != 405 || !reply.header("allow").contains(route.method) {
            wrong.push((route.path, reply.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_carries_a_request_id_of_our_own_and_the_security_headers() {
    let world = World::new().await;
    let theirs = Uuid::nil().to_string();
    let mut wrong = Vec::new();
    for path in ["/healthz", "/v1/session", "/nowhere", "/v1/orgs/acme/keys", "/v1/forward-auth"] {
        let reply = world.api.get(path).header("x-request-id", &theirs).send().await;
        let id = reply.header("x-request-id").to_owned();
        let complete = reply.header("x-content-type-options") == "nosniff"
            && reply.header("x-frame-options") == "DENY"
            && reply.header("referrer-policy") == "no-referrer"
            && reply.header("content-security-policy").contains("default-src 'none'")
            && reply.header("cache-control") == "no-store";
        if id.parse::<Uuid>().is_err() || id == theirs || !complete {
            wrong.push((path, id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_is_a_problem_document() {
    let world = World::new().await;
    let asked = [("GET", "/nowhere"), ("GET", "/v1/session"), ("PUT", "/healthz"), ("POST", "/v1/session")];
    let mut wrong = Vec::new();
    for (method, path) in asked {
        let reply = world.api.ask(method, path).send().await;
        let body = reply.json();
        let whole =
            ["type", "title", "status", "detail", "code", "request_id"].iter().all(|name| !body[*name].is_null());
        let typed = reply.header("content-type") == "application/problem+json";
        if !whole || !typed || body["request_id"] != reply.header("x-request-id") {
            wrong.push((path, reply.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn operations() -> Vec<serde_json::Value> {
    let document = serde_json::to_value(openapi_document()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    paths.values().flat_map(|item| item.as_object().unwrap().values().cloned().collect::<Vec<_>>()).collect()
}

#[test]
fn every_operation_of_the_document_has_a_name_of_its_own() {
    let mut names: Vec<String> =
        operations().iter().map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// OpenAPI 3.1 §4.8.17 requires it.
#[test]
fn every_answer_of_the_document_is_described() {
    let mut bare = Vec::new();
    for operation in operations() {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            if answer["description"].as_str().unwrap_or_default().is_empty() {
                bare.push(format!("{} {status}", operation["operationId"]));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn problems_have_their_own_media_type_in_the_document() {
    let text = operations().iter().map(ToString::to_string).collect::<String>();
    let plain = r##""application/json":{"schema":{"$ref":"#/components/schemas/Problem"}}"##;
    assert!(text.contains("application/problem+json") && !text.contains(plain));
}

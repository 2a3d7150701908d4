//! The audit trail for readers: pages, single events, exports, checkpoints.

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    web::Bytes,
};
use futures_util::stream;
use statuspulse_app::{
    AppError,
    audit::{
        ask::{self, AskEvents, AskExport},
        export::Export,
        read,
    },
    views::{CheckpointPageJson, EventJson, EventPageJson},
};
use statuspulse_audit::export::Format;

use super::Answer;
use crate::http::{
    ApiError, Context,
    error::{Problem, request_id},
    query,
};

const FILTERS: [&str; 7] = ["from", "to", "actor", "action", "outcome", "ip", "country"];

/// The parameters of a reading: filters, and what else it takes.
fn parameters(context: &Context, more: [&'static str; 2]) -> Result<Vec<(String, String)>, ApiError> {
    query::list_parameters(&context.request, &[FILTERS.as_slice(), &more].concat())
}

fn events(parameters: &[(String, String)]) -> AskEvents {
    let given = |name| query::value(parameters, name).map(str::to_owned);
    AskEvents {
        from: given("from"),
        to: given("to"),
        actor: given("actor"),
        action: given("action"),
        outcome: given("outcome"),
        ip: given("ip"),
        country: given("country"),
    }
}

/// List events, newest first. The reading is itself an event.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit/events", tag = "audit",
    security(("session" = []), ("key" = ["audit:read"])), params(("org" = String, Path),
        ("from" = Option<String>, Query, description = "from this time on, RFC 3339"),
        ("to" = Option<String>, Query, description = "before this time, RFC 3339"),
        ("actor" = Option<String>, Query, description = "id of the actor; a developer must name an own key"),
        ("action" = Option<String>, Query, description = "a word such as `key.create`, or a family such as `key.`"),
        ("outcome" = Option<String>, Query, description = "`allowed`, `denied` or `failed`"),
        ("ip" = Option<String>, Query, description = "an address, or a network in canonical form"),
        ("country" = Option<String>, Query, description = "two letters, in any case"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = EventPageJson),
    (status = 400, description = "a cursor of another list", body = Problem),
    (status = 403, description = "a developer must name an own key as `actor`", body = Problem),
    (status = 422, description = "an unknown filter, or a value that can't be read", body = Problem)))]
pub(crate) async fn list(context: Context) -> Answer {
    let parameters = parameters(&context, ["limit", "cursor"])?;
    let (limit, cursor) = (query::limit(&parameters)?, query::value(&parameters, "cursor"));
    let (app, access) = (context.app(), context.access()?);
    let page = ask::list(app, &context.caller, access, &events(&parameters), limit, cursor).await?;
    Ok(HttpResponse::Ok().json(EventPageJson::from(page)))
}

/// Show an event.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit/events/{id}", tag = "audit",
    security(("session" = []), ("key" = ["audit:read"])), params(("org" = String, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "the event", body = EventJson),
    (status = 403, description = "a developer sees those of own keys", body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn show(context: Context) -> Answer {
    let event = read::show(context.app(), &context.caller, context.access()?, context.id("event")?).await?;
    Ok(HttpResponse::Ok().json(EventJson::from(event)))
}

/// Export events, oldest first, as a stream. The export is itself an event, written before the first byte.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit/export", tag = "audit",
    security(("session" = []), ("key" = ["audit:read"])), params(("org" = String, Path),
        ("format" = Option<String>, Query, description = "`jsonl` (when left out), `ocsf`, `cef` or `csv`"),
        ("after" = Option<uuid::Uuid>, Query,
            description = "id of the last event that arrived: goes on behind it, without a header line"),
        ("from" = Option<String>, Query, description = "from this time on, RFC 3339"),
        ("to" = Option<String>, Query, description = "before this time, RFC 3339"),
        ("actor" = Option<String>, Query, description = "id of the actor; a developer must name an own key"),
        ("action" = Option<String>, Query, description = "a word such as `key.create`, or a family such as `key.`"),
        ("outcome" = Option<String>, Query, description = "`allowed`, `denied` or `failed`"),
        ("ip" = Option<String>, Query, description = "an address, or a network in canonical form"),
        ("country" = Option<String>, Query, description = "two letters, in any case")), responses(
    (status = 200, description = "one event a line; a connection that breaks says that there is more",
        content((String = "application/x-ndjson"), (String = "text/plain"), (String = "text/csv"))),
    (status = 403, description = "a developer must name an own key as `actor`", body = Problem),
    (status = 422, description = "an unknown filter, or a value that can't be read", body = Problem)))]
pub(crate) async fn export(context: Context) -> Answer {
    let parameters = parameters(&context, ["format", "after"])?;
    let given = |name| query::value(&parameters, name).map(str::to_owned);
    let asked = AskExport { events: events(&parameters), format: given("format"), after: given("after") };
    let access = context.access()?;
    let export = ask::export(context.app(), &context.caller, access, &asked).await?;
    let ending = match export.format() {
        Format::Jsonl => "jsonl",
        Format::Ocsf => "ocsf.jsonl",
        Format::Cef => "cef",
        Format::Csv => "csv",
    };
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, export.content_type()));
    let name = format!("attachment; filename=\"audit-{}.{ending}\"", access.organization.slug);
    answer.insert_header((CONTENT_DISPOSITION, name));
    if context.request.method() == Method::HEAD {
        // The body of a stream would be read to its end, and thrown away.
        return Ok(answer.streaming(stream::empty::<Result<Bytes, AppError>>()));
    }
    let id = request_id(&context.request).map(|id| id.to_string()).unwrap_or_default();
    Ok(answer.streaming(lines(export, id)))
}

/// The lines of an export, a page at a time as the client takes them. An error breaks the connection: a body that ended in
/// order would be taken for the whole.
fn lines(export: Export, request_id: String) -> impl stream::Stream<Item = Result<Bytes, AppError>> {
    stream::try_unfold((export, request_id), |(mut export, request_id)| async move {
        match export.next().await {
            Ok(chunk) => Ok(chunk.map(|chunk| (Bytes::from(chunk.bytes), (export, request_id)))),
            Err(error) => {
                let cause = format!("{error:?}");
                tracing::error!(request_id, cause, events = export.events(), "an export broke off");
                Err(error)
            }
        }
    })
}

/// List checkpoints, newest first, with the keys that have signed them. The reading is itself an event.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit/checkpoints", tag = "audit",
    security(("session" = []), ("key" = ["audit:read"])), params(("org" = String, Path),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = CheckpointPageJson),
    (status = 400, description = "a cursor of another list", body = Problem),
    (status = 403, description = "not for developers", body = Problem),
    (status = 422, description = "an unknown parameter, or a limit out of bounds", body = Problem)))]
pub(crate) async fn checkpoints(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["limit", "cursor"])?;
    let (limit, cursor) = (query::limit(&parameters)?, query::value(&parameters, "cursor"));
    let (app, access) = (context.app(), context.access()?);
    let page = ask::checkpoints(app, &context.caller, access, limit, cursor).await?;
    Ok(HttpResponse::Ok().json(CheckpointPageJson::from(page)))
}

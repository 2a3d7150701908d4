//! Keys.

use actix_web::HttpResponse;
use statuspulse_app::{
    AppError,
    keys::{self, AskInventory, ListKeys, Switch},
    views::{
        AddedRangesJson, AllowlistJson, ClaimedJson, ExplanationJson, InventoryJson, IssuedJson, KeyJson, KeyPageJson,
        MatrixJson, PreviewJson, RangesPreviewJson, ReceiptJson, RotatedJson, SuggestionsJson, UsageJson,
        VersionPageJson,
    },
};

use super::{
    Answer,
    dto::{
        CallToExplain, ChangedKey, NewAllowlist, NewKey, NewRanges, Nothing, Revocation, Rotation, ThoughtOfAllowlist,
        ThoughtOfRanges,
    },
};
use crate::http::{ApiError, Context, error::Problem, query};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IF_MATCH: &str = "if-match";

/// The permission matrix.
#[utoipa::path(get, path = "/v1/scopes", tag = "keys", responses(
    (status = 200, description = "resources, presets and environments", body = MatrixJson),
))]
pub(crate) async fn scopes(context: Context) -> Answer {
    Ok(HttpResponse::Ok().json(MatrixJson::new(&context.app().catalog.load())))
}

/// Create a key.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = NewKey, responses(
    (status = 201, description = "the key and its token, which is in this answer and nowhere else", body = IssuedJson),
    (status = 403, description = "the role may not hand out a scope", body = Problem),
    (status = 409, description = "this request was carried out before", body = Problem),
    (status = 422, description = "a field is out of bounds", body = Problem),
))]
pub(crate) async fn create(context: Context) -> Answer {
    let idempotency_key = context.header(IDEMPOTENCY_KEY)?;
    let body: NewKey = context.json().await?;
    let access = context.access()?;
    let issued = keys::create(context.app(), &context.caller, access, body.into(), idempotency_key.as_deref()).await?;
    Ok(HttpResponse::Created().json(IssuedJson::new(context.app(), issued)))
}

/// List keys, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys", tag = "keys", security(("session" = []), ("key" = ["keys:read"])),
    params(("org" = String, Path), ("environment" = Option<String>, Query), ("status" = Option<String>, Query),
        ("q" = Option<String>, Query, description = "part of the name in any case, or a whole id or hint"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = KeyPageJson),
    (status = 400, description = "a cursor of another list", body = Problem),
    (status = 422, description = "an unknown filter, or a limit out of bounds", body = Problem),
))]
pub(crate) async fn list(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["environment", "status", "q", "limit", "cursor"])?;
    let given = |name| query::value(&parameters, name).map(str::to_owned);
    let asked = ListKeys {
        environment: given("environment"),
        status: given("status"),
        text: given("q"),
        limit: query::limit(&parameters)?,
        cursor: given("cursor"),
    };
    let page = keys::list(context.app(), context.access()?, &asked).await?;
    Ok(HttpResponse::Ok().json(KeyPageJson::new(context.app(), page)))
}

/// Show a key.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys/{id}", tag = "keys",
    security(("session" = []), ("key" = ["keys:read"])), params(("org" = String, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "the key", body = KeyJson), (status = 404, body = Problem)))]
pub(crate) async fn show(context: Context) -> Answer {
    let view = keys::show(context.app(), context.access()?, context.id("key")?).await?;
    Ok(HttpResponse::Ok().json(KeyJson::new(context.app(), view)))
}

/// Change a key.
#[utoipa::path(patch, path = "/v1/orgs/{org}/keys/{id}", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = ChangedKey, responses(
    (status = 200, description = "the key", body = KeyJson),
    (status = 403, description = "the role may not hand out a scope", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "the key is revoked or has expired", body = Problem),
    (status = 422, description = "a field is out of bounds", body = Problem),
))]
pub(crate) async fn change(context: Context) -> Answer {
    let id = context.id("key")?;
    let body: ChangedKey = context.json().await?;
    let (view, _) = keys::change(context.app(), &context.caller, context.access()?, id, body.into()).await?;
    Ok(HttpResponse::Ok().json(KeyJson::new(context.app(), view)))
}

/// Rotate a key.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys/{id}/rotate", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header,
        description = "the version that is thought current, in quotes"), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<Rotation>, responses(
    (status = 200, description = "the key and its new token, which is in this answer and nowhere else", body = RotatedJson),
    (status = 404, body = Problem),
    (status = 409, description = "dead, just rotated, or carried out before", body = Problem),
    (status = 412, description = "another version is current", body = Problem),
    (status = 422, description = "an overlap out of bounds", body = Problem),
))]
pub(crate) async fn rotate(context: Context) -> Answer {
    let id = context.id("key")?;
    let idempotency_key = context.header(IDEMPOTENCY_KEY)?;
    let if_match = context.header(IF_MATCH)?.map(|text| version(&text)).transpose()?.flatten();
    let body: Rotation = context.json_or_empty().await?;
    let (app, access) = (context.app(), context.access()?);
    let rotated = keys::rotate(app, &context.caller, access, id, body.at(if_match), idempotency_key.as_deref()).await?;
    Ok(HttpResponse::Ok().json(RotatedJson::new(app, rotated)))
}

/// A version in `If-Match`: `"3"`; `*` matches whatever is there.
fn version(text: &str) -> Result<Option<i32>, ApiError> {
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    // What is no version is certainly not the current one.
    let mismatch = || AppError::PreconditionFailed {
        code: "version_mismatch",
        detail: "If-Match takes the key's version, such as `\"3\"`".into(),
    };
    number.parse().map(Some).map_err(|_| mismatch().into())
}

/// Revoke a key for good.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys/{id}/revoke", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path), ("wait" = Option<String>, Query,
        description = "how long to wait for all instances, 0 to 30 s, such as `5s`")), request_body = Option<Revocation>,
    responses((status = 200, description = "where it is in force", body = ReceiptJson), (status = 404, body = Problem)))]
pub(crate) async fn revoke(context: Context) -> Answer {
    let body: Revocation = context.json_or_empty().await?;
    switch(context, Switch::Revoke(body.reason)).await
}

/// Switch a key off.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys/{id}/disable", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path), ("wait" = Option<String>, Query)),
    responses((status = 200, description = "where it is in force", body = ReceiptJson), (status = 404, body = Problem),
        (status = 409, description = "the key is revoked", body = Problem)))]
pub(crate) async fn disable(context: Context) -> Answer {
    let _: Nothing = context.json_or_empty().await?;
    switch(context, Switch::Disable).await
}

/// Switch a key on.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys/{id}/enable", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path), ("wait" = Option<String>, Query)),
    responses((status = 200, description = "where it is in force", body = ReceiptJson), (status = 404, body = Problem),
        (status = 409, description = "the key is revoked", body = Problem)))]
pub(crate) async fn enable(context: Context) -> Answer {
    let _: Nothing = context.json_or_empty().await?;
    switch(context, Switch::Enable).await
}

async fn switch(context: Context, switch: Switch) -> Answer {
    let (id, wait) = (context.id("key")?, query::wait(&context.request)?);
    let (app, access) = (context.app(), context.access()?);
    let receipt = keys::switch(app, &context.caller, access, id, &switch, wait).await?;
    Ok(HttpResponse::Ok().json(ReceiptJson::new(app, receipt)))
}

/// Replace a key's allowlist.
#[utoipa::path(put, path = "/v1/orgs/{org}/keys/{id}/allowlist", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = NewAllowlist, responses(
    (status = 200, description = "the key, with a warning for each recent source that the list blocks", body = AllowlistJson),
    (status = 404, body = Problem), (status = 422, description = "an entry is refused", body = Problem)))]
pub(crate) async fn set_allowlist(context: Context) -> Answer {
    let id = context.id("key")?;
    let body: NewAllowlist = context.json().await?;
    let (app, access) = (context.app(), context.access()?);
    let (view, warnings) =
        keys::set_allowlist(app, &context.caller, access, id, body.allowed_cidrs, body.allow_any).await?;
    Ok(HttpResponse::Ok().json(AllowlistJson::new(app, view, warnings)))
}

/// Which past calls an allowlist would have refused. Changes nothing.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys/{id}/allowlist/preview", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = ThoughtOfAllowlist, responses(
    (status = 200, description = "calls by network, those included that the present list refused", body = PreviewJson),
    (status = 404, body = Problem), (status = 422, description = "an entry is refused", body = Problem),
    (status = 503, description = "there are too many calls to look through", body = Problem)))]
pub(crate) async fn preview_allowlist(context: Context) -> Answer {
    let id = context.id("key")?;
    let body: ThoughtOfAllowlist = context.json().await?;
    let (app, access) = (context.app(), context.access()?);
    let preview = keys::preview(app, &context.caller, access, id, body.allowed_cidrs, body.days).await?;
    Ok(HttpResponse::Ok().json(PreviewJson::from(preview)))
}

/// What a key could do without, from its accepted calls of 30 days. Nothing is applied.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys/{id}/suggestions", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "scopes that no call needed, and a list that all calls would pass", body = SuggestionsJson),
    (status = 404, body = Problem),
    (status = 503, description = "there are too many calls to look through", body = Problem)))]
pub(crate) async fn suggest(context: Context) -> Answer {
    let (app, access) = (context.app(), context.access()?);
    let suggestions = keys::suggest(app, &context.caller, access, context.id("key")?).await?;
    Ok(HttpResponse::Ok().json(SuggestionsJson::from(suggestions)))
}

/// Explain how a call would be judged.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys/{id}/explain", tag = "keys", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = CallToExplain, responses(
    (status = 200, description = "the decision step by step, with no side effect", body = ExplanationJson),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn explain(context: Context) -> Answer {
    let id = context.id("key")?;
    let body: CallToExplain = context.json().await?;
    let (app, access) = (context.app(), context.access()?);
    let explanation = keys::explain(app, &context.caller, access, id, &body.into()).await?;
    Ok(HttpResponse::Ok().json(ExplanationJson::from(explanation)))
}

/// The versions of a key, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys/{id}/versions", tag = "keys",
    security(("session" = []), ("key" = ["keys:read"])), params(("org" = String, Path), ("id" = uuid::Uuid, Path),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page; nothing of a secret but its hint", body = VersionPageJson),
    (status = 400, description = "a cursor of another list", body = Problem),
    (status = 404, body = Problem),
    (status = 422, description = "an unknown parameter, or a limit out of bounds", body = Problem),
))]
pub(crate) async fn versions(context: Context) -> Answer {
    let id = context.id("key")?;
    let parameters = query::list_parameters(&context.request, &["limit", "cursor"])?;
    let (limit, cursor) = (query::limit(&parameters)?, query::value(&parameters, "cursor"));
    let page = keys::versions(context.app(), context.access()?, id, limit, cursor).await?;
    Ok(HttpResponse::Ok().json(VersionPageJson::from(page)))
}

/// What a key did by the hour, and from which countries. Hours are kept for 8 days. The numbers are those of some ten seconds
/// ago: each instance adds up what is in the audit trail and writes it every ten seconds, later where the database was away.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys/{id}/usage", tag = "keys",
    security(("session" = []), ("key" = ["keys:read"])), params(("org" = String, Path), ("id" = uuid::Uuid, Path),
        ("days" = Option<i64>, Query, minimum = 1, maximum = 8, description = "7 when left out; the present hour is the last one")),
    responses(
    (status = 200, description = "every hour of the range in order, oldest first, and the countries", body = UsageJson),
    (status = 404, body = Problem),
    (status = 422, description = "an unknown parameter, or days out of bounds", body = Problem),
))]
pub(crate) async fn usage(context: Context) -> Answer {
    let id = context.id("key")?;
    let parameters = query::list_parameters(&context.request, &["days"])?;
    let days = query::number(&parameters, "days", "1 to 8 days")?;
    let usage = keys::usage(context.app(), context.access()?, id, days).await?;
    Ok(HttpResponse::Ok().json(UsageJson::from(usage)))
}

/// Pick the successor up: the answer holds its token, which is nowhere else. The old token works until its own end.
#[utoipa::path(post, path = "/v1/keys/self/successor", tag = "keys", security(("key" = [])), responses(
    (status = 201, description = "the key with its new token", body = ClaimedJson),
    (status = 401, description = "the key is not accepted", body = Problem),
    (status = 404, description = "no successor is prepared", body = Problem),
    (status = 409, description = "it was picked up already", body = Problem)))]
pub(crate) async fn claim_successor(context: Context) -> Answer {
    let _: Nothing = context.json_or_empty().await?;
    let claimed = keys::successor::claim(context.app(), &context.caller, context.key()?).await?;
    Ok(HttpResponse::Created().json(ClaimedJson::new(context.app(), claimed)))
}

/// The key that asks.
#[utoipa::path(get, path = "/v1/keys/self", tag = "keys", security(("key" = [])), responses(
    (status = 200, description = "the key's own record", body = KeyJson),
    (status = 401, description = "the key is not accepted", body = Problem)))]
pub(crate) async fn own(context: Context) -> Answer {
    let found = context.key()?;
    let view = keys::show_own(context.app(), found.organization.id, found.key.key.id).await?;
    Ok(HttpResponse::Ok().json(KeyJson::new(context.app(), view)))
}

/// Keys that want a look, by reason.
#[utoipa::path(get, path = "/v1/orgs/{org}/inventory", tag = "keys", security(("session" = []), ("key" = ["keys:read"])),
    params(("org" = String, Path), ("reason" = Option<String>, Query),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200)), responses(
    (status = 200, description = "the living keys under each of their reasons, or `limit` of each, or of one reason", body = InventoryJson),
    (status = 422, description = "`unknown_reason`, `out_of_bounds`", body = Problem)))]
pub(crate) async fn inventory(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["reason", "limit"])?;
    let reason = query::value(&parameters, "reason").map(str::to_owned);
    let asked = AskInventory { reason, limit: query::limit(&parameters)? };
    let lists = keys::inventory(context.app(), context.access()?, &asked).await?;
    Ok(HttpResponse::Ok().json(InventoryJson::new(context.app(), lists)))
}

/// Say which past calls of many keys their lists would have refused with further ranges; changes nothing. Of an environment
/// it also tells from where the keys there are used, which is what the list of a new key is compared with.
#[utoipa::path(post, path = "/v1/orgs/{org}/allowlist/preview", tag = "keys", security(("session" = [])),
    params(("org" = String, Path)), request_body = ThoughtOfRanges, responses(
    (status = 200, description = "each key with the list that it would have and its calls under it", body = RangesPreviewJson),
    (status = 422, description = "a field is out of bounds; what is wrong with the list of one key stands under `keys.ID`",
        body = Problem),
    (status = 503, description = "the keys have too many calls to look through", body = Problem)))]
pub(crate) async fn preview_ranges(context: Context) -> Answer {
    let body: ThoughtOfRanges = context.json().await?;
    let (choice, add, days) = body.read();
    let (app, access) = (context.app(), context.access()?);
    let previewed = keys::preview_ranges(app, &context.caller, access, &choice, &add, days).await?;
    Ok(HttpResponse::Ok().json(RangesPreviewJson::from(previewed)))
}

/// Add ranges to the lists of many keys: to all of them or, when one can't be changed, to none.
#[utoipa::path(post, path = "/v1/orgs/{org}/allowlist/add", tag = "keys", security(("session" = [])),
    params(("org" = String, Path)), request_body = NewRanges, responses(
    (status = 200, description = "the keys that were changed, each with its warnings, and those that were left as they are",
        body = AddedRangesJson),
    (status = 403, description = "the role may not hand out a scope of a key that would be changed", body = Problem),
    (status = 422, description = "a field is out of bounds; what is wrong with the list of one key stands under `keys.ID`",
        body = Problem)))]
pub(crate) async fn add_ranges(context: Context) -> Answer {
    let body: NewRanges = context.json().await?;
    let (app, access) = (context.app(), context.access()?);
    let added = keys::add_ranges(app, &context.caller, access, body.into()).await?;
    Ok(HttpResponse::Ok().json(AddedRangesJson::new(app, added)))
}

//! The page of what a person has authorized: the use cases behind `/v1/me/grants`, for people without a program.

use chrono::{DateTime, Utc};
use statuspulse_app::{
    AppError, Principal,
    oauth::grants::{self, Page},
};
use statuspulse_oauth::Form;
use statuspulse_policy::Catalog;
use statuspulse_store::oauth::grants::ListedGrant;
use url::form_urlencoded::Serializer;

use super::{
    Answer,
    authorize::{field, judge_form, to_own},
};
use crate::{
    http::{Context, oauth as wire},
    pages::{AuthorizedAppsPage, GrantEntry, GrantedScope},
};

const PATH: &str = "/authorized-apps";

/// What the signed-in person has authorized, newest first.
pub(crate) async fn show(context: Context) -> Answer {
    let Some((session, cookie)) = context.present_session().await? else { return Ok(to_own(&context, "/login")) };
    let query = Form::parse(context.request.query_string().as_bytes());
    let page = grants::of_person(context.app(), session.user.id, None, field(&query, "cursor")).await?;
    let csrf = context.app().secrets.csrf_token(&cookie);
    Ok(listed(&context, &session.user.email, &csrf, &page))
}

fn listed(context: &Context, email: &str, csrf: &str, page: &Page) -> actix_web::HttpResponse {
    let catalog = context.app().catalog.load();
    let entries: Vec<GrantEntry<'_>> = page.items.iter().map(|listed| entry(listed, &catalog)).collect();
    let next_query =
        page.next_cursor.as_ref().map(|cursor| Serializer::new(String::new()).append_pair("cursor", cursor).finish());
    let page = AuthorizedAppsPage {
        base: &context.state.base,
        email,
        grants: &entries,
        next_query: next_query.as_deref(),
        csrf,
    };
    wire::html(200, page.render(), None)
}

fn entry<'a>(listed: &'a ListedGrant, catalog: &'a Catalog) -> GrantEntry<'a> {
    let scopes = listed.grant.scopes.iter().filter_map(|bit| catalog.scope_info(bit));
    GrantEntry {
        id: listed.grant.id.to_string(),
        app_name: &listed.app_name,
        publisher: &listed.publisher,
        organization: &listed.organization,
        scopes: scopes
            .map(|scope| GrantedScope { name: scope.name.as_str(), description: &scope.description })
            .collect(),
        since: moment(listed.grant.created_at),
        last_use: listed.grant.last_used_at.map(moment),
    }
}

/// The zone of the reader is unknown to us, and no script may find it out.
fn moment(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// Ends one of them, and comes back.
pub(crate) async fn end(context: Context) -> Answer {
    let form = context.form().await?;
    let Some((session, cookie)) = context.present_session().await? else { return Ok(to_own(&context, "/login")) };
    if judge_form(&context, &cookie, field(&form, "csrf_token").unwrap_or_default()).is_err() {
        let detail = "The page was open for too long, or was not meant for this browser. Open it again.";
        return Ok(wire::page(&context.request, 403, "This page is no longer valid", detail));
    }
    let mut caller = context.caller.clone();
    caller.principal = Principal::User { id: session.user.id, email: session.user.email.clone() };
    if let Some(id) = field(&form, "grant").and_then(|text| text.parse().ok()) {
        match grants::revoke_own(context.app(), &caller, session.user.id, id).await {
            // It has ended already: the button was pressed twice, or in another tab. The list says so.
            Ok(()) | Err(AppError::NotFound(_)) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Ok(to_own(&context, PATH))
}

//! The page of what a person has authorized: the use cases behind `/v1/me/grants`, for people without a program.

use chrono::{DateTime, TimeDelta, Utc};
use statuspulse_app::{
    AppError, Principal,
    oauth::grants::{self, Page},
    sessions,
};
use statuspulse_oauth::Form;
use statuspulse_policy::Catalog;
use statuspulse_store::oauth::grants::ListedGrant;
use url::form_urlencoded::Serializer;

use super::{
    Answer,
    authorize::{field, judge_form, to_own},
    dashboard::sign_in_first,
};
use crate::{
    http::{Context, oauth as wire},
    pages::{AuthorizedAppsPage, GrantEntry, GrantedScope},
};

/// Where it is.
pub(super) const PATH: &str = "/authorized-apps";

/// What the signed-in person has authorized, newest first.
pub(crate) async fn show(context: Context) -> Answer {
    let Some(session) = context.present_session().await? else { return Ok(sign_in_first(&context)) };
    let query = Form::parse(context.request.query_string().as_bytes());
    let page = grants::of_person(context.app(), session.user.id, None, field(&query, "cursor")).await?;
    let csrf = context.app().secrets.csrf_token(&sessions::form_bond(session.id));
    Ok(listed(&context, &session.user.email, &csrf, &page))
}

fn listed(context: &Context, email: &str, csrf: &str, page: &Page) -> actix_web::HttpResponse {
    let (catalog, now) = (context.app().catalog.load(), context.app().env.now());
    let entries: Vec<GrantEntry<'_>> = page.items.iter().map(|listed| entry(listed, &catalog, now)).collect();
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

fn entry<'a>(listed: &'a ListedGrant, catalog: &'a Catalog, now: DateTime<Utc>) -> GrantEntry<'a> {
    let scopes = listed.grant.scopes.iter().filter_map(|bit| catalog.scope_info(bit));
    GrantEntry {
        id: listed.grant.id.to_string(),
        app_name: &listed.app_name,
        publisher: &listed.publisher,
        organization: &listed.organization,
        scopes: scopes
            .map(|scope| GrantedScope { name: scope.name.as_str(), description: &scope.description })
            .collect(),
        since: moment(listed.grant.created_at, now),
        last_use: listed.grant.last_used_at.map(|at| moment(at, now)),
    }
}

/// The zone of the reader is unknown to us, and no script may find it out.
fn moment(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", at.format("%-d %B %Y, %H:%M UTC"), ago(now - at))
}

/// How long ago something was, in no fewer than two of a unit, which a number without its rest would misstate.
fn ago(since: TimeDelta) -> String {
    let minutes = since.num_minutes();
    let units =
        [(2 * 365 * 1_440, 365 * 1_440, "years"), (2 * 1_440, 1_440, "days"), (120, 60, "hours"), (2, 1, "minutes")];
    match units.into_iter().find(|(least, ..)| minutes >= *least) {
        Some((_, length, unit)) => format!("{} {unit} ago", minutes / length),
        None => "just now".to_owned(),
    }
}

/// Ends one of them, and comes back.
pub(crate) async fn end(context: Context) -> Answer {
    let form = context.form().await?;
    let Some(session) = context.present_session().await? else { return Ok(sign_in_first(&context)) };
    if judge_form(&context, &sessions::form_bond(session.id), field(&form, "csrf_token").unwrap_or_default()).is_err() {
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::ago;

    #[test]
    fn an_age_is_told_in_the_unit_of_which_it_has_two() {
        let told =
            [-1, 0, 1, 2, 119, 120, 2_879, 2_880, 1_051_199, 1_051_200].map(|minutes| ago(TimeDelta::minutes(minutes)));
        let expected = [
            "just now",
            "just now",
            "just now",
            "2 minutes ago",
            "119 minutes ago",
            "2 hours ago",
            "47 hours ago",
            "2 days ago",
            "729 days ago",
            "2 years ago",
        ];
        assert_eq!(told, expected);
    }
}

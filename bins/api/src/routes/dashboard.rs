//! The pages of the dashboard, and the files that they load.

use actix_web::{
    HttpResponse,
    http::header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, VARY,
    },
};
use statuspulse_app::{AppError, sessions};
use statuspulse_store::users::Membership;
use url::form_urlencoded::{self, Serializer};

use super::{Answer, authorize::to_own, authorized_apps::PATH as AUTHORIZED_APPS};
use crate::{
    assets,
    http::{Context, error::ApiError, oauth as wire},
    pages::{DashboardPage, Organization},
};

/// Scripts are our own files, and turn no text into markup or program (CSP 3; Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// The longest address of a page that sign-in goes back to, in bytes.
const LONGEST_ADDRESS: usize = 512;

/// A page: its path, its title, its script and its own style sheets, both below `pages/`.
struct Page {
    path: &'static str,
    title: &'static str,
    script: &'static str,
    styles: &'static [&'static str],
}

/// All of them.
const PAGES: [Page; 7] = [
    Page { path: "/", title: "Overview", script: "overview", styles: &["apps"] },
    Page { path: "/keys", title: "API Credentials", script: "keys", styles: &["keys"] },
    Page { path: "/keys/{id}", title: "API key", script: "key", styles: &["keys", "key"] },
    Page { path: "/security", title: "Security Controls", script: "security", styles: &["keys", "key", "security"] },
    Page { path: "/apps", title: "Developer Portal", script: "apps", styles: &["apps"] },
    Page { path: "/audit", title: "Audit", script: "audit", styles: &["audit"] },
    Page { path: "/alerts", title: "Alerts", script: "alerts", styles: &["audit"] },
];

/// A page for somebody who is signed in; others are asked to, and come back.
pub(crate) async fn page(context: Context) -> Answer {
    let pattern = context.request.match_pattern().unwrap_or_default();
    let Some(page) = PAGES.iter().find(|page| page.path == pattern) else {
        return Err(AppError::internal("the route is no page").into());
    };
    let Some(session) = context.present_session().await? else { return Ok(sign_in_first(&context)) };
    let view = sessions::view(context.app(), &session).await?;
    let asked = form_urlencoded::parse(context.request.query_string().as_bytes());
    let asked = asked.filter(|(name, _)| name == "org").map(|(_, value)| value).next();
    let held = &view.organizations;
    let chosen = match &asked {
        Some(slug) => held.iter().find(|one| one.slug == **slug),
        None => held.first(),
    };
    if chosen.is_none() && !held.is_empty() {
        let detail = "You belong to no organization of this name. Open the dashboard without it to see your own.";
        return Ok(wire::page(&context.request, 404, "No such organization", detail));
    }
    let Some(chosen) = chosen else {
        let detail = "You belong to no organization any more. Ask an owner of yours to add you again.";
        return Ok(wire::page(&context.request, 403, "No organization", detail));
    };
    let others: Vec<Organization<'_>> = held.iter().filter(|one| one.slug != chosen.slug).map(organization).collect();
    let files = format!("{}/static/{}", context.state.base, assets::version());
    let shown = DashboardPage {
        base: &context.state.base,
        files: &files,
        page: page.script,
        styles: page.styles,
        title: page.title,
        path: page.path.strip_suffix("/{id}").unwrap_or(page.path),
        user_id: session.user.id.as_uuid(),
        email: &session.user.email,
        organization: organization(chosen),
        is_named: !others.is_empty(),
        others: &others,
        csrf: &view.csrf_token,
    };
    let mut answer = wire::html(200, shown.render(), None);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(answer)
}

fn organization(held: &Membership) -> Organization<'_> {
    Organization { slug: &held.slug, name: &held.name, role: held.role.as_str() }
}

/// To the sign-in, which leads back to the page that was asked for.
pub(super) fn sign_in_first(context: &Context) -> HttpResponse {
    let uri = context.request.uri();
    let asked = uri.path_and_query().map(|whole| whole.as_str()).filter(|text| is_own_page(text));
    let query = Serializer::new(String::new()).append_pair("page", asked.unwrap_or("/")).finish();
    to_own(context, &format!("/login?{query}"))
}

/// Whether this is the address of a page for people who are signed in, and nothing that a browser could take for another place.
pub(super) fn is_own_page(address: &str) -> bool {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let is_plain = |text: &str, more: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.as_bytes().contains(&byte))
    };
    let is_page = PAGES.iter().any(|page| match page.path.strip_suffix("{id}") {
        Some(start) => path.strip_prefix(start).is_some_and(|id| !id.is_empty() && is_plain(id, "-")),
        None => path == page.path,
    });
    let is_page = is_page || path == AUTHORIZED_APPS;
    address.len() <= LONGEST_ADDRESS && is_page && is_plain(query, "-_.~%&=+:*,")
}

/// A file of the pages. Under the address of this build it stays what it is; under another one's, which a page has that was
/// loaded from an instance of another release, it is ours and kept by nobody.
pub(crate) async fn file(context: Context) -> Answer {
    let part = |name| context.request.match_info().get(name).unwrap_or_default();
    let asset = assets::find(part("file")).ok_or(ApiError::from(AppError::NotFound("file")))?;
    let kept = if part("version") == assets::version() { "public, max-age=31536000, immutable" } else { "no-store" };
    let accepted = context.request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, asset.media_type))
        .insert_header((CACHE_CONTROL, kept))
        .insert_header((VARY, HeaderValue::from_static("accept-encoding")));
    let takes_gzip = accepted.split(',').map(str::trim).any(|name| name == "gzip" || name.starts_with("gzip;q=1"));
    Ok(if takes_gzip {
        answer.insert_header((CONTENT_ENCODING, "gzip")).body(asset.gzip.clone())
    } else {
        answer.body(asset.content)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attack: a link to our sign-in that leads on to a page which looks like ours.
    #[test]
    fn sign_in_goes_back_to_pages_of_the_dashboard_alone() {
        let own = [
            "/",
            "/keys",
            "/keys?status=active&q=a%20b&org=acme",
            "/keys/019a8e5c-0000-7000-8000-000000000000",
            "/audit?from=2026-11-01T00:00:00Z&action=key.*",
            "/authorized-apps?cursor=abc_-",
        ];
        let refused = own.into_iter().filter(|address| !is_own_page(address)).collect::<Vec<_>>();
        let long = format!("/keys?q={}", "a".repeat(LONGEST_ADDRESS));
        let foreign = [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/keys/",
            "/keys/../v1",
            "/keys//evil.example",
            "/login",
            "/oauth/authorize?client_id=x",
            "/logout",
            "/keys#x",
            "/keys?a=b\r\nLocation:x",
            "/keys ",
            "/Keys",
            &long,
        ];
        let taken = foreign.into_iter().filter(|address| is_own_page(address)).collect::<Vec<_>>();
        assert_eq!((refused, taken), (vec![], vec![]));
    }

    #[test]
    fn every_page_has_a_route_and_its_files() {
        let lost: Vec<&str> = PAGES
            .iter()
            .filter(|page| {
                let is_served =
                    super::super::ROUTES.iter().any(|route| route.path == page.path && route.method == "GET");
                let files = page.styles.iter().map(|name| format!("pages/{name}.css"));
                let mut files = files.chain([format!("pages/{}.js", page.script)]);
                !is_served || files.any(|name| assets::find(&name).is_none())
            })
            .map(|page| page.path)
            .collect();
        assert_eq!(lost, Vec::<&str>::new());
    }
}

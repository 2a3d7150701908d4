//! The dashboard's pages as a client without scripts sees them: the frame, its policy, the way through sign-in, the files.

use crate::support::{Reply, World};

const PAGES: [&str; 7] =
    ["/", "/keys", "/keys/019a8e5c-0000-7000-8000-000000000000", "/security", "/apps", "/audit", "/alerts"];

/// The addresses of the files that a page loads.
fn files(page: &Reply) -> Vec<String> {
    let parts = page.text.split('"').filter(|part| part.starts_with("/static/"));
    parts.map(str::to_owned).collect()
}

fn hidden(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_signed_in_comes_to_the_page_through_sign_in() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for path in ["/", "/keys?status=active&q=a%20b", "/keys/019a8e5c-0000-7000-8000-000000000000", "/alerts"] {
        let away = world.api.get(path).send().await;
        let login = world.api.get(away.location()).send().await;
        let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
        let (csrf, page) = (hidden(&login.text, "csrf_token"), hidden(&login.text, "page"));
        let form = [
            ("csrf_token", csrf.as_str()),
            ("page", &page),
            ("email", &world.org.owner.email),
            ("password", &world.org.owner.password),
        ];
        let entered = world.api.post("/login").header("cookie", cookie).form(&form).send().await;
        seen.push((
            away.status,
            away.header("cache-control").to_owned(),
            entered.status,
            entered.location().to_owned(),
        ));
    }
    let expected: Vec<_> =
        ["/", "/keys?status=active&q=a%20b", "/keys/019a8e5c-0000-7000-8000-000000000000", "/alerts"]
            .map(|path| (303, "no-store".to_owned(), 303, path.to_owned()))
            .into();
    assert_eq!(seen, expected);
}

/// The attack: text from an event or a name that a page's script takes for markup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_runs_our_files_alone_and_makes_no_markup_of_text() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for path in PAGES {
        let page = world.api.get(path).cookie(&world.owner).send().await;
        let policy = page.header("content-security-policy");
        let parts = [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
        ];
        let holds = parts.iter().all(|part| policy.contains(part)) && !policy.contains("unsafe");
        let is_kept = page.header("cache-control") != "no-store" || page.header("x-frame-options") != "DENY";
        let inline = page.text.contains("<script>") || page.text.contains("style=") || page.text.contains(" onclick");
        if page.status != 200 || !holds || is_kept || inline {
            wrong.push((path, page.status, policy.to_owned()));
        }
    }
    assert_eq!(wrong, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_a_page_are_kept_for_ever_and_those_of_another_build_not_at_all() {
    let world = World::new().await;
    let page = world.api.get("/keys").cookie(&world.owner).send().await;
    let files = files(&page);
    let mut seen = Vec::new();
    for file in &files {
        let reply = world.api.get(file).send().await;
        let build = file.split('/').nth(2).unwrap();
        let other = world.api.get(&file.replace(build, "0123456789abcdef")).send().await;
        let kept = reply.header("cache-control").contains("immutable");
        seen.push((
            reply.status,
            kept,
            other.status,
            other.header("cache-control").to_owned(),
            other.text == reply.text,
        ));
    }
    assert!(files.len() >= 6, "{files:?}");
    assert_eq!(seen, vec![(200, true, 200, "no-store".to_owned(), true); files.len()]);
    for path in ["/static/x/../src/main.rs", "/static/x/none.js", "/static/x/", "/static/x/pages/../api.js"] {
        assert_eq!(world.api.get(path).send().await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_gets_the_files_compressed() {
    let world = World::new().await;
    let plain = world.api.get("/static/x/api.js").send().await;
    let packed = world.api.get("/static/x/api.js").header("accept-encoding", "br, gzip").send().await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert!(packed.header("vary").contains("accept-encoding"));
}

/// The attack: a link that names another organization, and a page of the own one under that name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_an_organization_that_one_does_not_belong_to_is_not_found() {
    let world = World::new().await;
    world.api.app.organization("other").await;
    let status = async |path: &str| world.api.get(path).cookie(&world.owner).send().await.status;
    assert_eq!(
        [status("/security?org=acme").await, status("/security?org=other").await, status("/keys?org=nobody").await],
        [200, 404, 404]
    );
}

//! The sign-in on the way to an authorization, through its page.

use std::collections::BTreeSet;

use serde_json::json;
use statuspulse_app::{
    members::{self, NewMember},
    passwords::Password,
};
use statuspulse_policy::Role;
use statuspulse_testkit::TestApp;

use crate::{
    client::{authorize_path, confidential, hidden, parameter, public, with},
    help::{Door, MINUTE, session_of, set_cookie, went},
    support::{Api, PUBLIC_URL, Reply, World},
};

/// The sign-in to which a stranger is sent who asks for a valid authorization.
async fn door(world: &World) -> (String, Door) {
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[]);
    let away = world.api.get(&path).send().await;
    (path, Door::open(&world.api, away.location()).await)
}

/// As the owner.
async fn enter(world: &World, door: &Door) -> Reply {
    door.enter(&world.api, &world.org.owner.email, &world.org.owner.password).await
}

/// spec: oauth A12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_signs_in_decides_and_the_app_gets_tokens() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[("scope", "alerts:write")]);
    let away = world.api.get(&path).send().await;
    let door = Door::open(&world.api, away.location()).await;
    let back = enter(&world, &door).await;
    let browser = session_of(&world.api, &back).await;
    let page = world.api.get(back.location()).cookie(&browser).send().await;
    let allowed = world.api.allow(&browser, &page).await;
    let code = parameter(allowed.location(), "code").unwrap();
    let tokens = world.redeem(&client, &code).await;
    assert_eq!(
        ([away.status, back.status, page.status, allowed.status], back.location(), &tokens.json()["scope"]),
        ([303, 303, 200, 303], path.as_str(), &json!("alerts:write"))
    );
}

/// spec: oauth A12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parameters_come_back_byte_for_byte() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[("redirect_uri", ""), ("state", "")]);
    let odd = "redirect_uri=https://app.example/%63b&state=a+b%2Bc%26d%3D%C3%A9&foo=1&foo=%zz&&=x&%00=1";
    let path = format!("{path}&{odd}");
    let away = world.api.get(&path).send().await;
    let door = Door::open(&world.api, away.location()).await;
    assert_eq!((away.status, went(&enter(&world, &door).await)), (303, (303, path)));
}

/// spec: oauth A11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_never_sent_to_the_app_whatever_is_wrong() {
    let world = World::new().await;
    let client = world.app(public()).await;
    let mut seen = BTreeSet::new();
    for wrong in [
        [("response_type", "token")],
        [("scope", "keys:read")],
        [("state", "")],
        [("code_challenge", "")],
        [("code_challenge_method", "plain")],
        [("prompt", "none")],
        [("request", "x")],
        [("resource", "https://evil.example")],
        [("response_mode", "fragment")],
    ] {
        let reply = world.api.get(&authorize_path(&client, &wrong)).send().await;
        seen.insert((reply.status, reply.location().split('=').next().unwrap().to_owned()));
    }
    assert_eq!(seen, BTreeSet::from([(303, "/login?request".to_owned())]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_of_no_session_is_a_strangers() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut locations = Vec::new();
    for cookie in ["", "x", &"x".repeat(43), &"x".repeat(300), &world.owner.cookie[1..]] {
        let cookie = format!("statuspulse_session={cookie}");
        let reply = world.api.get(&authorize_path(&client, &[])).header("cookie", cookie).send().await;
        locations.push(reply.location().starts_with("/login?request="));
    }
    assert_eq!(locations, [true; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_taken_up_once_after_its_sign_in() {
    let world = World::new().await;
    let (path, door) = door(&world).await;
    let first = went(&enter(&world, &door).await);
    let second = went(&enter(&world, &door).await);
    assert_eq!([first, second], [(303, path), (303, "/".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sign_ins_at_once_take_a_request_up_once() {
    let world = World::new().await;
    let (path, door) = door(&world).await;
    let (one, two) = tokio::join!(enter(&world, &door), enter(&world, &door));
    let mut seen = [went(&one), went(&two)];
    seen.sort_unstable();
    assert_eq!(seen, [(303, "/".to_owned()), (303, path)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_a_quarter_of_an_hour_and_no_longer() {
    let world = World::new().await;
    let (path, early) = door(&world).await;
    let (_, late) = door(&world).await;
    let second = std::time::Duration::from_secs(1);
    world.api.app.advance(MINUTE * 15 - second).await;
    let in_time = went(&enter(&world, &early).await);
    world.api.app.advance(second).await;
    let too_late = went(&enter(&world, &late).await);
    assert_eq!([in_time, too_late], [(303, path), (303, "/".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_in_already_goes_on_at_once_and_once() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[]);
    let login = world.api.get(&path).send().await.location().to_owned();
    let first = went(&world.read(&login).await);
    let second = went(&world.read(&login).await);
    assert_eq!([first, second], [(303, path), (200, String::new())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_does_not_use_a_waiting_request_up() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = authorize_path(&client, &[]);
    let login = world.api.get(&path).send().await.location().to_owned();
    let head = world.api.ask("HEAD", &login).cookie(&world.owner).send().await.status;
    assert_eq!((head, went(&world.read(&login).await)), (200, (303, path)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_a_stranger_keeps_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = world.api.ask("HEAD", &authorize_path(&client, &[])).send().await;
    assert_eq!((went(&reply), world.kept().await), ((200, String::new()), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handle_of_a_decision_is_none_of_a_sign_in_and_the_other_way_round() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let decision = hidden(&page.text, "request");
    let login = world.api.get(&authorize_path(&client, &[])).send().await.location().to_owned();
    let sign_in = login.split_once('=').unwrap().1.to_owned();
    let resumed = went(&world.read(&format!("/login?request={decision}")).await);
    let form = [("request", sign_in.as_str()), ("csrf_token", &world.owner.csrf), ("decision", "allow")];
    let form = [form.as_slice(), &[("scope", "monitoring:read")]].concat();
    let decided = world.api.post("/oauth/authorize").cookie(&world.owner).form(&form).send().await;
    let allowed = world.api.allow(&world.owner, &page).await.status;
    assert_eq!((resumed, went(&decided), allowed), ((200, String::new()), (403, String::new()), 303));
}

/// spec: oauth D17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_never_keeps_the_session_that_the_browser_came_with() {
    let world = World::new().await;
    let door = Door::open(&world.api, "/login").await;
    let cookies = format!("{}; statuspulse_session={}", door.cookie, world.owner.cookie);
    let form = door.form(&world.org.owner.email, &world.org.owner.password);
    let reply =
        world.api.post("/login").header("cookie", cookies).header("origin", PUBLIC_URL).form(&form).send().await;
    let session = set_cookie(&reply, "statuspulse_session");
    assert!(reply.status == 303 && session.is_some() && session.as_ref() != Some(&world.owner.cookie), "{session:?}");
}

/// spec: oauth D17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_tls_every_cookie_is_bound_to_this_host() {
    let world = World::new().await;
    let api = Api::published(world.api.app.second().await, "https://auth.test").await;
    let page = api.get("/login").send().await;
    let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
    let csrf = hidden(&page.text, "csrf_token");
    let form =
        [("csrf_token", csrf.as_str()), ("email", &world.org.owner.email), ("password", &world.org.owner.password)];
    let origin = "https://auth.test";
    let reply = api.post("/login").header("cookie", cookie).header("origin", origin).form(&form).send().await;
    let lines: Vec<String> = [&page, &reply]
        .iter()
        .flat_map(|reply| reply.headers.get_all("set-cookie"))
        .map(|line| line.to_str().unwrap().to_owned())
        .collect();
    let parts = ["HttpOnly", "SameSite=Lax", "Path=/", "Secure"];
    let bound = |line: &String| line.starts_with("__Host-statuspulse_") && !line.contains("Domain");
    let whole: Vec<_> = lines
        .iter()
        .filter(|line| !line.contains("Max-Age=0"))
        .map(|line| bound(line) && parts.iter().all(|part| line.contains(part)))
        .collect();
    assert_eq!((whole, lines.iter().all(bound)), (vec![true; 2], true), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_signs_nobody_in() {
    let world = World::new().await;
    let owner = &world.org.owner;
    let (mine, theirs) = (Door::open(&world.api, "/login").await, Door::open(&world.api, "/login").await);
    let form = mine.form(&owner.email, &owner.password);
    let foreign_token = theirs.form(&owner.email, &owner.password);
    let ask = || mine.ask(&world.api);
    let replies = [
        world.api.post("/login").header("origin", PUBLIC_URL).form(&form).send().await,
        theirs.ask(&world.api).header("origin", PUBLIC_URL).form(&form).send().await,
        ask().header("origin", PUBLIC_URL).form(&foreign_token).send().await,
        ask().header("origin", PUBLIC_URL).form(&form[1..]).send().await,
        ask().header("origin", "https://evil.example").form(&form).send().await,
        ask().header("origin", "null").form(&form).send().await,
        ask().header("origin", "null").header("sec-fetch-site", "cross-site").form(&form).send().await,
        ask().header("origin", PUBLIC_URL).header("sec-fetch-site", "cross-site").form(&form).send().await,
    ];
    let seen = replies.map(|reply| (went(&reply), set_cookie(&reply, "statuspulse_session")));
    assert_eq!(seen, std::array::from_fn(|_| ((403, String::new()), None)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_s_token_is_none_of_a_sign_in() {
    let world = World::new().await;
    let door = Door::open(&world.api, "/login").await;
    let value = door.cookie.split_once('=').unwrap().1.to_owned();
    // As if the sign-in's cookie were a session's: the token of one must not be that of the other.
    let token = world.api.app.secrets.csrf_token(&value);
    let form = [("csrf_token", token.as_str()), ("email", &world.org.owner.email), ("password", "x")];
    assert_eq!(door.ask(&world.api).form(&form).send().await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_hides_its_origin_but_names_the_same_site_may_sign_in() {
    let world = World::new().await;
    let door = Door::open(&world.api, "/login").await;
    let form = door.form(&world.org.owner.email, &world.org.owner.password);
    let ask = door.ask(&world.api).header("origin", "null").header("sec-fetch-site", "same-origin");
    assert_eq!(went(&ask.form(&form).send().await), (303, "/".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_address_look_alike_and_cost_the_same() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for email in [world.org.owner.email.as_str(), "nobody@acme.test"] {
        let door = Door::open(&world.api, "/login").await;
        let before = world.api.app.gate.hashes();
        let reply = door.enter(&world.api, email, "wrong password").await;
        let text = reply.text.replace(email, "").replace(&door.csrf, "");
        seen.push((
            reply.status,
            text,
            set_cookie(&reply, "statuspulse_session"),
            world.api.app.gate.hashes() - before,
        ));
    }
    assert!(seen[0] == seen[1] && seen[0].0 == 401 && seen[0].3 == 1, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_the_page_are_slowed_down_like_all_others() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let door = Door::open(&world.api, "/login").await;
        statuses.push(door.enter(&world.api, &world.org.owner.email, "wrong password").await.status);
    }
    let (_, door) = door(&world).await;
    let blocked = enter(&world, &door).await;
    let html = blocked.header("content-type").starts_with("text/html");
    let kept = hidden(&blocked.text, "request") == door.handle;
    assert_eq!(
        (statuses, went(&blocked).0, blocked.header("retry-after"), html, kept),
        (vec![401; 5], 429, "1", true, true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_typed_comes_back_escaped_and_the_password_not_at_all() {
    let world = World::new().await;
    let door = Door::open(&world.api, "/login").await;
    let reply = door.enter(&world.api, "\"><script>alert(1)</script>", "my-wrong-password").await;
    let shown = ["<script", "my-wrong-password", "&#60;script&#62;"].map(|text| reply.text.contains(text));
    assert_eq!((reply.status, shown), (401, [false, false, true]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_can_not_be_read_sign_nobody_in() {
    let world = World::new().await;
    let door = Door::open(&world.api, "/login").await;
    let mut seen = Vec::new();
    for fields in [
        "email=%00&password=x",
        "email=a@b&password=%ff",
        "email=%zz&password=%",
        "email=a&email=b&password=x",
        "password=x",
        "email=a@b",
        "request=%00&email=a@b&password=x",
        "request=x&request=y&email=a@b&password=x",
    ] {
        let body = format!("csrf_token={}&{fields}", door.csrf);
        seen.push(door.ask(&world.api).header("origin", PUBLIC_URL).raw_form(body).send().await.status);
    }
    assert!(seen.iter().all(|status| [401, 429].contains(status)), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_password_signs_in_through_the_page() {
    let world = World::new().await;
    let longest = "\u{1F511}".repeat(256);
    let (app, operator) = (&world.api.app, world.api.app.operator());
    let password = Some(Password::new(longest.clone()));
    let new = NewMember { email: "long@acme.test".into(), name: None, role: Role::Auditor.to_string(), password };
    let added = members::add(app, &operator, &world.org.access, new).await;
    let email = added.unwrap().member.user.email;
    let door = Door::open(&world.api, "/login").await;
    assert_eq!(went(&door.enter(&world.api, &email, &longest).await), (303, "/".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_long_or_no_form_gets_a_page() {
    let world = World::new().await;
    let door = Door::open(&world.api, "/login").await;
    let long = door.ask(&world.api).form(&[("email", &"x".repeat(17_000))]).send().await;
    let json = door.ask(&world.api).json(&json!({"email": "a"})).send().await;
    let html = [&long, &json].map(|reply| reply.header("content-type").starts_with("text/html"));
    assert_eq!(([long.status, json.status], html), ([413, 400], [true, true]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_out_by_the_page_alone() {
    let world = World::new().await;
    let page = world.read("/login").await;
    let csrf = hidden(&page.text, "csrf_token");
    let ask = || world.api.post("/logout").cookie(&world.owner);
    let forged = ask().form(&[("csrf_token", "x")]).send().await.status;
    let foreign = ask().header("origin", "https://evil.example").form(&[("csrf_token", &csrf)]).send().await.status;
    let still = world.read("/v1/session").await.status;
    let reply = ask().header("origin", PUBLIC_URL).form(&[("csrf_token", &csrf)]).send().await;
    let after = world.read("/v1/session").await.status;
    assert_eq!((forged, foreign, still, went(&reply), after), (403, 403, 200, (303, "/login".to_owned()), 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_in_page_may_lead_to_the_app_that_waits_and_nowhere_else() {
    let world = World::new().await;
    let (_, waiting) = door(&world).await;
    let idle = Door::open(&world.api, "/login?request=https://evil.example").await;
    let policy = |door: &Door| {
        let policy = door.page.header("content-security-policy").to_owned();
        policy.split("; ").find(|part| part.starts_with("form-action")).unwrap().to_owned()
    };
    assert_eq!([policy(&waiting), policy(&idle)], ["form-action 'self' https://app.example", "form-action 'self'"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_the_waiting_app_is_escaped() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"name": "<b>\"'&"}))).await;
    let away = world.api.get(&authorize_path(&client, &[])).send().await;
    let page = world.api.get(away.location()).send().await;
    assert!(page.text.contains("&#60;b&#62;&#34;&#39;&#38;") && !page.text.contains("<b>\""), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_was_closed_is_a_strangers() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (person, browser) = world.member("dev", Role::Developer).await;
    world.sql(&format!("UPDATE users SET disabled_at = created_at WHERE id = '{}'", person.id)).await;
    let reply = world.api.authorize(&browser, &client, &[]).await;
    assert!(reply.location().starts_with("/login?request="), "{} {}", reply.status, reply.location());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_on_another_instance_goes_on_too() {
    let world = World::new().await;
    let second: TestApp = world.api.app.second().await;
    let second = Api::over(second, "", "x-forwarded-for").await;
    let (path, door) = door(&world).await;
    let reply = door.enter(&second, &world.org.owner.email, &world.org.owner.password).await;
    assert_eq!(went(&reply), (303, path));
}

/// The proxy in front takes the path away; browsers have to send it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_public_url_with_a_path_every_address_of_ours_has_it() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let api = Api::published(world.api.app.second().await, "http://auth.test/t/x").await;
    let path = authorize_path(&client, &[]);
    let away = api.get(&path).send().await;
    let behind = |location: &str| location.strip_prefix("/t/x").unwrap_or("no path").to_owned();
    let door = Door::open(&api, &behind(away.location())).await;
    let back = door.enter(&api, &world.org.owner.email, &world.org.owner.password).await;
    let browser = session_of(&api, &back).await;
    let consent = api.get(&behind(back.location())).cookie(&browser).send().await;
    let allowed = api.allow(&browser, &consent).await;
    let idle = api.get("/login").cookie(&browser).send().await;
    let error = api.get("/oauth/authorize").send().await;
    let out = api.post("/logout").cookie(&browser).form(&[("csrf_token", &browser.csrf)]).send().await;
    let pages = [&door.page, &consent, &idle, &error];
    let addresses: BTreeSet<String> = pages
        .iter()
        .flat_map(|page| page.text.split(['"', '>', '<']))
        .filter(|text| text.starts_with('/') && text.len() > 1 && text.as_bytes()[1].is_ascii_lowercase())
        .filter(|text| !["/html", "/head", "/body"].contains(text) && text.matches('/').count() > 1)
        // The build's part of a file's address.
        .map(|text| text.split('/').filter(|part| part.len() != 16).collect::<Vec<_>>().join("/"))
        .collect();
    let expected = [
        "",
        "authorized-apps",
        "login",
        "logout",
        "oauth/authorize",
        "static/icon.svg",
        "static/pages.css",
        "static/tokens.css",
    ];
    assert_eq!(
        (addresses, back.location(), out.location(), parameter(allowed.location(), "iss").as_deref()),
        (
            expected.map(|path| format!("/t/x/{path}")).into(),
            format!("/t/x{path}").as_str(),
            "/t/x/login",
            Some("http://auth.test/t/x")
        )
    );
}

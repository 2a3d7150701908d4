//! The life of an app over REST: registered, shown, listed, changed, suspended, deleted.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    client::{Client, STATE, authorize_path, confidential, public, resource_server, with},
    help::{APPS, fields, is_page},
    support::{PUBLIC_URL, World},
};

/// The names of a list's items.
fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap().to_owned()).collect()
}

/// Registers apps of these names, a second apart.
async fn named(world: &World, names: &[&str]) -> Vec<Client> {
    let mut clients = Vec::new();
    for name in names {
        clients.push(world.app(with(confidential(), json!({"name": name}))).await);
        world.api.app.advance(Duration::from_secs(1)).await;
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_app_has_the_defaults_of_the_spec() {
    let world = World::new().await;
    let body = json!({"name": "Bot", "kind": "confidential", "redirect_uris": ["https://b.example/"], "scopes": ["alerts:write", "monitoring:read"]});
    let app = world.owner("POST", APPS, &body).await.json()["app"].clone();
    let made = app["created_at"].clone();
    let by = json!({"kind": "user", "id": world.org.owner.id.to_string(), "email": world.org.owner.email});
    let secret = &app["secrets"][0];
    let expected = json!({
        "id": app["id"], "client_id": app["client_id"], "organization": "acme", "name": "Bot", "kind": "confidential",
        "redirect_uris": ["https://b.example/"], "scopes": ["monitoring:read", "alerts:write"], "default_scopes": [],
        "require_state": true, "require_pkce": true, "access_token_format": "opaque", "refresh_retry_seconds": 0,
        "allowed_cidrs": null, "any_port_on_localhost": false, "audiences": [PUBLIC_URL], "status": "active",
        "secrets": [{
            "id": secret["id"], "label": null, "last4": secret["last4"], "created_at": made, "created_by": by,
            "expires_at": null, "last_used_at": null,
        }],
        "created_at": made, "created_by": by, "updated_at": made, "last_used_at": null,
    });
    assert_eq!(app, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_that_registers_an_app_holds_its_secret_and_is_kept_by_nobody() {
    let world = World::new().await;
    let reply = world.owner("POST", APPS, &confidential()).await;
    let json = reply.json();
    let mut members: Vec<&String> = json.as_object().unwrap().keys().collect();
    members.sort();
    let form = |text: &Value, prefix: &str, length: usize| {
        let rest = text.as_str().unwrap().strip_prefix(prefix).unwrap();
        rest.len() == length && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let secret = json["client_secret"].as_str().unwrap();
    assert_eq!(
        (
            (reply.status, reply.header("cache-control"), members),
            (form(&json["client_id"], "sp_app_", 22), form(&json["client_secret"], "sp_cs_", 49)),
            (&json["client_id"], json["app"]["secrets"][0]["last4"].as_str().unwrap())
        ),
        (
            (201, "no-store", vec![&"app".to_owned(), &"client_id".to_owned(), &"client_secret".to_owned()]),
            (true, true),
            (&json["app"]["client_id"], &secret[secret.len() - 4..])
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_has_no_secret() {
    let world = World::new().await;
    let json = world.owner("POST", APPS, &public()).await.json();
    assert_eq!((json.get("client_secret"), &json["app"]["secrets"]), (None, &json!([])));
}

/// spec: oauth N3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_shown_in_no_other_answer_and_kept_nowhere() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let replies = [
        world.read(&client.path("")).await,
        world.read(APPS).await,
        world.change_app(&client, &fields("name", json!("Other"))).await,
        world.read(&client.path("/failures")).await,
    ];
    let shown = replies.map(|reply| (reply.status, reply.text.contains(&client.secret)));
    assert_eq!((shown, world.dump().await.contains(&client.secret)), ([(200, false); 4], false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_shown_as_it_was_registered_alone_and_in_the_list() {
    let world = World::new().await;
    let registered = world.owner("POST", APPS, &confidential()).await.json()["app"].clone();
    let alone = world.read(&format!("{APPS}/{}", registered["id"].as_str().unwrap())).await.json();
    let listed = world.read(APPS).await.json();
    assert_eq!((&alone, &listed), (&registered, &json!({"items": [registered.clone()], "next_cursor": null})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_field_can_be_changed_and_the_others_stay() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (mut expected, mut wrong) = (world.shown(&client).await, Vec::new());
    for (name, value) in [
        ("name", json!("R\u{e9}sum\u{e9} \u{1F511}")),
        ("kind", json!("confidential")),
        ("redirect_uris", json!(["https://b.example/2", "https://b.example/1"])),
        ("scopes", json!(["monitoring:read", "checks:read"])),
        ("default_scopes", json!(["checks:read"])),
        ("require_state", json!(false)),
        ("require_pkce", json!(false)),
        ("access_token_format", json!("jwt")),
        ("refresh_retry_seconds", json!(60)),
        ("allowed_cidrs", json!(["192.0.2.0/24", "2001:db8::/32"])),
        ("allowed_cidrs", json!(null)),
        ("any_port_on_localhost", json!(true)),
        ("audiences", json!([PUBLIC_URL])),
        ("default_scopes", json!([])),
        ("status", json!("suspended")),
        ("status", json!("active")),
    ] {
        let reply = world.change_app(&client, &fields(name, value.clone())).await;
        expected[name] = value;
        if (reply.status, &reply.json()) != (200, &expected) {
            wrong.push((name, reply.text));
        }
    }
    assert_eq!(wrong, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_takes_a_default_away() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply =
        world.change_app(&client, &json!({"default_scopes": null, "audiences": null, "allowed_cidrs": null})).await;
    let json = reply.json();
    assert_eq!(
        (&json["default_scopes"], &json["audiences"], &json["allowed_cidrs"]),
        (&json!([]), &json!([PUBLIC_URL]), &json!(null))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_one_event_that_names_its_fields_and_no_change_is_none() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let change = json!({"name": "Other", "require_state": true, "refresh_retry_seconds": 5});
    let changed = world.change_app(&client, &change).await;
    let nothing = world.change_app(&client, &change).await;
    let empty = world.change_app(&client, &json!({})).await;
    let events = world.events("app.update").await;
    let seen: Vec<_> = events
        .iter()
        .map(|e| json!([e["request_id"], e["actor_id"], e["detail"]["app_id"], e["detail"]["fields"]]))
        .collect();
    let owner = world.org.owner.id.to_string();
    let expected = json!([changed.request_id(), owner, client.app, ["name", "refresh_retry_seconds"]]);
    assert_eq!((seen, nothing.status, empty.status), (vec![expected], 200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_and_deletion_are_one_event_each() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let deleted = world.owner("DELETE", &client.path(""), &json!({})).await;
    let (made, gone) = (world.events("app.create").await, world.events("app.delete").await);
    let told = |events: &[Value]| events.iter().map(|event| event["detail"]["app_id"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (told(&made), told(&gone), &gone[0]["request_id"], deleted.status, deleted.text.as_str()),
        (vec![json!(client.app)], vec![json!(client.app)], &json!(deleted.request_id()), 204, "")
    );
}

/// spec: oauth A6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspending_is_reversible_and_deleting_is_not() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for status in ["suspended", "active"] {
        world.change_app(&client, &fields("status", json!(status))).await;
        seen.push(world.authorize(&client, &[]).await.status);
    }
    world.owner("DELETE", &client.path(""), &json!({})).await;
    let reply = world.authorize(&client, &[]).await;
    assert_eq!((seen, is_page(&reply)), (vec![400, 200], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_app_is_not_there_any_more() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let secret = world.shown(&client).await["secrets"][0]["id"].as_str().unwrap().to_owned();
    world.owner("DELETE", &client.path(""), &json!({})).await;
    let mut seen = Vec::new();
    for (method, rest) in [
        ("GET", String::new()),
        ("PATCH", String::new()),
        ("DELETE", String::new()),
        ("POST", "/secrets".to_owned()),
        ("DELETE", format!("/secrets/{secret}")),
    ] {
        let ask = world.api.ask(method, &client.path(&rest)).browser(&world.owner);
        let reply = if method == "GET" { ask.send().await } else { ask.json(&json!({})).send().await };
        seen.push(reply.outcome());
    }
    let listed = world.read(APPS).await.json();
    assert_eq!((seen, names(&listed)), (vec![(404, "not_found".to_owned()); 5], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_id_of_an_app_is_not_found() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for id in ["nonsense", "00000000-0000-7000-8000-000000000000", &client.id, &client.app.replace('-', "x"), "%00"] {
        seen.push(world.read(&format!("{APPS}/{id}")).await.outcome());
    }
    assert_eq!(seen, vec![(404, "not_found".to_owned()); 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_newest_first_and_filtered_by_status_kind_and_text() {
    let world = World::new().await;
    let clients = named(&world, &["Alpha", "alphabet 100%", "Beta_1"]).await;
    world.app(with(public(), json!({"name": "Gamma"}))).await;
    world.change_app(&clients[1], &fields("status", json!("suspended"))).await;
    let (id, client_id) = (format!("q={}", clients[0].app), format!("q={}", clients[2].id));
    let cut = format!("q={}", &clients[0].app[..13]);
    let queries = [
        "",
        "status=suspended",
        "status=active",
        "kind=public",
        "kind=confidential&status=active",
        "q=ALPHA",
        "q=100%25",
        "q=%25",
        "q=_",
        "q=a_1",
        "q=b%20e",
        "q=zzz",
        &id,
        &client_id,
        &cut,
    ];
    let mut seen = Vec::new();
    for query in queries {
        seen.push((query, names(&world.read(&format!("{APPS}?{query}")).await.json()).join(", ")));
    }
    let found = [
        "Gamma, Beta_1, alphabet 100%, Alpha",
        "alphabet 100%",
        "Gamma, Beta_1, Alpha",
        "Gamma",
        "Beta_1, Alpha",
        "alphabet 100%, Alpha",
        "alphabet 100%",
        "alphabet 100%",
        "Beta_1",
        "Beta_1",
        "",
        "",
        "Alpha",
        "Beta_1",
        "",
    ];
    let expected: Vec<_> = queries.into_iter().zip(found.map(str::to_owned)).collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_skip_and_repeat_nothing_while_apps_come_and_go() {
    let world = World::new().await;
    let clients = named(&world, &["a", "b", "c", "d", "e"]).await;
    let mut seen = Vec::new();
    let mut path = format!("{APPS}?limit=2");
    loop {
        let page = world.read(&path).await.json();
        seen.extend(names(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{APPS}?limit=2&cursor={cursor}");
        if seen.len() == 2 {
            named(&world, &["new"]).await;
            // The page ended at it.
            world.owner("DELETE", &clients[3].path(""), &json!({})).await;
        }
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_of_one_moment_are_listed_once_each() {
    let world = World::new().await;
    let mut registered = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        registered.push(world.app(with(confidential(), json!({"name": name}))).await.app);
    }
    let mut seen = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let page = world.read(&format!("{APPS}?limit=1{cursor}")).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|app| app["id"].as_str().unwrap().to_owned()));
        next = page["next_cursor"].as_str().map(|cursor| format!("&cursor={cursor}"));
    }
    seen.sort_unstable();
    registered.sort_unstable();
    assert_eq!(seen, registered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_filter_or_page_is_refused_at_its_name() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for query in [
        "state=active",
        "status=Active",
        "status=deleted",
        "kind=private",
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=+5",
        "limit=x",
        "limit=99999999999999999999",
        "q=a&q=b",
        "q=%00",
        "limit=1&offset=3",
    ] {
        let reply = world.read(&format!("{APPS}?{query}")).await;
        seen.push((query, reply.status, reply.fields().join(", ")));
    }
    let expected = [
        ("state=active", "state: unknown_parameter"),
        ("status=Active", "status: unknown_value"),
        ("status=deleted", "status: unknown_value"),
        ("kind=private", "kind: unknown_value"),
        ("limit=0", "limit: out_of_bounds"),
        ("limit=201", "limit: out_of_bounds"),
        ("limit=-1", "limit: out_of_bounds"),
        ("limit=+5", "limit: out_of_bounds"),
        ("limit=x", "limit: out_of_bounds"),
        ("limit=99999999999999999999", "limit: out_of_bounds"),
        ("q=a&q=b", "q: repeated_parameter"),
        ("q=%00", "q: nul_character"),
        ("limit=1&offset=3", "offset: unknown_parameter"),
    ];
    assert_eq!(seen, expected.map(|(query, field)| (query, 422, field.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_belongs_to_its_list() {
    let world = World::new().await;
    let clients = named(&world, &["a", "b"]).await;
    let other = world.api.app.organization("other").await;
    let theirs = world.api.sign_in(&other.owner).await;
    let cursor = world.read(&format!("{APPS}?limit=1")).await.json()["next_cursor"].as_str().unwrap().to_owned();
    let mut broken = cursor.clone();
    broken.replace_range(0..1, if broken.starts_with('A') { "B" } else { "A" });
    let failures = format!("{}?cursor={cursor}", clients[0].path("/failures"));
    let replies = [
        world.read(&format!("{APPS}?q=a&cursor={cursor}")).await,
        world.read(&format!("{APPS}?kind=public&cursor={cursor}")).await,
        world.api.get(&format!("/v1/orgs/other/apps?cursor={cursor}")).cookie(&theirs).send().await,
        world.read(&format!("/v1/orgs/acme/keys?cursor={cursor}")).await,
        world.read(&failures).await,
        world.read(&format!("{APPS}?cursor={broken}")).await,
        world.read(&format!("{APPS}?cursor=x")).await,
        world.read(&format!("{APPS}?cursor=")).await,
    ];
    let refused = (400, "invalid_cursor".to_owned());
    assert_eq!(replies.map(|reply| reply.outcome()), std::array::from_fn(|_| refused.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_page_size_may_go_on_with_a_cursor() {
    let world = World::new().await;
    named(&world, &["a", "b", "c"]).await;
    let cursor = world.read(&format!("{APPS}?limit=1")).await.json()["next_cursor"].as_str().unwrap().to_owned();
    let rest = world.read(&format!("{APPS}?limit=200&cursor={cursor}")).await.json();
    assert_eq!((names(&rest), &rest["next_cursor"]), (vec!["b".to_owned(), "a".to_owned()], &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_server_is_registered_with_its_scope() {
    let world = World::new().await;
    let client = world.app(resource_server()).await;
    assert_eq!(world.shown(&client).await["scopes"], json!(["credentials:verify"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_changed_at_one_instance_is_changed_at_the_others_at_once() {
    let world = World::new().await;
    let second = world.second().await;
    let client = world.app(confidential()).await;
    world.change_app(&client, &fields("redirect_uris", json!(["https://b.example/cb"]))).await;
    let old = second.authorize(&world.owner, &client, &[]).await;
    let new = second.authorize(&world.owner, &client, &[("redirect_uri", "https://b.example/cb")]).await;
    assert_eq!((is_page(&old), new.status), (true, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_at_once_are_both_kept_or_one_is_told() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (name, retry) = (fields("name", json!("Other")), fields("refresh_retry_seconds", json!(7)));
    let (one, two) = tokio::join!(world.change_app(&client, &name), world.change_app(&client, &retry));
    let app = world.shown(&client).await;
    let kept = (app["name"] == "Other", app["refresh_retry_seconds"] == 7);
    assert_eq!((one.status == 200, two.status == 200), kept, "{} {}", one.text, two.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_requires_holds_from_its_change_on() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let bare = authorize_path(&client, &[("state", ""), ("code_challenge", ""), ("code_challenge_method", "")]);
    let before = world.read(&bare).await.status;
    world.change_app(&client, &json!({"require_state": false, "require_pkce": false})).await;
    let without = world.read(&bare).await.status;
    world.change_app(&client, &json!({"require_state": true})).await;
    let again = world.read(&bare).await.status;
    let with_state = world.read(&format!("{bare}&state={STATE}")).await.status;
    assert_eq!([before, without, again, with_state], [303, 200, 303, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_maker_of_an_app_is_named() {
    let world = World::new().await;
    let (person, browser) = world.member("dev", Role::Developer).await;
    let reply = world.api.post(APPS).browser(&browser).json(&confidential()).send().await;
    let by = json!({"kind": "user", "id": person.id.to_string(), "email": person.email});
    assert_eq!((&reply.json()["app"]["created_by"], reply.status), (&by, 201));
}

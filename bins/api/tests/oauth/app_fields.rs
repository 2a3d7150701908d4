//! What an app can't be, each at its field; and nothing of it is stored.

use serde_json::{Value, json};

use crate::{
    client::{confidential, public, with},
    help::{APPS, fields},
    support::{PUBLIC_URL, Reply, World},
};

/// Status and field errors, in order.
fn told(reply: &Reply) -> (u16, Vec<String>) {
    (reply.status, reply.fields())
}

/// Tries to register apps that differ from the usual one in one field: what each is told instead of what was expected,
/// and how many there are afterwards.
async fn registered(
    app: fn() -> Value,
    field: &str,
    tries: &[(Value, &str)],
) -> (Vec<(String, (u16, Vec<String>))>, usize) {
    let world = World::new().await;
    let mut unexpected = Vec::new();
    for (value, expected) in tries {
        let reply = world.owner("POST", APPS, &with(app(), fields(field, value.clone()))).await;
        let told = told(&reply);
        if told != (422, vec![(*expected).to_owned()]) {
            unexpected.push((value.to_string().chars().take(60).collect(), told));
        }
    }
    (unexpected, world.read(APPS).await.json()["items"].as_array().unwrap().len())
}

/// The same with changes of a registered app; at the end the app is what it was.
async fn changed(
    app: fn() -> Value,
    field: &str,
    tries: &[(Value, &str)],
) -> (Vec<(String, (u16, Vec<String>))>, bool) {
    let world = World::new().await;
    let client = world.app(app()).await;
    let before = world.shown(&client).await;
    let mut unexpected = Vec::new();
    for (value, expected) in tries {
        let told = told(&world.change_app(&client, &fields(field, value.clone())).await);
        if told != (422, vec![(*expected).to_owned()]) {
            unexpected.push((value.to_string().chars().take(60).collect(), told));
        }
    }
    (unexpected, world.shown(&client).await == before)
}

fn names() -> Vec<(Value, &'static str)> {
    let wrong = [
        "",
        " ",
        "\t",
        "a\nb",
        "a\rb",
        "a\u{7}b",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{200f}b",
        "a\u{2028}b",
    ];
    let mut tries: Vec<(Value, &str)> = wrong.map(|name| (json!(name), "name: invalid_name")).to_vec();
    tries.push((json!("x".repeat(101)), "name: invalid_name"));
    tries.push((json!("x".repeat(10_000)), "name: invalid_name"));
    tries.push((json!("a\u{0}b"), "name: nul_character"));
    tries.push((json!(7), "name: invalid_type"));
    tries
}

/// spec: oauth D10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_can_not_be_shown_in_a_line_is_not_registered() {
    assert_eq!(registered(confidential, "name", &names()).await, (vec![], 0));
}

/// spec: oauth D10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_can_not_be_shown_in_a_line_is_not_taken_later_either() {
    assert_eq!(changed(confidential, "name", &names()).await, (vec![], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_has_up_to_100_characters_of_any_script() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for name in ["x".repeat(100), "\u{1F511}".repeat(100), "\u{5e2}\u{5d1}\u{5e8}".to_owned(), "<b>&\"'".to_owned()] {
        statuses.push(world.owner("POST", APPS, &with(confidential(), json!({"name": name}))).await.status);
    }
    assert_eq!(statuses, [201; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_no_name() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = world.owner("POST", APPS, &with(confidential(), json!({"name": client.secret}))).await;
    assert_eq!(
        (reply.status, reply.fields().len(), reply.text.contains(&client.secret)),
        (422, 1, false),
        "{}",
        reply.text
    );
}

fn redirect_uris() -> Vec<(Value, &'static str)> {
    let single = [
        ("http://app.example/cb", "scheme"),
        ("http://localhost/cb", "scheme"),
        ("http://127.0.0.2/cb", "scheme"),
        ("http://127.0.0.1.evil.example/cb", "scheme"),
        ("http://127.0.0.1:0/cb", "scheme"),
        ("http://192.168.0.1/cb", "scheme"),
        ("HTTPS://app.example/cb", "scheme"),
        ("ftp://app.example/cb", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("data:text/html,x", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("com.example.app:/cb", "scheme"),
        ("urn:ietf:wg:oauth:2.0:oob", "scheme"),
        ("https://*.example/cb", "wildcard"),
        ("https://app.example/*", "wildcard"),
        ("https://app.example/cb#x", "fragment"),
        ("https://app.example/cb#", "fragment"),
        ("/cb", "not_absolute"),
        ("cb", "not_absolute"),
        ("", "not_absolute"),
        ("//app.example/cb", "not_absolute"),
        ("https://", "not_absolute"),
        ("https://user@app.example/cb", "userinfo"),
        ("https://user:pass@app.example/cb", "userinfo"),
        ("https://@app.example/cb", "userinfo"),
        ("https://app.example/c b", "characters"),
        ("https://app.example/c\nb", "characters"),
        ("https://app.example/c\tb", "characters"),
        (" https://app.example/cb", "characters"),
        ("https://app.example/cb ", "characters"),
        ("https://\u{430}pp.example/cb", "characters"),
        ("https://app.example\\@evil.example/cb", "characters"),
        ("https://app.example/<x>", "characters"),
        ("https:///app.example/cb", "host"),
        ("https:app.example/cb", "scheme"),
        ("https://%61pp.example/cb", "host"),
        ("https://0x7f.1/cb", "host"),
        ("https://app..example/cb", "host"),
        ("https://-app.example/cb", "host"),
        ("https://app.example:0/cb", "port"),
        ("https://app.example:/cb", "port"),
        ("https://app.example:0443/cb", "port"),
        ("https://app.example:65536/cb", "port"),
        ("https://app.example/%zz", "escape"),
        ("https://app.example/cb%2", "escape"),
        ("com.example.app://cb", "scheme"),
        ("https://app.example/cb?code=x", "parameter"),
        ("https://app.example/cb?x=1&%73tate", "parameter"),
        ("https://app.example/cb?iss=https://evil.example", "parameter"),
    ];
    let at = |code: &str| &*format!("redirect_uris[0]: redirect_uri_{code}").leak();
    let mut tries: Vec<(Value, &'static str)> = single.map(|(uri, code)| (json!([uri]), at(code))).to_vec();
    let long = format!("https://app.example/{}", "x".repeat(2_029));
    tries.push((json!([long]), "redirect_uris[0]: redirect_uri_too_long"));
    tries.push((json!(["https://app.example/cb", "http://x/"]), "redirect_uris[1]: redirect_uri_scheme"));
    tries.push((json!(["https://app.example/cb", "https://app.example/cb"]), "redirect_uris[1]: repeated"));
    tries.push((json!([]), "redirect_uris: out_of_bounds"));
    let many: Vec<String> = (0..21).map(|at| format!("https://app.example/{at}")).collect();
    tries.push((json!(many), "redirect_uris: out_of_bounds"));
    tries.push((json!("https://app.example/cb"), "redirect_uris: invalid_type"));
    tries.push((json!([7]), "redirect_uris[0]: invalid_type"));
    tries.push((json!(["https://app.example/\u{0}"]), "redirect_uris[0]: nul_character"));
    tries
}

/// spec: oauth C21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_can_be_misread_is_not_registered() {
    assert_eq!(registered(confidential, "redirect_uris", &redirect_uris()).await, (vec![], 0));
}

/// spec: oauth C21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_can_be_misread_is_not_taken_later_either() {
    assert_eq!(changed(confidential, "redirect_uris", &redirect_uris()).await, (vec![], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_has_private_schemes_with_a_dot_and_no_others() {
    let tries = ["app:/cb", "app://cb", "com.example.app:cb", "Com.example:/cb", "javascript.x:alert(1)", ".x:/cb"];
    let tries = tries.map(|uri| (json!([uri]), "redirect_uris[0]: redirect_uri_scheme")).to_vec();
    let (mut unexpected, stored) = registered(public, "redirect_uris", &tries).await;
    // What is no URI at all says so.
    unexpected.retain(|(_, told)| *told != (422, vec!["redirect_uris[0]: redirect_uri_not_absolute".to_owned()]));
    assert_eq!((unexpected, stored), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_addresses_of_2048_characters_are_taken_and_kept_in_order() {
    let world = World::new().await;
    let long = |at: usize| {
        let start = format!("https://app.example/{at}/");
        format!("{start}{}", "x".repeat(2_048 - start.len()))
    };
    let uris: Vec<String> = (0..20).rev().map(long).collect();
    let client = world.app(with(confidential(), json!({"redirect_uris": uris}))).await;
    assert_eq!(world.shown(&client).await["redirect_uris"], json!(uris));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_are_those_of_the_catalog() {
    let tries = [
        (json!(["monitoring:read", "bogus"]), "scopes[1]: unknown_scope"),
        (json!(["Monitoring:read"]), "scopes[0]: unknown_scope"),
        (json!(["monitoring:read alerts:write"]), "scopes[0]: unknown_scope"),
        (json!(["*"]), "scopes[0]: unknown_scope"),
        (json!([]), "scopes: empty_scopes"),
        (json!(null), "scopes: invalid_type"),
        (json!("monitoring:read"), "scopes: invalid_type"),
    ];
    let bare = || json!({"name": "Bot", "kind": "confidential", "redirect_uris": ["https://b.example/"]});
    assert_eq!(registered(bare, "scopes", &tries).await, (vec![], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_scopes_are_among_the_app_s() {
    let tries = [
        (json!(["checks:read"]), "default_scopes: not_among_scopes"),
        (json!(["monitoring:read", "keys:read"]), "default_scopes: not_among_scopes"),
        (json!(["bogus"]), "default_scopes[0]: unknown_scope"),
        (json!("monitoring:read"), "default_scopes: invalid_type"),
    ];
    let by_change = changed(confidential, "default_scopes", &tries).await;
    assert_eq!((registered(confidential, "default_scopes", &tries).await, by_change), ((vec![], 0), (vec![], true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_can_not_be_taken_away_under_the_default() {
    let tries = [(json!(["alerts:write"]), "default_scopes: not_among_scopes")];
    assert_eq!(changed(confidential, "scopes", &tries).await, (vec![], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_can_not_switch_pkce_off() {
    let tries = [(json!(false), "require_pkce: required_for_public")];
    let by_change = changed(public, "require_pkce", &tries).await;
    assert_eq!((registered(public, "require_pkce", &tries).await, by_change), ((vec![], 0), (vec![], true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_words_and_networks_are_within_their_bounds() {
    let mut seen = Vec::new();
    for (field, tries) in [
        ("kind", vec![(json!("Public"), "kind: unknown_kind"), (json!(null), "kind: invalid_type")]),
        (
            "refresh_retry_seconds",
            vec![
                (json!(-1), "refresh_retry_seconds: out_of_bounds"),
                (json!(61), "refresh_retry_seconds: out_of_bounds"),
                (json!(9_007_199_254_740_993_i64), "refresh_retry_seconds: out_of_bounds"),
                (json!(1.5), "refresh_retry_seconds: invalid_type"),
                (json!("5"), "refresh_retry_seconds: invalid_type"),
                (json!(null), "refresh_retry_seconds: invalid_type"),
            ],
        ),
        (
            "access_token_format",
            vec![
                (json!("JWT"), "access_token_format: unknown_format"),
                (json!(""), "access_token_format: unknown_format"),
                (json!(null), "access_token_format: invalid_type"),
            ],
        ),
        (
            "require_state",
            vec![(json!(null), "require_state: invalid_type"), (json!("no"), "require_state: invalid_type")],
        ),
        ("any_port_on_localhost", vec![(json!(1), "any_port_on_localhost: invalid_type")]),
        (
            "allowed_cidrs",
            vec![
                (json!(["10.0.0.1/8"]), "allowed_cidrs[0]: host_bits_set"),
                (json!(["192.0.2.1", "010.0.0.1"]), "allowed_cidrs[1]: invalid_cidr"),
                (json!(["0.0.0.0/0"]), "allowed_cidrs[0]: allows_everything"),
                (json!([]), "allowed_cidrs: empty_allowlist"),
            ],
        ),
        (
            "audiences",
            vec![
                (json!(["https://evil.example"]), "audiences[0]: unknown_audience"),
                (json!([PUBLIC_URL, "x"]), "audiences[1]: unknown_audience"),
                (json!([PUBLIC_URL, PUBLIC_URL]), "audiences[1]: repeated"),
                (json!([PUBLIC_URL, format!("{PUBLIC_URL}/")]), "audiences[1]: repeated"),
                (json!([]), "audiences: out_of_bounds"),
            ],
        ),
    ] {
        let (at_registration, stored) = registered(confidential, field, &tries).await;
        let (by_change, same) = changed(confidential, field, &tries).await;
        seen.push((at_registration, stored, by_change, same));
    }
    assert_eq!(seen, vec![(vec![], 0, vec![], true); 7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_stays_what_it_is() {
    let tries = [(json!("public"), "kind: kind_is_fixed"), (json!("nothing"), "kind: unknown_kind")];
    assert_eq!(changed(confidential, "kind", &tries).await, (vec![], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_active_or_suspended() {
    let tries = [
        (json!("deleted"), "status: unknown_status"),
        (json!("Suspended"), "status: unknown_status"),
        (json!(null), "status: invalid_type"),
    ];
    assert_eq!(changed(confidential, "status", &tries).await, (vec![], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_wrong_is_told_at_once() {
    let world = World::new().await;
    let body = json!({
        "name": "", "kind": "odd", "redirect_uris": ["/cb", "https://b.example/#"], "scopes": ["bogus"],
        "default_scopes": ["bogus"], "access_token_format": "x", "refresh_retry_seconds": 99,
        "allowed_cidrs": ["x"], "audiences": ["x"],
    });
    let reply = world.owner("POST", APPS, &body).await;
    let fields: Vec<String> = reply.fields().iter().map(|field| field.split(": ").next().unwrap().to_owned()).collect();
    let expected = [
        "name",
        "kind",
        "redirect_uris[0]",
        "redirect_uris[1]",
        "scopes[0]",
        "default_scopes[0]",
        "access_token_format",
        "refresh_retry_seconds",
        "allowed_cidrs[0]",
        "audiences[0]",
    ];
    assert_eq!((reply.status, reply.code().as_str(), fields), (422, "invalid", expected.map(str::to_owned).to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_there_is_not_or_that_is_missing_is_named() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for field in ["name", "kind", "redirect_uris", "scopes"] {
        let mut body = confidential();
        body.as_object_mut().unwrap().remove(field);
        seen.push(told(&world.owner("POST", APPS, &body).await));
    }
    for field in ["client_id", "status", "secrets"] {
        seen.push(told(&world.owner("POST", APPS, &with(confidential(), fields(field, json!("active")))).await));
    }
    for field in ["client_id", "id", "organization", "created_at", "redirect_uri"] {
        seen.push(told(&world.change_app(&client, &fields(field, json!("x"))).await));
    }
    let expected = [
        "name: required",
        "kind: required",
        "redirect_uris: required",
        "scopes: required",
        "client_id: unknown_field",
        "status: unknown_field",
        "secrets: unknown_field",
        "client_id: unknown_field",
        "id: unknown_field",
        "organization: unknown_field",
        "created_at: unknown_field",
        "redirect_uri: unknown_field",
    ];
    assert_eq!(seen, expected.map(|field| (422, vec![field.to_owned()])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_object_is_refused() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut seen = Vec::new();
    for body in ["", "[]", "null", "{", "{\"name\":\"a\",\"name\":\"b\"}", "\u{feff}{}"] {
        let mut statuses = Vec::new();
        for (method, path) in [("POST", APPS.to_owned()), ("PATCH", client.path(""))] {
            let ask = world.api.ask(method, &path).browser(&world.owner).header("content-type", "application/json");
            statuses.push(ask.body(body).send().await.status);
        }
        seen.push(statuses);
    }
    let long = with(confidential(), json!({"name": "x".repeat(70_000)}));
    let too_long = world.owner("POST", APPS, &long).await.status;
    let expected = [[400; 2], [422; 2], [422; 2], [400; 2], [400; 2], [400; 2]];
    assert_eq!((seen, too_long), (expected.map(|pair| pair.to_vec()).to_vec(), 413));
}

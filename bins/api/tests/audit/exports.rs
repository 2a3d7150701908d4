//! Exports: their form on the wire, how one goes on, and how one that breaks off shows it.

use actix_web::{HttpServer, body::to_bytes};
use serde_json::{Value, json};
use statuspulse_auth::service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    help::EXPORT,
    support::{Reply, World},
};

const FORMATS: [&str; 4] = ["jsonl", "ocsf", "cef", "csv"];

/// A world with a key that has made so many calls; its id.
async fn with_calls(number: usize) -> (World, String) {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    for _ in 0..number {
        world.call(&token).await;
    }
    (world, id)
}

fn id_of(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap();
    event["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_format_has_its_media_type_and_a_name_and_is_a_stream() {
    let (world, _) = with_calls(1).await;
    let mut seen = Vec::new();
    for format in FORMATS {
        let reply = world.read(&format!("{EXPORT}?format={format}")).await;
        let header = |name: &str| reply.header(name).to_owned();
        assert!(!reply.headers.contains_key("content-length") && header("x-content-type-options") == "nosniff");
        seen.push((header("content-type"), header("content-disposition")));
    }
    let row = |kind: &str, name: &str| (kind.to_owned(), format!("attachment; filename=\"audit-acme.{name}\""));
    assert_eq!(
        seen,
        [
            row("application/x-ndjson", "jsonl"),
            row("application/x-ndjson", "ocsf.jsonl"),
            row("text/plain; charset=utf-8", "cef"),
            row("text/csv; charset=utf-8; header=present", "csv"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_format_an_export_is_jsonl() {
    let (world, id) = with_calls(2).await;
    let [plain, named] = [
        world.read(&format!("{EXPORT}?actor={id}")).await,
        world.read(&format!("{EXPORT}?actor={id}&format=jsonl")).await,
    ];
    assert_eq!((plain.header("content-type"), &plain.text), (named.header("content-type"), &named.text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_format_is_refused() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for format in ["xml", "JSONL", ""] {
        seen.push(world.read(&format!("{EXPORT}?format={format}")).await.fields());
    }
    assert_eq!(seen, vec![vec!["format: unknown_format"]; 3]);
}

/// Every line of an export goes on behind the one before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_goes_on_behind_the_last_event_that_arrived() {
    let (world, key) = with_calls(5).await;
    let whole = world.read(&format!("{EXPORT}?actor={key}")).await.text;
    let lines: Vec<&str> = whole.lines().collect();
    let mut wrong = Vec::new();
    for at in 0..lines.len() {
        let rest = world.read(&format!("{EXPORT}?actor={key}&after={}", id_of(lines[at]))).await.text;
        if rest.lines().collect::<Vec<_>>() != lines[at + 1..] {
            wrong.push((at, rest));
        }
    }
    assert!(lines.len() == 5 && wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_goes_on_has_no_header_line_again() {
    let (world, key) = with_calls(3).await;
    let last = id_of(world.read(&format!("{EXPORT}?actor={key}")).await.text.lines().nth(1).unwrap());
    let whole = world.read(&format!("{EXPORT}?actor={key}&format=csv")).await;
    let rest = world.read(&format!("{EXPORT}?actor={key}&format=csv&after={last}")).await;
    assert_eq!(
        (rest.header("content-type"), rest.text.lines().collect::<Vec<_>>()),
        ("text/csv; charset=utf-8; header=absent", whole.text.lines().skip(3).collect())
    );
}

/// The event need not be one that the filters let through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_last_event_there_is_nothing() {
    let (world, key) = with_calls(2).await;
    let all = world.read(EXPORT).await.text;
    let last = id_of(all.lines().last().unwrap());
    let rest = world.read(&format!("{EXPORT}?actor={key}&after={last}")).await;
    assert_eq!((rest.status, rest.text.as_str()), (200, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_goes_on_behind_nothing_of_another_organization() {
    let (world, key) = with_calls(1).await;
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let event = id_of(world.read(&format!("{EXPORT}?actor={key}")).await.text.lines().next().unwrap());
    let theirs = world.read_as(&stranger, &format!("/v1/orgs/other/audit/export?after={event}")).await;
    let mut seen = vec![theirs.fields()];
    for after in ["nothing", "", "00000000-0000-1000-8000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff"] {
        seen.push(world.read(&format!("{EXPORT}?after={after}")).await.fields());
    }
    assert_eq!(seen, vec![vec!["after: unknown_event"]; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_many_events_is_whole() {
    let (world, key) = with_calls(1).await;
    // One event more than two pages hold, each behind the other.
    world
        .sql(&format!(
            "INSERT INTO audit_events SELECT (e.r).* FROM (SELECT jsonb_populate_record(NULL::audit_events,
                 to_jsonb(a) || jsonb_build_object('id', gen_random_uuid(), 'sequence', 1000000 + n)) AS r
                 FROM audit_events a, generate_series(1, 4000) n WHERE a.actor_id = '{key}') e"
        ))
        .await;
    let text = world.read(&format!("{EXPORT}?actor={key}")).await.text;
    let mut ids: Vec<String> = text.lines().map(id_of).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((text.lines().count(), ids.len()), (4001, 4001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_an_export_is_there_before_its_first_byte() {
    let (world, _) = with_calls(1).await;
    let response = world.api.get(&format!("{EXPORT}?format=cef")).cookie(&world.owner).response().await;
    let events = world.events("audit.export").await;
    let formats: Vec<&Value> = events.iter().map(|event| &event["detail"]["format"]).collect();
    let body = to_bytes(response.into_body()).await.unwrap_or_else(|_| panic!("the body broke"));
    assert_eq!((formats, body.is_empty()), (vec![&json!("cef")], false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_an_export_has_its_headers_and_reads_nothing() {
    let (world, _) = with_calls(1).await;
    let ask = |method| world.api.ask(method, &format!("{EXPORT}?format=csv")).cookie(&world.owner).send();
    let (head, get) = (ask("HEAD").await, ask("GET").await);
    let headers = |reply: &Reply| ["content-type", "content-disposition"].map(|name| reply.header(name).to_owned());
    assert_eq!((head.status, headers(&head), head.text.as_str()), (200, headers(&get), ""));
}

/// Makes a row of the table unreadable.
async fn spoil(world: &World) {
    world.sql("UPDATE audit_events SET detail = '[]' WHERE action = 'api.call'").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_cannot_go_on_ends_in_an_error() {
    let (world, _) = with_calls(1).await;
    spoil(&world).await;
    let response = world.api.get(EXPORT).cookie(&world.owner).response().await;
    assert_eq!((response.status().as_u16(), to_bytes(response.into_body()).await.is_err()), (200, true));
}

/// What a client gets over a socket, to the end of the connection.
async fn over_a_socket(world: &World, path: &str) -> String {
    let state = world.api.state.clone();
    let server = HttpServer::new(move || service(state.clone())).workers(1).disable_signals();
    let server = server.bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let cookie = &world.owner.cookie;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: auth.test\r\nCookie: statuspulse_session={cookie}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A connection that is reset instead of closed shows the same: what came before is what there is.
    let _ = stream.read_to_end(&mut bytes).await;
    handle.stop(false).await;
    String::from_utf8(bytes).unwrap()
}

/// The last chunk of a body that is whole is an empty one (RFC 9112 §7.1); without it every client knows that there is more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_sees_whether_an_export_is_whole() {
    let (world, _) = with_calls(1).await;
    let whole = over_a_socket(&world, EXPORT).await;
    spoil(&world).await;
    let broken = over_a_socket(&world, EXPORT).await;
    let ends = [&whole, &broken].map(|text| (text.starts_with("HTTP/1.1 200 "), text.ends_with("\r\n0\r\n\r\n")));
    assert_eq!(ends, [(true, true), (true, false)], "{broken}");
}

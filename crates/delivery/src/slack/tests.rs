use proptest::prelude::*;
use serde_json::json;

use super::blocks::{LONGEST_FIELD, LONGEST_HEADER, LONGEST_SECTION, MOST_FIELDS, inert};
use super::*;

const PUBLIC: &str = "https://auth.example";
const ID: &str = "0198c0de-0000-7000-8000-000000000001";
const EVENTS: [&str; 18] = [
    "key.created",
    "key.rotated",
    "key.revoked",
    "key.disabled",
    "key.expiring",
    "key.expired",
    "key.unused",
    "key.recipient_changed",
    "key.successor_ready",
    "key.successor_claimed",
    "key.leaked",
    "app.secret_expiring",
    "oauth.refresh_reuse_detected",
    "alert.opened",
    "alert.resolved",
    "audit.checkpoint",
    "webhook.test",
    "key.yet_unknown",
];

/// Data that has everything any event has.
fn data(name: &str) -> Value {
    json!({
        "sequence": 42, "organization": "acme", "days_left": 7, "reason": "offboarding",
        "available_until": "2026-01-08T00:00:00Z", "previous_valid_until": "2026-01-02T00:00:00Z", "grant_id": ID,
        "key": {"id": ID, "name": name, "environment": "production", "hint": "sp_live_Ab3d…", "version": 3,
            "expires_at": "2026-01-08T01:30:00+01:00"},
        "app": {"id": ID, "client_id": "sp_app_x", "name": name},
        "secret": {"id": ID, "label": name, "last4": "Zz9_", "expires_at": "2026-01-08T00:00:00Z"},
        "alert": {"id": ID, "rule": "call_rate", "severity": "high", "opened_at": "2026-01-01T00:00:00Z", "count": 5001,
            "subject": {"kind": "key", "id": ID, "name": name}},
    })
}

fn message(event_type: &str, name: &str) -> Value {
    render(event_type, &data(name), PUBLIC)
}

/// All texts of a message with their types; the outer `text` counts as mrkdwn.
fn texts(message: &Value) -> Vec<(String, String)> {
    fn walk(value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(map) => {
                if let (Some(kind), Some(Value::String(text))) = (map.get("type"), map.get("text")) {
                    found.push((kind.as_str().unwrap().to_owned(), text.clone()));
                }
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = vec![("mrkdwn".to_owned(), message["text"].as_str().unwrap().to_owned())];
    walk(&message["blocks"], &mut found);
    found
}

fn fields(message: &Value) -> Vec<String> {
    let blocks = message["blocks"].as_array().unwrap();
    let fields = blocks.iter().filter_map(|block| block["fields"].as_array()).flatten();
    fields.map(|field| field["text"].as_str().unwrap().replace('\n', ": ")).collect()
}

#[test]
fn an_expiring_key_reads_well() {
    assert_eq!(
        message("key.expiring", "nightly sync"),
        json!({
            "text": "API key expires in 7 days: “nightly sync” (production) — Rotate the key and hand the new secret to whoever \
                     uses it; afterwards it can only be replaced.",
            "mrkdwn": false,
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "API key expires in 7 days", "emoji": false}},
                {"type": "section", "fields": [
                    {"type": "plain_text", "text": "Key\nnightly sync", "emoji": false},
                    {"type": "plain_text", "text": "Environment\nproduction", "emoji": false},
                    {"type": "plain_text", "text": "Begins with\nsp_live_Ab3d…", "emoji": false},
                    {"type": "plain_text", "text": "Version\n3", "emoji": false},
                    {"type": "plain_text", "text": "Expires\n2026-01-08 00:30 UTC", "emoji": false},
                    {"type": "plain_text", "text": "Time left\n7 days", "emoji": false},
                    {"type": "plain_text", "text": "Can be fetched until\n2026-01-08 00:00 UTC", "emoji": false},
                    {"type": "plain_text", "text": "Previous secret works until\n2026-01-02 00:00 UTC", "emoji": false},
                    {"type": "plain_text", "text": "Reason\noffboarding", "emoji": false},
                ]},
                {"type": "section", "text": {
                    "type": "plain_text",
                    "text": "Rotate the key and hand the new secret to whoever uses it; afterwards it can only be replaced.",
                    "emoji": false,
                }},
                {"type": "section", "text": {
                    "type": "mrkdwn",
                    "text": format!("<https://auth.example/keys/{ID}?org=acme|Open the key>"),
                    "verbatim": true,
                }},
                {"type": "context", "elements": [
                    {"type": "plain_text", "text": "Organization acme · event 42 · key.expiring", "emoji": false},
                ]},
            ],
        })
    );
}

#[test]
fn an_alert_says_what_it_is_about() {
    assert_eq!(
        fields(&message("alert.opened", "nightly")),
        ["Rule: call rate", "Severity: high", "About: key nightly", "Since: 2026-01-01 00:00 UTC", "Count: 5001",]
    );
}

/// An alert with everything that it can have.
fn whole_alert(event_type: &str, more: &Value) -> Vec<String> {
    let mut alert = json!({"rule": "out_of_scope", "title": "Calls outside of the declared scope", "severity": "medium",
        "advice": "Compare the refused routes with what the key is for.", "count": 7, "opened_at": "2026-01-01T00:00:00Z",
        "subject": {"kind": "key", "id": ID, "name": "nightly"}});
    let fields = more.as_object().unwrap().clone();
    alert.as_object_mut().unwrap().extend(fields);
    texts(&render(event_type, &json!({"alert": alert}), PUBLIC)).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn an_alert_says_what_has_happened_and_what_to_do() {
    let told = whole_alert("alert.opened", &json!({"action_taken": "disable_key"}));
    let says = |text: &str| told.iter().any(|told| told.contains(text));
    assert!(says("Alert opened: Calls outside of the declared scope"), "{told:?}");
    assert!(says("Compare the refused routes") && says("Acknowledge it") && says("disable key"), "{told:?}");
    assert!(says("key nightly") && says("medium") && says("/alerts"), "{told:?}");
}

#[test]
fn an_alert_that_is_told_again_says_so_and_one_that_is_resolved_how() {
    let again = whole_alert("alert.opened", &json!({"escalation": 2}));
    let over = whole_alert("alert.resolved", &json!({"resolution": {"kind": "automatic"}}));
    let says = |told: &[String], text: &str| told.iter().any(|told| told.contains(text));
    assert!(says(&again, "Alert that nobody has taken: Calls outside"), "{again:?}");
    assert!(says(&over, "Alert resolved: Calls outside") && says(&over, "by itself: its cause has ceased"), "{over:?}");
}

#[test]
fn an_app_s_secret_is_shown_by_label_and_last_characters() {
    assert_eq!(
        fields(&message("app.secret_expiring", "Pager")),
        [
            "App: Pager",
            "Client id: sp_app_x",
            "Secret: Pager (…Zz9_)",
            "Expires: 2026-01-08 00:00 UTC",
            "Time left: 7 days",
        ]
    );
}

/// spec: keys K39
#[test]
fn a_name_can_neither_mention_nor_link() {
    let all: Vec<_> = EVENTS.iter().flat_map(|event| texts(&message(event, "<!channel> <https://evil|x>"))).collect();
    let ours = |text: &str| text.starts_with(&format!("<{PUBLIC}/"));
    assert_eq!(
        all.iter().filter(|(_, text)| text.contains(['<', '>']) && !ours(text)).collect::<Vec<_>>(),
        [] as [&(String, String); 0]
    );
}

/// spec: keys K39
#[test]
fn a_name_that_tries_is_shown_as_it_is_written() {
    let shown = fields(&message("key.created", "<!channel> <https://evil|x>"));
    assert_eq!(shown[0], "Key: &lt;!channel&gt; &lt;https://evil|x&gt;");
}

#[test]
fn a_name_stands_in_no_text_that_slack_formats() {
    let formatted = |event: &&str| {
        let found = texts(&message(event, "*bold*"));
        // The first is the outer text, for which formatting is switched off.
        found.iter().skip(1).any(|(kind, text)| kind != "plain_text" && text.contains('*'))
    };
    assert_eq!(EVENTS.iter().copied().filter(|event| formatted(event)).collect::<Vec<_>>(), [] as [&str; 0]);
}

#[test]
fn formatting_and_links_are_off_for_the_outer_text() {
    let message = message("key.created", "*x*");
    assert_eq!(
        (&message["mrkdwn"], &message["parse"], &message["link_names"]),
        (&json!(false), &json!("none"), &json!(false))
    );
}

#[test]
fn a_name_can_t_begin_a_line_of_its_own() {
    assert_eq!(
        fields(&message("key.created", "a\nEnvironment\r\u{2028}staging\u{202e}x"))[0],
        "Key: a Environment staging x"
    );
}

#[test]
fn a_sealed_secret_stays_out_of_slack() {
    let mut data = data("nightly");
    data["sealed"] = json!("-----BEGIN AGE ENCRYPTED FILE-----");
    let all: Vec<_> = EVENTS.iter().map(|event| render(event, &data, PUBLIC).to_string()).collect();
    assert!(!all.iter().any(|message| message.contains("AGE ENCRYPTED")));
}

#[test]
fn a_successor_is_named_with_the_place_where_it_is_fetched() {
    let text = message("key.successor_ready", "nightly")["text"].as_str().unwrap().to_owned();
    assert!(text.ends_with("POST https://auth.example/v1/keys/self/successor"), "{text}");
}

#[test]
fn links_lead_to_the_page_of_what_happened() {
    let link = |event: &str| {
        let found = texts(&message(event, "x"));
        found
            .iter()
            .find_map(|(_, text)| text.strip_prefix("<https://auth.example").map(str::to_owned))
            .unwrap_or_default()
    };
    let links = ["key.leaked", "app.secret_expiring", "alert.resolved", "webhook.test"].map(link);
    // The test event has no app of its own; here it has, for all events get the same data.
    assert_eq!(
        links,
        [
            format!("/keys/{ID}?org=acme|Open the key>"),
            format!("/apps?org=acme&amp;app={ID}|Open the app>"),
            format!("/alerts?org=acme&amp;alert={ID}|Open the alert>"),
            format!("/apps?org=acme&amp;app={ID}|Open the app>"),
        ]
    );
}

#[test]
fn an_id_that_is_none_makes_no_link() {
    let message = render("key.created", &json!({"key": {"id": "x|y> <!here>"}}), PUBLIC);
    assert!(!message.to_string().contains("mrkdwn\",\"verbatim"));
}

#[test]
fn days_are_counted_in_words() {
    let title = |days: i64| {
        let message = render("key.expiring", &json!({"days_left": days}), PUBLIC);
        message["blocks"][0]["text"]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [0, 1, 30].map(title),
        ["API key expires in less than a day", "API key expires in 1 day", "API key expires in 30 days",]
    );
}

#[test]
fn every_event_makes_a_message_even_without_data() {
    let whole = |event: &&str| {
        let message = render(event, &Value::Null, PUBLIC);
        texts(&message).iter().all(|(_, text)| !text.is_empty()) && message["blocks"][0]["type"] == "header"
    };
    assert_eq!(EVENTS.iter().copied().filter(|event| !whole(event)).collect::<Vec<_>>(), [] as [&str; 0]);
}

#[test]
fn long_names_are_cut_to_slack_s_limits() {
    let long = "<".repeat(5_000);
    let mut data = data(&long);
    data["organization"] = json!(long);
    let within = |(kind, text): &(String, String)| {
        text.chars().count() <= if kind == "header" { LONGEST_HEADER } else { LONGEST_SECTION }
    };
    let all: Vec<_> = EVENTS.iter().map(|event| render(event, &data, PUBLIC)).collect();
    assert!(all.iter().all(|message| {
        texts(message).iter().all(within)
            && fields(message).len() <= MOST_FIELDS
            && fields(message).iter().all(|field| field.chars().count() <= LONGEST_FIELD + 1)
    }));
}

#[test]
fn a_long_unknown_type_fits_into_the_header() {
    let message = render(&"x".repeat(400), &Value::Null, PUBLIC);
    assert_eq!(message["blocks"][0]["text"]["text"].as_str().unwrap().chars().count(), LONGEST_HEADER);
}

#[test]
fn a_cut_does_not_split_an_escape() {
    assert_eq!(
        (inert("a<b>c", 6), inert("a<b>c", 11), inert("a<b>c", 5)),
        ("a&lt;…".into(), "a&lt;b&gt;c".into(), "a…".into())
    );
}

proptest! {
    #[test]
    fn whatever_a_name_is_the_text_is_one_short_inert_line(text: String, longest in 1..60_usize) {
        let line = inert(&text, longest);
        let unescaped = line.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        prop_assert!(line.chars().count() <= longest && !unescaped.contains(['&', '<', '>', '\n', '\r', '\u{202e}']), "{line}");
    }
}

//! How an event reads in Slack (keys §8, §9): what happened, to which key, how much time is left, what to do and where.
//!
//! Names are written by people whom the readers of the channel need not trust. So they stand in `plain_text` objects only,
//! which know no formatting; where a text is parsed nevertheless, `&`, `<` and `>` are escaped, so that nothing mentions a
//! channel or hides a link. Secrets never come here, sealed ones (`data.sealed`) neither.

use chrono::{DateTime, Utc};
use serde_json::Value;

mod blocks;

/// One event, for people.
#[derive(Default)]
struct Notice {
    title: String,
    /// What it is about, in a few words: the line under which a phone shows the message.
    about: Option<String>,
    fields: Vec<(&'static str, String)>,
    advice: String,
    /// Where to look: the words and the path below the public URL.
    link: Option<(&'static str, String)>,
}

impl Notice {
    fn field(&mut self, label: &'static str, value: Option<String>) {
        self.fields.extend(value.map(|value| (label, value)));
    }
}

/// The message for Slack's incoming webhooks. `data` is the event's own; `public_url` is where people reach this service,
/// without a slash at its end. What is missing in `data` is left out, and an unknown type still makes a message.
#[must_use]
pub fn render(event_type: &str, data: &Value, public_url: &str) -> Value {
    let public_url = public_url.trim_end_matches('/');
    let notice = match event_type.split_once('.') {
        Some(("key", happening)) => key(event_type, happening, data, public_url),
        Some(("alert", happening)) => alert(happening, data),
        _ => other(event_type, data),
    };
    let mut context: Vec<String> = Vec::new();
    context.extend(text(data, "/organization").map(|organization| format!("Organization {organization}")));
    context.extend(text(data, "/sequence").map(|sequence| format!("event {sequence}")));
    context.push(event_type.to_owned());
    blocks::message(&notice, &context.join(" · "), public_url)
}

fn key(event_type: &str, happening: &str, data: &Value, public_url: &str) -> Notice {
    let left = days_left(data);
    let (title, advice) = match happening {
        "created" => ("API key created".to_owned(), "If nobody on your team made it, revoke it.".to_owned()),
        "rotated" => (
            "API key rotated".to_owned(),
            "Whoever uses the key changes over to the new secret before the previous one ends.".to_owned(),
        ),
        "revoked" => ("API key revoked".to_owned(), "Calls with it are refused from now on, for good.".to_owned()),
        "disabled" => {
            ("API key disabled".to_owned(), "Calls with it are refused until somebody enables it.".to_owned())
        }
        "expiring" => (
            format!("API key expires in {}", left.as_deref().unwrap_or("a few days")),
            "Rotate the key and hand the new secret to whoever uses it; afterwards it can only be replaced.".to_owned(),
        ),
        "recipient_changed" => (
            "The recipient of an API key's sealed successors changed".to_owned(),
            "Whoever holds the new private key gets the key's next secret. If nobody on your team did it, revoke the key."
                .to_owned(),
        ),
        "unused" => (
            format!("API key that nobody uses is switched off in {}", left.as_deref().unwrap_or("two weeks")),
            "Use the key once if it is still needed; otherwise revoke it.".to_owned(),
        ),
        "expired" => (
            "API key has expired".to_owned(),
            "Calls with it are refused. Make a new key if it is still needed.".to_owned(),
        ),
        "successor_ready" => ("A new secret waits for its key's holder".to_owned(), successor_advice(data, public_url)),
        "successor_claimed" => (
            "The new secret of an API key was picked up".to_owned(),
            "The previous secret works until its own end. If nobody on your team fetched the new one, revoke the key."
                .to_owned(),
        ),
        "leaked" => leaked(data),
        _ => return other(event_type, data),
    };
    let name = text(data, "/key/name");
    let environment = text(data, "/key/environment");
    let about = name.as_ref().map(|name| match &environment {
        Some(environment) => format!("“{name}” ({environment})"),
        None => format!("“{name}”"),
    });
    let mut notice = Notice { title, about, advice, ..Notice::default() };
    notice.field("Key", name);
    notice.field("Environment", environment);
    notice.field("Begins with", text(data, "/key/hint"));
    notice.field("Version", text(data, "/key/version"));
    notice.field("Expires", moment(data, "/key/expires_at"));
    notice.field("Time left", left);
    notice.field("Unused since", moment(data, "/unused_since"));
    notice.field("Can be fetched until", moment(data, "/available_until"));
    notice.field("Previous secret works until", moment(data, "/previous_valid_until"));
    notice.field("Reason", text(data, "/reason").map(|reason| words(&reason)));
    notice.link = id(data, "/key/id").map(|id| ("Open the key", page(&format!("/keys/{id}"), &[], data)));
    notice
}

/// What got out, and whether it could be ended.
fn leaked(data: &Value) -> (String, String) {
    let (title, advice) = if data.get("grant").is_some() {
        (
            "OAuth token leaked: it was ended",
            "Find out where the app let it out; the person may have to connect it again.",
        )
    } else if data.get("revoked") == Some(&Value::Bool(false)) {
        ("Honeytoken found by somebody", "Somebody has been where it lay. Find out who, and what else lies there.")
    } else {
        ("API key leaked: it was revoked", "Find out where it got out, look at its last calls, and make a new key.")
    };
    (title.to_owned(), advice.to_owned())
}

/// Says where the successor is, and never what it is.
fn successor_advice(data: &Value, public_url: &str) -> String {
    if data.get("sealed").is_some_and(|sealed| !sealed.is_null()) {
        "It was sent sealed to the webhook endpoints of the key; who has the private key opens it there.".to_owned()
    } else {
        format!("Its holder fetches it with the current secret: POST {public_url}/v1/keys/self/successor")
    }
}

fn alert(happening: &str, data: &Value) -> Notice {
    let rule = text(data, "/alert/rule").map(|rule| words(&rule));
    let told_again = text(data, "/alert/escalation").is_some();
    let title = match happening {
        "opened" if told_again => "Alert that nobody has taken",
        "opened" => "Alert opened",
        "resolved" => "Alert resolved",
        _ => "Alert",
    };
    let title = match text(data, "/alert/title") {
        Some(what) => format!("{title}: {what}"),
        None => title.to_owned(),
    };
    let advice = match happening {
        "resolved" => "No action is needed.".to_owned(),
        _ => {
            let advice = text(data, "/alert/advice").unwrap_or_else(|| "Look at what it shows.".to_owned());
            format!("{advice} Acknowledge it so that others know you are on it.")
        }
    };
    let mut notice = Notice { title, about: rule.clone(), advice, ..Notice::default() };
    notice.field("Rule", rule);
    notice.field("Severity", text(data, "/alert/severity"));
    let kind = text(data, "/alert/subject/kind").map(|kind| words(&kind));
    let subject = text(data, "/alert/subject/name").or_else(|| text(data, "/alert/subject/id"));
    notice.field("About", kind.into_iter().chain(subject).reduce(|kind, subject| format!("{kind} {subject}")));
    notice.field("Since", moment(data, "/alert/opened_at"));
    notice.field("Count", text(data, "/alert/count"));
    notice.field("Done to the key", text(data, "/alert/action_taken").map(|action| words(&action)));
    let by_itself = text(data, "/alert/resolution/kind").map(|kind| match kind.as_str() {
        "automatic" => "by itself: its cause has ceased".to_owned(),
        _ => "by a person".to_owned(),
    });
    notice.field("Resolved", by_itself);
    notice.link = Some(("Open the alert", page("/alerts", &[("alert", id(data, "/alert/id"))], data)));
    notice
}

fn other(event_type: &str, data: &Value) -> Notice {
    let app = text(data, "/app/name");
    let mut notice = Notice { about: app.as_ref().map(|name| format!("“{name}”")), ..Notice::default() };
    notice.field("App", app);
    notice.field("Client id", text(data, "/app/client_id"));
    if !notice.fields.is_empty() {
        notice.link = Some(("Open the app", page("/apps", &[("app", id(data, "/app/id"))], data)));
    }
    match event_type {
        "app.secret_expiring" => {
            let left = days_left(data);
            notice.title = format!("Client secret expires in {}", left.as_deref().unwrap_or("a few days"));
            let label = text(data, "/secret/label");
            let last = text(data, "/secret/last4").map(|last| format!("…{last}"));
            notice.field("Secret", label.into_iter().chain(last).reduce(|label, last| format!("{label} ({last})")));
            notice.field("Expires", moment(data, "/secret/expires_at"));
            notice.field("Time left", left);
            notice.advice = "Add a second secret, change the app over to it, then remove this one.".to_owned();
        }
        "oauth.refresh_reuse_detected" => {
            notice.title = "A refresh token was used twice".to_owned();
            notice.field("Grant", text(data, "/grant_id"));
            notice.advice =
                "Two parties hold it, so the grant was revoked with all its tokens. Look whether the app lost it; its user has \
                 to authorize it again."
                    .to_owned();
        }
        "audit.checkpoint" => {
            notice.title = "Audit checkpoint signed".to_owned();
            notice.advice = "What the audit trail says up to here can no longer be changed unnoticed.".to_owned();
        }
        "webhook.test" => {
            notice.title = "Test from StatusPulse Auth".to_owned();
            notice.advice = "Events of this organization arrive here.".to_owned();
        }
        _ => {
            notice.title = format!("Event {event_type}");
            notice.advice = "Its details are in the API.".to_owned();
        }
    }
    notice
}

/// A text or number of the data.
fn text(data: &Value, pointer: &str) -> Option<String> {
    match data.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The address of a page of the dashboard with what it shows, below the public URL. The organization is named for those who
/// belong to several.
fn page(path: &str, shown: &[(&str, Option<String>)], data: &Value) -> String {
    let organization = ("org", id(data, "/organization"));
    let parameters: Vec<String> = [organization]
        .iter()
        .chain(shown)
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")))
        .collect();
    if parameters.is_empty() { path.to_owned() } else { format!("{path}?{}", parameters.join("&")) }
}

/// An id that is one: it becomes a part of a link.
fn id(data: &Value, pointer: &str) -> Option<String> {
    text(data, pointer).filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
}

/// A moment as people write it, in UTC.
fn moment(data: &Value, pointer: &str) -> Option<String> {
    let given = text(data, pointer)?;
    Some(match DateTime::parse_from_rfc3339(&given) {
        Ok(at) => at.with_timezone(&Utc).format("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => given,
    })
}

fn days_left(data: &Value) -> Option<String> {
    Some(match data.get("days_left")?.as_i64()? {
        ..=0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    })
}

/// A stable word as people write it.
fn words(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests;

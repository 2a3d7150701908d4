//! What is asked of the trail, as it comes from outside. A filter that can't be read is refused with all its errors: one
//! that is dropped or guessed would answer with more than was asked for.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use statuspulse_audit::{Action, Outcome, PublicKey, Record, SignedCheckpoint, export::Format};
use statuspulse_policy::{Cidr, Role};
use statuspulse_store::audit::{checkpoints, trail::Filter};

use super::{
    checkpoint,
    export::{self, Export},
    keys, read,
};
use crate::{
    app::App,
    caller::{Access, Caller, Right},
    cursor::{self, List},
    error::{AppError, FieldError},
};

/// Items of a page where no number is asked for.
const PAGE: i64 = 50;
/// Characters of an actor, at most.
const LONGEST_ACTOR: usize = 200;

/// Which events are asked for; what is left out is no filter.
#[derive(Debug, Clone, Default)]
pub struct AskEvents {
    /// From this time on, RFC 3339.
    pub from: Option<String>,
    /// Before this time, RFC 3339.
    pub to: Option<String>,
    /// Id of the actor.
    pub actor: Option<String>,
    /// A word of the closed list, or a family of it with its dot (`key.`).
    pub action: Option<String>,
    /// `allowed`, `denied` or `failed`.
    pub outcome: Option<String>,
    /// An address, or a network in canonical form.
    pub ip: Option<String>,
    /// Two letters.
    pub country: Option<String>,
}

impl AskEvents {
    /// As a filter.
    ///
    /// # Errors
    /// 422 with every value that can't be read.
    pub fn filter(&self) -> Result<Filter, AppError> {
        let (filter, errors) = self.read();
        if errors.is_empty() { Ok(filter) } else { Err(AppError::Invalid(errors)) }
    }

    fn read(&self) -> (Filter, Vec<FieldError>) {
        let mut errors = Vec::new();
        let mut refuse = |field, code, detail: String| errors.push(FieldError::new(field, code, detail));
        let mut time = |field, text: Option<&String>| {
            let read = DateTime::parse_from_rfc3339(text?).map(|at| at.to_utc());
            // A `+` that is not escaped in a query is a blank.
            let detail = "a time such as `2026-07-01T12:00:00Z` is wanted; write `+` as `%2B`";
            read.map_err(|_| refuse(field, "invalid_time", detail.into())).ok()
        };
        let (from, to): (Option<DateTime<Utc>>, _) = (time("from", self.from.as_ref()), time("to", self.to.as_ref()));
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            refuse("to", "not_after_from", "the end lies behind the beginning".into());
        }
        if self.actor.as_ref().is_some_and(|actor| actor.is_empty() || actor.chars().count() > LONGEST_ACTOR) {
            refuse("actor", "out_of_bounds", format!("an actor is an id of 1 to {LONGEST_ACTOR} characters"));
        }
        if self.action.as_ref().is_some_and(|action| !is_action(action)) {
            let detail = "an action is a word such as `key.create`, or a family with its dot such as `key.`";
            refuse("action", "unknown_action", detail.into());
        }
        let outcomes = [Outcome::Allowed, Outcome::Denied, Outcome::Failed].map(Outcome::as_str);
        if self.outcome.as_ref().is_some_and(|outcome| !outcomes.contains(&outcome.as_str())) {
            refuse("outcome", "unknown_outcome", format!("an outcome is one of `{}`", outcomes.join("`, `")));
        }
        let network = self
            .ip
            .as_deref()
            .and_then(|text| Cidr::parse(text).map_err(|error| refuse("ip", error.code(), error.to_string())).ok());
        let is_country = |text: &String| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        if self.country.as_ref().is_some_and(|country| !is_country(country)) {
            refuse("country", "invalid_country", "a country is two letters, such as `DE`".into());
        }
        let filter = Filter {
            organization: None,
            from,
            to,
            actor: self.actor.clone(),
            action: self.action.clone(),
            outcome: self.outcome.clone(),
            network,
            country: self.country.as_ref().map(|country| country.to_ascii_uppercase()),
        };
        (filter, errors)
    }

    /// What a cursor is sealed to.
    fn fixed_form(&self) -> String {
        let Self { from, to, actor, action, outcome, ip, country } = self;
        Value::from_iter([from, to, actor, action, outcome, ip, country].map(|text| Value::from(text.clone())))
            .to_string()
    }
}

fn is_action(text: &str) -> bool {
    let fits = |word: &str| match text.strip_suffix('.') {
        Some(family) => word.split('.').next() == Some(family),
        None => word == text,
    };
    Action::ALL.iter().any(|action| fits(action.as_str()))
}

fn page_length(limit: Option<i64>, errors: &mut Vec<FieldError>) -> i64 {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=200).contains(&limit) {
        errors.push(FieldError::new("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    limit
}

/// A page of events.
#[derive(Debug)]
pub struct EventPage {
    /// Newest first.
    pub items: Vec<Record>,
    /// How to ask for the next page, if there is one.
    pub next_cursor: Option<String>,
}

/// A page of an organization's events, newest first.
///
/// # Errors
/// 403, 422 for a value that can't be read, 400 for a cursor of another list, 503.
pub async fn list(
    app: &App,
    caller: &Caller,
    access: &Access,
    asked: &AskEvents,
    limit: Option<i64>,
    cursor: Option<&str>,
) -> Result<EventPage, AppError> {
    let (filter, mut errors) = asked.read();
    let limit = page_length(limit, &mut errors);
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    let filters = asked.fixed_form();
    let list = List { name: "audit events", organization: access.organization.id, filters: &filters };
    let after = cursor.map(|cursor| cursor::read_place(&app.secrets, &list, cursor)).transpose()?;
    let page = read::list(app, caller, access, filter, after, limit).await?;
    let next_cursor = page.next.map(|place| cursor::write_place(&app.secrets, &list, place));
    Ok(EventPage { items: page.items, next_cursor })
}

/// What is asked of an export.
#[derive(Debug, Clone, Default)]
pub struct AskExport {
    /// Which events.
    pub events: AskEvents,
    /// `jsonl` where it is left out.
    pub format: Option<String>,
    /// Id of the last event that arrived before, behind which this export goes on.
    pub after: Option<String>,
}

/// Begins an export of an organization.
///
/// # Errors
/// 403, 422 for a value that can't be read, 503.
pub async fn export(app: &Arc<App>, caller: &Caller, access: &Access, asked: &AskExport) -> Result<Export, AppError> {
    let (filter, mut errors) = asked.events.read();
    let format = match asked.format.as_deref().unwrap_or(Format::Jsonl.as_str()).parse::<Format>() {
        Ok(format) => format,
        Err(error) => {
            errors.push(FieldError::new("format", "unknown_format", error.to_string()));
            Format::Jsonl
        }
    };
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    let after = match &asked.after {
        Some(event) => Some(export::behind(app, Some(access), event).await?),
        None => None,
    };
    export::begin(app, caller, Some(access), format, filter, after).await
}

/// A page of checkpoints, with the keys that have signed them.
#[derive(Debug)]
pub struct CheckpointPage {
    /// Newest first.
    pub items: Vec<SignedCheckpoint>,
    /// How to ask for the next page, if there is one.
    pub next_cursor: Option<String>,
    /// All keys that have ever signed, oldest first.
    pub keys: Vec<PublicKey>,
}

/// A page of checkpoints, newest first. They state the whole trail and not an organization's part, but say of it no more than
/// how long it is and when. A developer has no use for them.
///
/// # Errors
/// 403, 422 for a limit out of bounds, 400 for a cursor of another list, 503.
pub async fn checkpoints(
    app: &App,
    caller: &Caller,
    access: &Access,
    limit: Option<i64>,
    cursor: Option<&str>,
) -> Result<CheckpointPage, AppError> {
    if access.right == Right::Role(Role::Developer) {
        let detail = "a developer reads the events of own keys; ask an auditor for checkpoints";
        return Err(AppError::forbidden("role_not_sufficient", detail));
    }
    let mut errors = Vec::new();
    let limit = page_length(limit, &mut errors);
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    let organization = access.organization.id;
    let list = List { name: "audit checkpoints", organization, filters: "" };
    let before = cursor.map(|cursor| cursor::read_number(&app.secrets, &list, cursor)).transpose()?;
    let mut conn = app.conn().await?;
    // One more than asked for says whether there is a next page.
    let mut rows = checkpoints::before(&mut conn, before, limit + 1).await?;
    let keys = keys::all(app, &mut conn).await?;
    drop(conn);
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let next_cursor = rows.last().filter(|_| more).map(|last| cursor::write_number(&app.secrets, &list, last.number));
    let items = rows.iter().map(checkpoint::read).collect::<Result<Vec<_>, _>>()?;
    read::note(app, caller, Action::AuditRead, Some(organization), &Filter::default(), |event| {
        event.with("checkpoints", items.len())
    })
    .await?;
    Ok(CheckpointPage { items, next_cursor, keys: keys.into_iter().map(|key| key.public).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(asked: &AskEvents) -> Vec<(String, &'static str)> {
        let (_, errors) = asked.read();
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn every_word_of_the_closed_list_and_every_family_is_an_action() {
        let words = Action::ALL.iter().map(|action| action.as_str());
        let wrong: Vec<_> = words
            .filter(|word| !is_action(word) || !is_action(&format!("{}.", word.split_once('.').unwrap().0)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn half_a_word_and_half_a_family_are_no_action() {
        let taken: Vec<_> = ["", ".", "key", "key.c", "ke.", "key.create.", "KEY.", "k"]
            .into_iter()
            .filter(|text| is_action(text))
            .collect();
        assert_eq!(taken, Vec::<&str>::new());
    }

    #[test]
    fn every_value_that_cannot_be_read_is_named_at_once() {
        let text = |text: &str| Some(text.to_owned());
        let asked = AskEvents {
            from: text("yesterday"),
            to: text("2026-07-01T12:00:00 00:00"),
            actor: text(""),
            action: text("key"),
            outcome: text("ok"),
            ip: text("10.0.0.1/8"),
            country: text("DEU"),
        };
        let fields: Vec<String> = refused(&asked).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["from", "to", "actor", "action", "outcome", "ip", "country"]);
    }

    #[test]
    fn an_end_at_the_beginning_is_refused() {
        let at = Some("2026-07-01T12:00:00Z".to_owned());
        let asked = AskEvents { from: at.clone(), to: at, ..AskEvents::default() };
        assert_eq!(refused(&asked), [("to".to_owned(), "not_after_from")]);
    }

    #[test]
    fn a_country_is_read_in_any_case_and_an_address_is_a_network_of_one() {
        let asked =
            AskEvents { country: Some("de".into()), ip: Some("::ffff:198.51.100.7".into()), ..AskEvents::default() };
        let filter = asked.filter().unwrap();
        assert_eq!((filter.country.as_deref(), filter.network), (Some("DE"), Cidr::parse("198.51.100.7/32").ok()));
    }
}

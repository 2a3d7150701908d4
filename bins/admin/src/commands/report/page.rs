//! The report for people: one file of HTML without scripts. Every value goes through the escaping of the template, whose name
//! ends in `.html` for that reason; none is marked as safe.

use askama::Template;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use statuspulse_app::report::{Actor, Alert, Alerts, Evidence, List, Report, Subject};
use statuspulse_audit::verify::{Finding, Verdict};

use crate::{
    commands::audit::words,
    output::{escaped, readable},
};

/// Parts with their headings, in the order in which they stand.
const PARTS: [(&str, &str); 8] = [
    ("keys", "API keys"),
    ("rotations", "Rotations"),
    ("long_lived", "Secrets that live longer than 90 days"),
    ("access", "People and changes of access"),
    ("alerts", "Alerts"),
    ("service_alerts", "Alerts of the service itself"),
    ("webhooks", "Delivery of webhooks"),
    ("trail", "Verification of the audit trail"),
];

#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    report: &'a Report,
}

impl<'a> Page<'a> {
    pub(super) const fn new(report: &'a Report) -> Self {
        Self { report }
    }

    fn time(&self, at: &DateTime<Utc>) -> String {
        at.format("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn day(&self, at: &DateTime<Utc>) -> String {
        at.format("%Y-%m-%d").to_string()
    }

    fn maybe(&self, at: &Option<DateTime<Utc>>) -> String {
        at.as_ref().map_or_else(|| "–".to_owned(), |at| self.time(at))
    }

    fn text(&self, text: &Option<String>) -> String {
        text.as_deref().map_or_else(|| "–".to_owned(), escaped)
    }

    /// A text in which nothing turns the reading direction: names come from people.
    fn name(&self, text: &str) -> String {
        escaped(text)
    }

    fn words(&self, text: &str) -> String {
        text.replace('_', " ")
    }

    fn actor(&self, actor: &Actor) -> String {
        match actor.email.as_ref().or(actor.id.as_ref()) {
            Some(name) => escaped(name),
            None => actor.kind.clone(),
        }
    }

    fn subject(&self, subject: &Subject) -> String {
        escaped(subject.name.as_ref().unwrap_or(&subject.id))
    }

    /// What an event says beside the ids of what it is about.
    fn detail(&self, detail: &Map<String, Value>) -> String {
        let said = detail.iter().filter(|(name, _)| !name.ends_with("_id"));
        let said: Vec<String> =
            said.map(|(name, value)| format!("{}: {}", escaped(&name.replace('_', " ")), readable(value))).collect();
        said.join("; ")
    }

    fn minutes(&self, minutes: &Option<f64>) -> String {
        minutes.map_or_else(|| "–".to_owned(), |minutes| format!("{minutes} min"))
    }

    fn heading(&self, part: &str) -> &'static str {
        PARTS.iter().find(|(name, _)| *name == part).map_or("", |(_, heading)| *heading)
    }

    /// The criteria to which a part is evidence.
    fn controls_of(&self, part: &str) -> String {
        let is_evidence = |parts: &[Evidence]| parts.iter().any(|evidence| evidence.part == part);
        let of_part = self.report.controls.iter().filter(|control| is_evidence(&control.parts));
        of_part.map(|control| control.control).collect::<Vec<_>>().join(" · ")
    }

    fn days(&self, days: &i64) -> String {
        if *days == 1 { "1 day".to_owned() } else { format!("{days} days") }
    }

    /// The criteria to which an alert is evidence.
    fn criteria(&self, alert: &Alert) -> String {
        escaped(&alert.controls.join(" · "))
    }

    fn cut<T>(&self, list: &List<T>) -> Option<String> {
        let listed = list.listed;
        (u64::try_from(listed).is_ok_and(|listed| listed < list.total))
            .then(|| format!("The first {listed} of {} are shown.", list.total))
    }

    fn verdict(&self) -> &'static str {
        match self.report.trail.report.verdict {
            Verdict::Whole => "whole",
            Verdict::Tampered => "tampered with",
            Verdict::Incomplete => "incomplete",
        }
    }

    fn is_whole(&self) -> bool {
        self.report.trail.report.verdict == Verdict::Whole
    }

    fn finding(&self, finding: &Finding) -> String {
        words(finding)
    }

    fn alert_parts(&self) -> [(&'static str, &Alerts); 2] {
        [("alerts", &self.report.alerts), ("service_alerts", &self.report.service_alerts)]
    }
}

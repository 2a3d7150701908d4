//! What an auditor asks of an alert: the rule as it was, what was observed, first and last, where and from where.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::rules::AlertRule;

/// Distinct routes, networks and events that the evidence names.
const LISTED: usize = 20;

/// Happenings of one rule about one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// How many, or what was counted within the rule's window.
    pub count: i64,
    /// The threshold in force; none where it is the rule's own.
    pub threshold: Option<u64>,
    /// First of them.
    pub first_at: DateTime<Utc>,
    /// Last of them.
    pub last_at: DateTime<Utc>,
    /// Patterns of the routes.
    pub routes: Vec<String>,
    /// Networks they came from.
    pub sources: Vec<String>,
    /// Ids of their events in the audit trail.
    pub events: Vec<Uuid>,
    /// What else is known: ids and numbers.
    pub facts: Map<String, Value>,
}

impl Observed {
    /// One happening, of which nothing else is known.
    #[must_use]
    pub fn at(moment: DateTime<Utc>) -> Self {
        Self {
            count: 1,
            threshold: None,
            first_at: moment,
            last_at: moment,
            routes: Vec::new(),
            sources: Vec::new(),
            events: Vec::new(),
            facts: Map::new(),
        }
    }

    /// Takes in what was observed of the same rule and subject.
    pub fn merge(&mut self, rule: AlertRule, more: Self) {
        self.count = rule.counted(self.count, more.count);
        self.threshold = more.threshold.or(self.threshold);
        self.first_at = self.first_at.min(more.first_at);
        self.last_at = self.last_at.max(more.last_at);
        add(&mut self.routes, more.routes);
        add(&mut self.sources, more.sources);
        add(&mut self.events, more.events);
        self.facts.extend(more.facts);
    }

    /// The evidence of an alert whose count is now `count`; builds on what an open alert holds already.
    #[must_use]
    pub fn evidence(&self, rule: AlertRule, before: Option<&Value>, count: i64) -> Value {
        let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let held = |name: &str| before.and_then(|evidence| evidence.get(name));
        let peak = held("peak").and_then(Value::as_i64).unwrap_or_default();
        let mut evidence = before.and_then(Value::as_object).cloned().unwrap_or_default();
        evidence.extend(self.facts.clone());
        let mut put = |name: &str, value: Value| evidence.insert(name.to_owned(), value);
        put("rule_version", json!(rule.rule().version));
        put("threshold", json!(self.threshold.unwrap_or(rule.rule().threshold)));
        put("window_seconds", json!(rule.rule().window_seconds));
        put("observed", json!(self.count));
        put("peak", json!(peak.max(count)));
        put("first_seen_at", held("first_seen_at").cloned().unwrap_or_else(|| json!(text(self.first_at))));
        put("last_seen_at", json!(text(self.last_at)));
        put("routes", joined(held("routes"), self.routes.iter().cloned()));
        put("sources", joined(held("sources"), self.sources.iter().cloned()));
        put("events", joined(held("events"), self.events.iter().map(Uuid::to_string)));
        put("control", json!(rule.controls()));
        Value::Object(evidence)
    }
}

fn add<T: PartialEq>(held: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if held.len() < LISTED && !held.contains(&item) {
            held.push(item);
        }
    }
}

fn joined(held: Option<&Value>, fresh: impl Iterator<Item = String>) -> Value {
    let mut all: Vec<Value> = held.and_then(Value::as_array).cloned().unwrap_or_default();
    add(&mut all, fresh.map(Value::String).collect());
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(count: i64, route: &str) -> Observed {
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        Observed { count, routes: vec![route.to_owned()], events: vec![Uuid::from_u128(7)], ..Observed::at(at) }
    }

    #[test]
    fn the_evidence_of_an_open_alert_grows() {
        let first = observed(5_001, "/a").evidence(AlertRule::CallRate, None, 5_001);
        let then = observed(5_400, "/b").evidence(AlertRule::CallRate, Some(&first), 5_400);
        let last = observed(5_100, "/a").evidence(AlertRule::CallRate, Some(&then), 5_400);
        let shown = ["observed", "peak", "threshold", "window_seconds", "rule_version"].map(|name| last[name].clone());
        assert_eq!(shown, [json!(5_100), json!(5_400), json!(5_000), json!(60), json!(1)]);
        assert_eq!((&last["routes"], &last["events"]), (&json!(["/a", "/b"]), &json!([Uuid::from_u128(7)])));
    }

    #[test]
    fn twenty_routes_are_named_and_no_more() {
        let mut held = observed(1, "/0");
        for number in 1..50 {
            held.merge(AlertRule::OutOfScope, observed(1, &format!("/{number}")));
        }
        assert_eq!((held.count, held.routes.len()), (50, 20));
    }
}

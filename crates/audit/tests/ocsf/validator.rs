//! Judges an event by the schema, as the schema server's validator does: no attribute that the class or object doesn't
//! have, none missing that it requires, types, enumerations and their captions, constraints. Attributes of a profile exist
//! for events that name it in `metadata.profiles`.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// The published schema, in part.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn v1_3_0() -> Self {
        Self(serde_json::from_str(include_str!("1.3.0/schema.json")).unwrap())
    }

    /// What is wrong with an event; nothing when it is valid.
    pub(crate) fn faults(&self, event: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let class = self.0["classes"].as_object().unwrap().values().find(|class| class["uid"] == event["class_uid"]);
        let Some(class) = class else { return vec![format!("no class {}", event["class_uid"])] };
        let number = |name: &str| event[name].as_u64().unwrap_or_default();
        if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
            faults.push(format!("type_uid {}", event["type_uid"]));
        }
        if event["metadata"]["version"] != self.0["version"] {
            faults.push(format!("metadata.version {}", event["metadata"]["version"]));
        }
        let profiles = event["metadata"]["profiles"].as_array().cloned().unwrap_or_default();
        self.shape("", class, event, &profiles, &mut faults);
        faults
    }

    fn shape(&self, path: &str, shape: &Value, value: &Value, profiles: &[Value], faults: &mut Vec<String>) {
        let Some(object) = value.as_object() else { return faults.push(format!("{path} is no object")) };
        let attributes = shape["attributes"].as_object().unwrap();
        // `object` is the one without attributes: anything may stand in it.
        if attributes.is_empty() {
            return;
        }
        let applies = |attribute: &Value| {
            attribute.get("profile").is_none_or(|profile| profile.is_null() || profiles.contains(profile))
        };
        for (name, value) in object {
            match attributes.get(name).filter(|attribute| applies(attribute)) {
                None => faults.push(format!("{path}.{name} is unknown")),
                Some(attribute) => {
                    self.attribute(&format!("{path}.{name}"), attribute, value, object, profiles, faults)
                }
            }
        }
        for (name, attribute) in attributes {
            if attribute["requirement"] == "required" && applies(attribute) && !object.contains_key(name) {
                faults.push(format!("{path}.{name} is missing"));
            }
        }
        let constraints = shape.get("constraints").and_then(Value::as_object).cloned().unwrap_or_default();
        for (constraint, names) in &constraints {
            let there =
                names.as_array().unwrap().iter().filter(|name| object.contains_key(name.as_str().unwrap())).count();
            let holds = match constraint.as_str() {
                "at_least_one" => there >= 1,
                "just_one" => there == 1,
                _ => false,
            };
            if !holds {
                faults.push(format!("{path}: {constraint} of {names}"));
            }
        }
    }

    fn attribute(
        &self,
        path: &str,
        attribute: &Value,
        value: &Value,
        object: &Map<String, Value>,
        profiles: &[Value],
        faults: &mut Vec<String>,
    ) {
        if attribute["is_array"] == true {
            let Some(values) = value.as_array() else { return faults.push(format!("{path} is no array")) };
            let mut one = attribute.clone();
            one["is_array"] = false.into();
            for (at, value) in values.iter().enumerate() {
                self.attribute(&format!("{path}[{at}]"), &one, value, object, profiles, faults);
            }
            return;
        }
        if attribute["type"] == "object_t" {
            let name = attribute["object_type"].as_str().unwrap();
            match self.0["objects"].get(name) {
                None => faults.push(format!("{path}: the object {name} is not in this part of the schema")),
                Some(shape) => self.shape(path, shape, value, profiles, faults),
            }
            return;
        }
        if !self.fits(attribute["type"].as_str().unwrap(), value) {
            faults.push(format!("{path}: {value} is no {}", attribute["type"]));
        }
        let Some(members) = attribute.get("enum") else { return };
        let member = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let Some(caption) = members.get(&member) else { return faults.push(format!("{path}: {value} is not listed")) };
        // The name beside a number is the caption, except where the number says that the name is the source's own.
        let sibling = attribute.get("sibling").and_then(Value::as_str).and_then(|name| object.get(name));
        let own = member == "99";
        match sibling {
            Some(name) if !own && name != caption => faults.push(format!("{path}: {member} is called {name}")),
            None if own => faults.push(format!("{path}: 99 without a name")),
            _ => {}
        }
    }

    fn fits(&self, name: &str, value: &Value) -> bool {
        let Some(kind) = self.0["types"].get(name) else { return false };
        let text = value.as_str();
        let longest = kind.get("max_len").and_then(Value::as_u64);
        if longest.is_some_and(|longest| text.is_some_and(|text| text.len() as u64 > longest)) {
            return false;
        }
        match name {
            "ip_t" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            "string_t" | "username_t" | "url_t" | "datetime_t" | "uuid_t" => text.is_some(),
            "integer_t" => value.as_i64().is_some(),
            "long_t" => value.as_i64().is_some(),
            // Milliseconds: of this century, which neither seconds nor microseconds are.
            "timestamp_t" => value.as_i64().is_some_and(|at| (946_684_800_000..4_102_444_800_000).contains(&at)),
            "boolean_t" => value.is_boolean(),
            "float_t" => value.is_number(),
            "json_t" => true,
            // None of our events has one of these; whoever adds it says here what fits.
            _ => false,
        }
    }
}

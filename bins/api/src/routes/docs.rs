//! The page of the API, made from its own description and the table of routes: it can't say anything else than they do.

use std::sync::LazyLock;

use serde_json::Value;

use super::{Answer, ROUTES, Route, Who};
use crate::{
    http::{Context, oauth as wire},
    openapi,
    pages::{AnswerLine, DocsPage, EndpointBlock, EndpointGroup, FieldLine},
};

/// How deep objects within a body are followed.
const DEPTH: usize = 3;

static GROUPS: LazyLock<Vec<EndpointGroup>> = LazyLock::new(|| {
    let document = serde_json::to_value(openapi::document()).unwrap_or_default();
    groups(&document, ROUTES)
});

/// This API as a page for people.
#[utoipa::path(get, path = "/docs", tag = "operation",
    responses((status = 200, description = "a page without scripts", body = String, content_type = "text/html")))]
pub(crate) async fn docs(context: Context) -> Answer {
    let page = DocsPage { base: &context.state.base, version: env!("CARGO_PKG_VERSION"), groups: &GROUPS };
    Ok(wire::html(200, page.render(), None))
}

/// The described endpoints by tag, in the order of the table.
fn groups(document: &Value, routes: &[Route]) -> Vec<EndpointGroup> {
    let mut groups: Vec<EndpointGroup> = Vec::new();
    for route in routes {
        // A parameter with a pattern of its own stands for the rest of a path; the description names the path before it.
        let path = route.path.split("/{path:").next().unwrap_or(route.path);
        let method = if route.method == "ANY" { "get".to_owned() } else { route.method.to_lowercase() };
        let Some(operation) = at(document, &["paths", path, &method]) else { continue };
        let tag = operation["tags"].get(0).and_then(Value::as_str).unwrap_or("more");
        let group = match groups.iter_mut().find(|group| group.name == tag) {
            Some(group) => group,
            None => {
                groups.push(EndpointGroup { name: tag.to_owned(), endpoints: Vec::new() });
                let Some(group) = groups.last_mut() else { continue };
                group
            }
        };
        if group.endpoints.iter().any(|known| known.method == route.method && known.path == path) {
            continue;
        }
        group.endpoints.push(EndpointBlock {
            method: route.method,
            path: path.to_owned(),
            summary: text(operation, "summary"),
            who: in_words(route.who),
            parameters: parameters(document, operation),
            fields: fields(document, operation),
            answers: answers(operation),
        });
    }
    groups
}

/// Who may call a route, as people say it.
fn in_words(who: Who) -> String {
    match who {
        Who::Anyone => "anyone, or the endpoint judges for itself".to_owned(),
        Who::Session => "a signed-in person".to_owned(),
        Who::Member => "a signed-in member of the organization".to_owned(),
        Who::Writer => "a signed-in owner, admin or developer of the organization".to_owned(),
        Who::Admin => "a signed-in owner or admin of the organization".to_owned(),
        Who::Owner => "a signed-in owner of the organization".to_owned(),
        Who::MemberOrKey(scope) => format!("a signed-in member of the organization, or a key of it with {scope}"),
        Who::OwnKey => "the key itself".to_owned(),
        Who::Gateway(scope) => format!("a key with {scope}"),
        Who::TrustedProxy => "a trusted proxy".to_owned(),
    }
}

fn parameters(document: &Value, operation: &Value) -> Vec<FieldLine> {
    let line = |parameter: &Value| FieldLine {
        name: text(parameter, "name"),
        kind: format!("{}, {}", text(parameter, "in"), kind(document, &parameter["schema"])),
        required: parameter["required"] == true,
        description: text(parameter, "description"),
    };
    operation["parameters"].as_array().into_iter().flatten().map(line).collect()
}

fn fields(document: &Value, operation: &Value) -> Vec<FieldLine> {
    let Some(schema) = at(operation, &["requestBody", "content", "application/json", "schema"]) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    fields_of(document, schema, "", DEPTH, &mut lines);
    lines
}

/// The fields of an object, those of objects within it with their path.
fn fields_of(document: &Value, schema: &Value, before: &str, depth: usize, lines: &mut Vec<FieldLine>) {
    let Some(object) = object_of(document, schema).filter(|_| depth > 0) else { return };
    let needed = |name: &str| object["required"].as_array().into_iter().flatten().any(|known| known == name);
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let path = format!("{before}{name}");
        lines.push(FieldLine {
            name: path.clone(),
            kind: kind(document, field),
            required: needed(name),
            description: text(field, "description"),
        });
        fields_of(document, field, &format!("{path}."), depth - 1, lines);
    }
}

/// The schema with properties that a schema is, refers to, or has among its alternatives.
fn object_of<'a>(document: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    if let Some(named) = referred(document, schema) {
        return object_of(document, named);
    }
    if schema["properties"].is_object() {
        return Some(schema);
    }
    schema["oneOf"].as_array().into_iter().flatten().find_map(|one| object_of(document, one))
}

fn referred<'a>(document: &'a Value, schema: &Value) -> Option<&'a Value> {
    at(document, &["components", "schemas", reference(schema)?])
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// The type of a schema in words.
fn kind(document: &Value, schema: &Value) -> String {
    if let Some(named) = referred(document, schema) {
        return kind(document, named);
    }
    if let Some(alternatives) = schema["oneOf"].as_array() {
        return alternatives.iter().map(|one| kind(document, one)).collect::<Vec<_>>().join(" or ");
    }
    let one = |name: &str| match name {
        "array" => format!("list of {}", kind(document, &schema["items"])),
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => one(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(one).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

fn answers(operation: &Value) -> Vec<AnswerLine> {
    let line = |(status, answer): (&String, &Value)| {
        let contents = answer["content"].as_object().into_iter().flatten();
        let bodies = contents.map(|(media, content)| match reference(&content["schema"]) {
            Some(name) => format!("{name} ({media})"),
            None => media.clone(),
        });
        AnswerLine {
            status: status.clone(),
            description: text(answer, "description"),
            body: bodies.collect::<Vec<_>>().join(", "),
        }
    };
    operation["responses"].as_object().into_iter().flatten().map(line).collect()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(method: &str, path: &str) -> &'static EndpointBlock {
        let all = GROUPS.iter().flat_map(|group| &group.endpoints);
        all.into_iter().find(|known| known.method == method && known.path == path).unwrap()
    }

    #[test]
    fn the_page_shows_as_many_endpoints_as_are_described() {
        let document = serde_json::to_value(openapi::document()).unwrap();
        let described: usize =
            document["paths"].as_object().unwrap().values().map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!(GROUPS.iter().map(|group| group.endpoints.len()).sum::<usize>(), described);
    }

    #[test]
    fn a_field_of_an_inner_object_is_named_with_its_path() {
        let fields = &endpoint("PATCH", "/v1/orgs/{org}/settings").fields;
        let days = fields.iter().find(|field| field.name == "max_lifespan_days.production").unwrap();
        assert_eq!(days.kind, "integer or null");
    }

    #[test]
    fn a_body_that_may_be_left_out_has_its_fields_too() {
        let fields = &endpoint("POST", "/v1/orgs/{org}/keys/{id}/rotate").fields;
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["overlap_seconds"]);
    }

    #[test]
    fn who_may_call_is_that_of_the_table() {
        let told = ["/v1/orgs/{org}/keys", "/v1/orgs/{org}/apps"].map(|path| endpoint("GET", path).who.as_str());
        let expected = ["keys:read", "apps:read"]
            .map(|scope| format!("a signed-in member of the organization, or a key of it with {scope}"));
        assert_eq!(told.to_vec(), expected);
    }

    #[test]
    fn a_refusal_says_what_it_means() {
        let answers = &endpoint("GET", "/v1/orgs/{org}/keys/{id}").answers;
        let told = &answers.iter().find(|answer| answer.status == "404").unwrap().description;
        assert_eq!(told, "there is no such thing in this organization");
    }
}

//! From the file to the compiled catalog, every rule of the file checked.

use serde::Deserialize;

use super::{Catalog, Preset, Resource, ScopeInfo};
use crate::error::CatalogError;
use crate::routes::{Access, Routes, rule_text};
use crate::scope::{ScopeBit, ScopeName, ScopeSet, is_name};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    retired: Vec<u64>,
    #[serde(default)]
    audiences: Vec<String>,
    resources: Vec<FileResource>,
    #[serde(default)]
    presets: Vec<FilePreset>,
    #[serde(default)]
    rules: Vec<FileRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileResource {
    name: String,
    description: String,
    scopes: Vec<FileScope>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileScope {
    action: String,
    bit: u64,
    description: String,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    management: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePreset {
    name: String,
    title: String,
    scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    methods: Vec<String>,
    path: String,
    scope: Option<String>,
    public: Option<bool>,
}

pub(super) fn from_toml(text: &str) -> Result<Catalog, CatalogError> {
    let file: File = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    let mut catalog = Catalog {
        resources: Vec::new(),
        presets: Vec::new(),
        audiences: file.audiences,
        by_name: Vec::new(),
        retired: ScopeSet::EMPTY,
        all: ScopeSet::EMPTY,
        read_only: ScopeSet::EMPTY,
        management: ScopeSet::EMPTY,
        routes: Routes::default(),
    };
    for bit in file.retired {
        catalog.retired = catalog.retired.with(scope_bit(bit, || "`retired`".to_owned())?);
    }
    if file.resources.is_empty() {
        return Err(CatalogError::NoScopes { what: "the file".to_owned() });
    }
    for resource in file.resources {
        add_resource(&mut catalog, resource)?;
    }
    for preset in file.presets {
        add_preset(&mut catalog, preset)?;
    }
    for rule in &file.rules {
        add_rule(&mut catalog, rule)?;
    }
    match catalog.audiences.iter().find(|audience| !is_absolute_uri(audience)) {
        Some(audience) => Err(CatalogError::Audience(audience.clone())),
        None => Ok(catalog),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> CatalogError {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map_or(0, |before| before.matches('\n').count() + 1);
    CatalogError::Syntax { line, message: error.message().replace(['\n', '\r'], " ") }
}

fn add_resource(catalog: &mut Catalog, given: FileResource) -> Result<(), CatalogError> {
    let FileResource { name, description, scopes } = given;
    check_name("resource", &name)?;
    if catalog.resources.iter().any(|known| known.name == name) {
        return Err(CatalogError::Duplicate { kind: "resource", name });
    }
    if scopes.is_empty() {
        return Err(CatalogError::NoScopes { what: format!("resource `{name}`") });
    }
    let mut resource = Resource { name, description, scopes: Vec::new() };
    for scope in scopes {
        let scope = add_scope(catalog, &resource, scope)?;
        resource.scopes.push(scope);
    }
    catalog.resources.push(resource);
    Ok(())
}

fn add_scope(catalog: &mut Catalog, resource: &Resource, given: FileScope) -> Result<ScopeInfo, CatalogError> {
    check_name("action", &given.action)?;
    let name = format!("{}:{}", resource.name, given.action);
    let bit = scope_bit(given.bit, || format!("scope `{name}`"))?;
    let Err(place) = catalog.by_name.binary_search_by(|(known, _)| (**known).cmp(&name)) else {
        return Err(CatalogError::Duplicate { kind: "scope", name });
    };
    if catalog.retired.contains(bit) {
        return Err(CatalogError::BitRetired { name, bit: bit.index() });
    }
    if let Some((other, _)) = catalog.by_name.iter().find(|(_, taken)| *taken == bit) {
        return Err(CatalogError::BitTaken { name, other: other.to_string(), bit: bit.index() });
    }
    catalog.by_name.insert(place, (name.as_str().into(), bit));
    catalog.all = catalog.all.with(bit);
    if given.read_only {
        catalog.read_only = catalog.read_only.with(bit);
    }
    if given.management {
        catalog.management = catalog.management.with(bit);
    }
    Ok(ScopeInfo {
        name,
        action: given.action,
        description: given.description,
        bit,
        read_only: given.read_only,
        management: given.management,
    })
}

fn add_preset(catalog: &mut Catalog, given: FilePreset) -> Result<(), CatalogError> {
    let FilePreset { name, title, scopes } = given;
    check_name("preset", &name)?;
    if catalog.preset(&name).is_some() {
        return Err(CatalogError::Duplicate { kind: "preset", name });
    }
    let mut set = ScopeSet::EMPTY;
    for scope in scopes {
        let Some(bit) = catalog.scope(&scope) else {
            return Err(CatalogError::PresetScope { preset: name, scope });
        };
        set = set.with(bit);
    }
    if set.is_empty() {
        return Err(CatalogError::NoScopes { what: format!("preset `{name}`") });
    }
    catalog.presets.push(Preset { name, title, scopes: set });
    Ok(())
}

fn add_rule(catalog: &mut Catalog, rule: &FileRule) -> Result<(), CatalogError> {
    let problem = |problem: String| CatalogError::Rule { rule: rule_text(&rule.methods, &rule.path), problem };
    let access = match (&rule.scope, rule.public) {
        (None, Some(true)) => Access::Public,
        (Some(name), None | Some(false)) => match (catalog.scope(name), ScopeName::parse(name)) {
            (Some(bit), _) => Access::Scope { bit, name: name.as_str().into() },
            // It refuses everybody, which is how a path is closed while its scope does not exist yet.
            (None, Some(_)) => Access::Unknown { name: name.as_str().into() },
            (None, None) => {
                return Err(problem("names a scope that is not of the form `resource:action`".to_owned()));
            }
        },
        (Some(_), Some(true)) => return Err(problem("has a scope and is public; choose one".to_owned())),
        (None, None | Some(false)) => return Err(problem("has no scope; name one or say `public = true`".to_owned())),
    };
    catalog.routes.insert(&rule.methods, &rule.path, &access)
}

fn check_name(kind: &'static str, name: &str) -> Result<(), CatalogError> {
    if is_name(name) { Ok(()) } else { Err(CatalogError::Name { kind, name: name.to_owned() }) }
}

fn scope_bit(bit: u64, of: impl Fn() -> String) -> Result<ScopeBit, CatalogError> {
    u8::try_from(bit).ok().and_then(ScopeBit::new).ok_or_else(|| CatalogError::BitRange { of: of(), bit })
}

/// RFC 3986 §4.3: a scheme and something behind it, no fragment. Only what the comparison of audiences needs.
fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_ok = scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let host_ok = !matches!(scheme, "http" | "https")
        || rest.strip_prefix("//").is_some_and(|rest| !matches!(rest.as_bytes().first(), None | Some(b'/' | b'?')));
    scheme_ok && host_ok && !rest.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

//! Endpoint rules, compiled into a tree of path segments. The most specific pattern wins, compared segment by segment: a
//! literal before `{name}` before a closing `**`.

use crate::error::CatalogError;
use crate::path::{CanonicalPath, is_unreserved, segments};
use crate::scope::{ScopeBit, is_name};

/// What a call needs, found by method and path or named outright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement<'c> {
    /// This scope.
    Scope {
        /// Its bit, of the catalog that found it.
        bit: ScopeBit,
        /// Its name.
        name: &'c str,
        /// The pattern that matched, never the raw path; empty where the scope was named outright.
        route: &'c str,
    },
    /// No scope. A credential that is presented is judged all the same.
    Public {
        /// The pattern that matched, never the raw path.
        route: &'c str,
    },
    /// No credential helps.
    Refused {
        /// Why.
        reason: RefusedRoute,
        /// The pattern that matched, if one did.
        route: Option<&'c str>,
        /// The scope that the rule names, if one matched.
        name: Option<&'c str>,
    },
}

impl<'c> Requirement<'c> {
    /// The pattern for audit and metrics, which holds no ids; `None` where no rule matched or the scope was named outright.
    pub fn route(&self) -> Option<&'c str> {
        match *self {
            Self::Scope { route, .. } | Self::Public { route } => Some(route).filter(|route| !route.is_empty()),
            Self::Refused { route, .. } => route,
        }
    }

    /// The scope to name in a refusal, also one that the catalog does not hold.
    pub fn required_scope(&self) -> Option<&'c str> {
        match *self {
            Self::Scope { name, .. } => Some(name),
            Self::Public { .. } => None,
            Self::Refused { name, .. } => name,
        }
    }

    /// The same requirement at another pattern, for routes that a program declares itself.
    #[must_use]
    pub fn with_route(self, route: &'c str) -> Self {
        match self {
            Self::Scope { bit, name, .. } => Self::Scope { bit, name, route },
            Self::Public { .. } => Self::Public { route },
            Self::Refused { reason, name, .. } => Self::Refused { reason, route: Some(route), name },
        }
    }
}

/// Why a method and path are refused to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedRoute {
    /// The path has more than one reading.
    PathNotCanonical,
    /// No rule covers it.
    NoRule,
    /// The scope that is asked for does not exist.
    UnknownScope,
}

impl RefusedRoute {
    /// The reason for the audit trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PathNotCanonical => "path_not_canonical",
            Self::NoRule => "no_rule",
            Self::UnknownScope => "unknown_scope",
        }
    }
}

/// What a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    Scope { bit: ScopeBit, name: Box<str> },
    Unknown { name: Box<str> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    route: Box<str>,
    access: Access,
}

impl Rule {
    fn requirement(&self) -> Requirement<'_> {
        let route = &*self.route;
        match &self.access {
            Access::Public => Requirement::Public { route },
            Access::Scope { bit, name } => Requirement::Scope { bit: *bit, name, route },
            Access::Unknown { name } => {
                Requirement::Refused { reason: RefusedRoute::UnknownScope, route: Some(route), name: Some(name) }
            }
        }
    }
}

/// The rules of one pattern: a few methods, and the rule for all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Methods {
    named: Vec<(Box<str>, Rule)>,
    others: Option<Rule>,
}

impl Methods {
    /// Compared exactly: `get` is not `GET` and falls to the others.
    fn find(&self, method: &str) -> Option<&Rule> {
        self.named.iter().find(|(named, _)| **named == *method).map(|(_, rule)| rule).or(self.others.as_ref())
    }

    fn insert(&mut self, method: &str, rule: Rule) -> Result<(), CatalogError> {
        let taken = match method {
            OTHER_METHODS => self.others.as_ref(),
            _ => self.named.iter().find(|(named, _)| **named == *method).map(|(_, rule)| rule),
        };
        if let Some(first) = taken {
            return Err(CatalogError::EqualRules {
                first: first.route.to_string(),
                second: rule.route.to_string(),
                method: method.to_owned(),
            });
        }
        match method {
            OTHER_METHODS => self.others = Some(rule),
            _ => self.named.push((method.into(), rule)),
        }
        Ok(())
    }
}

/// One place in the tree. Its depth is that of the deepest pattern, whatever paths are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Routes {
    here: Methods,
    rest: Methods,
    literals: Vec<(Box<str>, Routes)>,
    any: Option<Box<Routes>>,
}

/// In a rule: every method that no other rule of the same pattern names.
const OTHER_METHODS: &str = "*";

/// The deepest pattern, in segments; it bounds the recursion of a look-up.
const MAX_DEPTH: usize = 64;

impl Routes {
    /// Adds a rule. `GET` covers `HEAD`.
    pub(crate) fn insert(&mut self, methods: &[String], pattern: &str, access: &Access) -> Result<(), CatalogError> {
        let text = rule_text(methods, pattern);
        let problem = |problem: &str| CatalogError::Rule { rule: text.clone(), problem: problem.to_owned() };
        let methods = expand_methods(methods).map_err(problem)?;
        let parts = parse_pattern(pattern).map_err(problem)?;
        let mut node = self;
        let mut closing = false;
        for part in parts {
            match part {
                Part::Literal(literal) => {
                    let at = match node.literals.binary_search_by(|(known, _)| (**known).cmp(literal)) {
                        Ok(at) => at,
                        Err(at) => {
                            node.literals.insert(at, (literal.into(), Self::default()));
                            at
                        }
                    };
                    let Some((_, child)) = node.literals.get_mut(at) else {
                        return Err(problem("can't be kept"));
                    };
                    node = child;
                }
                Part::Any => node = node.any.get_or_insert_default(),
                Part::Rest => closing = true,
            }
        }
        let place = if closing { &mut node.rest } else { &mut node.here };
        for method in methods {
            place.insert(method, Rule { route: pattern.into(), access: access.clone() })?;
        }
        Ok(())
    }

    pub(crate) fn requirement(&self, method: &str, raw_path: &str) -> Requirement<'_> {
        let refused = |reason| Requirement::Refused { reason, route: None, name: None };
        match CanonicalPath::parse(raw_path) {
            Err(_) => refused(RefusedRoute::PathNotCanonical),
            Ok(path) => match self.find(method, &mut segments(path.as_str())) {
                Some(rule) => rule.requirement(),
                None => refused(RefusedRoute::NoRule),
            },
        }
    }

    fn find<'p>(&self, method: &str, rest: &mut (impl Iterator<Item = &'p str> + Clone)) -> Option<&Rule> {
        let closing = || self.rest.find(method);
        let Some(segment) = rest.next() else {
            return self.here.find(method).or_else(closing);
        };
        let literal = self.literals.binary_search_by(|(known, _)| (**known).cmp(segment)).ok();
        literal
            .and_then(|at| self.literals.get(at))
            .and_then(|(_, child)| child.find(method, &mut rest.clone()))
            .or_else(|| self.any.as_ref().and_then(|child| child.find(method, &mut rest.clone())))
            .or_else(closing)
    }
}

/// A rule as an error names it.
pub(crate) fn rule_text(methods: &[String], pattern: &str) -> String {
    format!("{} {pattern}", methods.join("|"))
}

enum Part<'p> {
    Literal(&'p str),
    Any,
    Rest,
}

fn expand_methods(given: &[String]) -> Result<Vec<&str>, &'static str> {
    if given.is_empty() {
        return Err("names no method");
    }
    if given.iter().any(|method| method == OTHER_METHODS) {
        return if given.len() == 1 { Ok(vec![OTHER_METHODS]) } else { Err("names `*` beside other methods") };
    }
    let mut methods: Vec<&str> = Vec::new();
    for method in given {
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            return Err("names a method that is not in capital letters");
        }
        if !methods.contains(&method.as_str()) {
            methods.push(method);
        }
    }
    if methods.contains(&"GET") && !methods.contains(&"HEAD") {
        methods.push("HEAD");
    }
    Ok(methods)
}

/// Literals are unreserved characters only. A reserved one has two spellings (`:` and `%3A`) that applications read alike, so
/// a rule on one of them could be walked around with the other.
fn parse_pattern(pattern: &str) -> Result<Vec<Part<'_>>, &'static str> {
    if !pattern.starts_with('/') {
        return Err("has a path that does not begin with `/`");
    }
    let mut parts = Vec::new();
    for segment in segments(pattern) {
        if matches!(parts.last(), Some(Part::Rest)) {
            return Err("has something behind `**`");
        }
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        parts.push(match (segment, name) {
            ("", _) => return Err("has an empty segment or a closing `/`"),
            ("." | "..", _) => return Err("has a `.` or `..` segment"),
            ("**", _) => Part::Rest,
            (_, Some(name)) if is_name(name) => Part::Any,
            (literal, None) if literal.bytes().all(is_unreserved) => Part::Literal(literal),
            _ => return Err("has a segment that is neither letters, digits, `-._~`, nor `{name}`, nor a closing `**`"),
        });
    }
    if parts.len() > MAX_DEPTH { Err("has more than 64 segments") } else { Ok(parts) }
}

#[cfg(test)]
mod tests;

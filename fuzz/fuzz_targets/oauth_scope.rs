//! Scopes: nothing is dropped, nothing is added, and what is written is read again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use statuspulse_oauth::{
    Field, Form,
    scope_request::{LONGEST, parse, requested, text},
};
use statuspulse_policy::{Catalog, ScopeSet};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::builtin().expect("the built-in catalog"));

fn allowed() -> ScopeSet {
    CATALOG.parse_scopes(["monitoring:read", "alerts:write"]).expect("scopes of the catalog")
}

fuzz_target!(|bytes: &[u8]| {
    let form = Form::parse(&[b"scope=", bytes].concat());
    judge(form.all("scope").next());
    if let Ok(asked) = std::str::from_utf8(bytes) {
        judge(Some(Field::Text(asked)));
    }
});

fn judge(field: Option<Field<'_>>) {
    let Ok(read) = parse(field, &CATALOG) else {
        assert!(requested(field, &CATALOG, CATALOG.all(), CATALOG.all()).is_err());
        return;
    };
    let asked = field.and_then(Field::text).unwrap_or_default();
    assert!(asked.len() <= LONGEST);
    let names: Vec<&str> = asked.split([' ', ',']).filter(|name| !name.is_empty()).collect();
    let set = read.unwrap_or(ScopeSet::EMPTY);
    assert_eq!(read.is_none(), names.is_empty());
    assert!(CATALOG.names(set).iter().all(|name| names.contains(name)));
    assert!(names.iter().all(|name| CATALOG.scope(name).is_some_and(|bit| set.contains(bit))));

    let written = text(&CATALOG, set);
    assert!(parse(Some(Field::Text(&written)), &CATALOG) == Ok(read));
    match requested(field, &CATALOG, allowed(), ScopeSet::EMPTY) {
        Ok(given) => assert!(Some(given) == read && given.is_subset_of(allowed())),
        Err(_) => assert!(names.is_empty() || !set.is_subset_of(allowed())),
    }
}

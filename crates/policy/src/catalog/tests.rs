use proptest::prelude::*;

use super::*;

fn builtin() -> Catalog {
    Catalog::builtin().unwrap()
}

/// A small catalog with something put behind it.
fn small(more: &str) -> Result<Catalog, CatalogError> {
    let text = r#"
        retired = [9]
        [[resources]]
        name = "checks"
        description = "Checks"
        scopes = [
            { action = "read", bit = 0, read_only = true, description = "See" },
            { action = "write", bit = 5, description = "Change" },
        ]
    "#;
    Catalog::from_toml(&format!("{text}\n{more}"))
}

fn problem(more: &str) -> String {
    small(more).unwrap_err().to_string()
}

fn needs<'c>(catalog: &'c Catalog, method: &str, path: &str) -> Option<&'c str> {
    match catalog.requirement(method, path) {
        Requirement::Scope { name, .. } => Some(name),
        Requirement::Public { .. } | Requirement::Refused { .. } => None,
    }
}

fn refusal(catalog: &Catalog, method: &str, path: &str) -> Option<RefusedRoute> {
    match catalog.requirement(method, path) {
        Requirement::Refused { reason, .. } => Some(reason),
        Requirement::Scope { .. } | Requirement::Public { .. } => None,
    }
}

const NAMES: [&str; 17] = [
    "monitoring:read",
    "checks:read",
    "checks:write",
    "incidents:read",
    "incidents:write",
    "routes:read",
    "routes:write",
    "metrics:read",
    "metrics:export",
    "alerts:read",
    "alerts:write",
    "webhooks:read",
    "webhooks:write",
    "keys:read",
    "apps:read",
    "audit:read",
    "credentials:verify",
];

/// Bits are append-only: this list only ever grows at its end.
#[test]
fn the_bits_of_the_builtin_scopes_never_change() {
    let catalog = builtin();
    let found: Vec<_> = NAMES.iter().map(|name| catalog.scope(name).map(ScopeBit::index)).collect();
    assert_eq!(found, (0..17).map(Some).collect::<Vec<_>>());
}

#[test]
fn the_builtin_catalog_has_the_seventeen_scopes_and_no_other() {
    assert_eq!(builtin().names(ScopeSet::from_bits(u64::MAX)), NAMES);
}

#[test]
fn presets_are_expanded_to_their_scopes() {
    let catalog = builtin();
    let scopes: Vec<_> =
        catalog.presets().iter().map(|preset| (preset.name.as_str(), catalog.names(preset.scopes).join(" "))).collect();
    let read_only = "monitoring:read checks:read incidents:read routes:read metrics:read metrics:export alerts:read webhooks:read \
                     keys:read apps:read audit:read";
    assert_eq!(
        scopes,
        [
            ("pagerduty-sync", "incidents:write routes:read".to_owned()),
            ("datadog-metrics", "checks:read metrics:export".to_owned()),
            ("read-only", read_only.to_owned()),
        ]
    );
}

#[test]
fn a_preset_is_found_by_its_exact_name() {
    assert_eq!(
        ["read-only", "Read-only", "read-only "].map(|name| builtin().preset(name).is_some()),
        [true, false, false]
    );
}

#[test]
fn the_read_only_scopes_are_every_read_and_the_export() {
    let catalog = builtin();
    assert_eq!(Some(catalog.read_only()), catalog.preset("read-only").map(|preset| preset.scopes));
}

#[test]
fn the_management_scopes_are_those_about_this_service() {
    let catalog = builtin();
    assert_eq!(
        catalog.names(catalog.management()),
        ["alerts:read", "keys:read", "apps:read", "audit:read", "credentials:verify"]
    );
}

#[test]
fn the_analytics_mask_is_the_read_only_scopes() {
    let catalog = builtin();
    assert_eq!(
        Environment::ALL.map(|environment| catalog.mask(environment)),
        [catalog.all(), catalog.all(), catalog.read_only()]
    );
}

/// spec: policy P3
#[test]
fn an_unknown_scope_is_refused_with_its_name_and_place() {
    let names = ["checks:read", "checks:delete"];
    assert_eq!(builtin().parse_scopes(names), Err(ScopeError::Unknown { index: 1, name: "checks:delete".to_owned() }));
}

/// spec: policy P3
#[test]
fn names_are_compared_exactly() {
    let catalog = builtin();
    let names =
        [" incidents:write", "Incidents:write", "incidents:write ", "incidents:write checks:read", "incidents", ""];
    assert_eq!(names.map(|name| catalog.parse_scopes([name]).is_err()), [true; 6]);
}

/// spec: policy P4
#[test]
fn wildcards_are_unknown_scopes() {
    let catalog = builtin();
    assert_eq!(
        ["*", "incidents:*", "*:read"].map(|name| catalog.parse_scopes([name]).map_err(|error| error.code())),
        [Err("unknown_scope"); 3]
    );
}

/// spec: policy P5
#[test]
fn every_scope_of_today_lacks_what_a_later_catalog_adds() {
    let later = small(
        r#"[[resources]]
        name = "new"
        description = "New"
        scopes = [{ action = "read", bit = 63, description = "See" }]"#,
    )
    .unwrap();
    let today = small("").unwrap().all();
    assert_eq!(later.names(later.all().difference(today)), ["new:read"]);
}

/// spec: policy P6
#[test]
fn an_empty_list_of_scopes_is_refused() {
    assert_eq!(builtin().parse_scopes::<[&str; 0]>([]), Err(ScopeError::Empty));
}

/// spec: policy P7
#[test]
fn writing_is_outside_of_what_analytics_allows() {
    let catalog = builtin();
    let asked = catalog.parse_scopes(["checks:read", "incidents:write"]).unwrap();
    assert_eq!(catalog.names(asked.difference(catalog.mask(Environment::Analytics))), ["incidents:write"]);
}

/// spec: policy P8
#[test]
fn the_pagerduty_preset_is_not_within_what_analytics_allows() {
    let catalog = builtin();
    let preset = catalog.preset("pagerduty-sync").unwrap().scopes;
    assert!(!preset.is_subset_of(catalog.mask(Environment::Analytics)));
}

#[test]
fn repeated_names_collapse() {
    assert_eq!(builtin().parse_scopes(vec!["checks:read".to_owned(); 3]).map(ScopeSet::len), Ok(1));
}

/// spec: policy P13
#[test]
fn head_needs_what_get_needs() {
    assert_eq!(needs(&builtin(), "HEAD", "/api/v1/checks"), Some("checks:read"));
}

/// spec: policy P14
#[test]
fn harmless_spellings_of_a_path_need_the_same() {
    let catalog = builtin();
    let paths = ["/api/v1/checks/", "/api/v1/%63hecks", "/api/v1/checks?x=/../", "/api/v1/checks/7/results"];
    assert_eq!(paths.map(|path| needs(&catalog, "GET", path)), [Some("checks:read"); 4]);
}

/// spec: policy P15
#[test]
fn ambiguous_paths_are_refused_as_not_canonical() {
    let catalog = builtin();
    let paths = [
        "/api/v1//checks",
        "/api/v1/checks/../incidents",
        "/api/v1/checks/%2e%2e/incidents",
        "/api/v1/checks%2f..%2fincidents",
    ];
    assert_eq!(paths.map(|path| refusal(&catalog, "GET", path)), [Some(RefusedRoute::PathNotCanonical); 4]);
}

/// spec: policy P16
#[test]
fn exporting_metrics_needs_the_export_scope() {
    let catalog = builtin();
    assert_eq!(
        ["/api/v1/metrics/export", "/api/v1/metrics/export/", "/api/v1/metrics/exports", "/api/v1/metrics/export/x"]
            .map(|path| needs(&catalog, "GET", path)),
        [Some("metrics:export"), Some("metrics:export"), Some("metrics:read"), Some("metrics:read")]
    );
}

/// spec: policy P17
#[test]
fn a_path_under_no_rule_is_refused() {
    let catalog = builtin();
    let paths = ["/api/v2/checks", "/", "/API/v1/checks", "/api/v1", "/api/v1/unknown", "/v1/checks"];
    assert_eq!(paths.map(|path| refusal(&catalog, "GET", path)), [Some(RefusedRoute::NoRule); 6]);
}

#[test]
fn every_other_method_needs_write() {
    let catalog = builtin();
    let methods = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "PROPFIND", ""];
    assert_eq!(methods.map(|method| needs(&catalog, method, "/api/v1/incidents/7")), [Some("incidents:write"); 8]);
}

#[test]
fn a_rule_whose_scope_does_not_exist_refuses_everybody_and_names_it() {
    assert_eq!(
        builtin().requirement("POST", "/api/v1/metrics/export"),
        Requirement::Refused {
            reason: RefusedRoute::UnknownScope,
            route: Some("/api/v1/metrics/**"),
            name: Some("metrics:write")
        }
    );
}

#[test]
fn the_route_is_the_pattern_and_never_the_path() {
    assert_eq!(builtin().requirement("GET", "/api/v1/checks/4711").route(), Some("/api/v1/checks/**"));
}

#[test]
fn a_scope_is_required_outright() {
    let catalog = builtin();
    let required = catalog.requirement_for_scope("credentials:verify").with_route("/v1/verify");
    assert_eq!((required.required_scope(), required.route()), (Some("credentials:verify"), Some("/v1/verify")));
}

#[test]
fn a_scope_named_outright_has_no_route() {
    assert_eq!(builtin().requirement_for_scope("checks:read").route(), None);
}

#[test]
fn an_unknown_scope_named_outright_refuses_everybody_and_is_not_repeated() {
    assert_eq!(
        builtin().requirement_for_scope("checks:*\"\r\n"),
        Requirement::Refused { reason: RefusedRoute::UnknownScope, route: None, name: None }
    );
}

#[test]
fn a_public_rule_needs_no_scope() {
    let catalog = small("[[rules]]\nmethods = [\"GET\"]\npath = \"/status\"\npublic = true").unwrap();
    assert_eq!(catalog.requirement("GET", "/status"), Requirement::Public { route: "/status" });
}

/// spec: policy P2
#[test]
fn a_rule_without_a_scope_is_refused() {
    assert_eq!(
        problem("[[rules]]\nmethods = [\"GET\"]\npath = \"/x\""),
        "catalog: rule `GET /x` has no scope; name one or say `public = true`"
    );
}

#[test]
fn a_rule_with_a_scope_that_is_public_is_refused() {
    assert_eq!(
        problem("[[rules]]\nmethods = [\"GET\"]\npath = \"/x\"\nscope = \"checks:read\"\npublic = true"),
        "catalog: rule `GET /x` has a scope and is public; choose one"
    );
}

#[test]
fn a_rule_with_a_mistyped_scope_is_refused() {
    assert_eq!(
        problem("[[rules]]\nmethods = [\"GET\"]\npath = \"/x\"\nscope = \"checks:*\""),
        "catalog: rule `GET /x` names a scope that is not of the form `resource:action`"
    );
}

/// spec: policy P2
#[test]
fn two_equal_rules_are_refused() {
    let rule = "[[rules]]\nmethods = [\"GET\"]\npath = \"/x\"\nscope = \"checks:read\"\n";
    assert_eq!(
        problem(&format!("{rule}{rule}")),
        "catalog: rules `/x` and `/x` are equally specific for `GET`; keep one"
    );
}

fn resource_with(scope: &str) -> String {
    format!("[[resources]]\nname = \"new\"\ndescription = \"\"\nscopes = [{{ description = \"\", {scope} }}]")
}

/// spec: policy P2
#[test]
fn a_bit_given_twice_is_refused() {
    assert_eq!(
        problem(&resource_with("action = \"read\", bit = 5")),
        "catalog: bit 5 of scope `new:read` is already given to `checks:write`"
    );
}

/// spec: policy P2
#[test]
fn a_retired_bit_is_refused() {
    assert_eq!(
        problem(&resource_with("action = \"read\", bit = 9")),
        "catalog: bit 9 of scope `new:read` is retired; take one that was never used"
    );
}

#[test]
fn a_bit_over_sixty_three_is_refused() {
    assert_eq!(
        problem(&resource_with("action = \"read\", bit = 64")),
        "catalog: bit 64 of scope `new:read` is out of range; use 0 to 63"
    );
}

#[test]
fn files_of_another_shape_are_refused_in_one_line() {
    let more = [
        "x = ",
        "[[rules]]\nmethod = \"GET\"\npath = \"/x\"",
        "[[presets]]\nname = \"p\"\ntitle = \"P\"\nscopes = [\"checks:*\"]",
        "[[presets]]\nname = \"p\"\ntitle = \"P\"\nscopes = []",
        "[[presets]]\nname = \"P\"\ntitle = \"P\"\nscopes = [\"checks:read\"]",
        "[[resources]]\nname = \"checks\"\ndescription = \"\"\nscopes = []",
        "[[resources]]\nname = \"empty\"\ndescription = \"\"\nscopes = []",
        "[[resources]]\nname = \"a:b\"\ndescription = \"\"\nscopes = []",
        &resource_with("action = \"*\", bit = 7"),
        &resource_with("action = \"read\", bit = -1"),
        &resource_with("action = \"read\", bit = 7, readonly = true"),
    ];
    let texts = more.map(problem);
    assert!(texts.iter().all(|text| text.starts_with("catalog") && !text.contains('\n')), "{texts:#?}");
}

#[test]
fn a_syntax_error_says_its_line() {
    assert!(
        Catalog::from_toml("retired = []\n\nresources = 7\n").unwrap_err().to_string().starts_with("catalog, line 3: ")
    );
}

#[test]
fn a_catalog_without_scopes_is_refused() {
    assert_eq!(
        Catalog::from_toml("resources = []").unwrap_err().to_string(),
        "catalog: the file has no scope; name at least one"
    );
}

#[test]
fn audiences_are_absolute_uris_without_fragment() {
    let accepted = |audience: &str| {
        let text = Catalog::BUILTIN_TOML.replace("audiences = []", &format!("audiences = [\"{audience}\"]"));
        Catalog::from_toml(&text).is_ok()
    };
    assert_eq!(
        [
            "https://api.example.com/v1",
            "urn:example:api",
            "/api",
            "api.example.com",
            "https://x/#a",
            "https://",
            "https:x",
            "http:///x",
            ""
        ]
        .map(accepted),
        [true, true, false, false, false, false, false, false, false]
    );
}

#[test]
fn a_catalog_that_only_adds_may_follow() {
    let later = small(&resource_with("action = \"read\", bit = 7")).unwrap();
    assert_eq!(later.check_follows(&small("").unwrap()), Ok(()));
}

#[test]
fn a_catalog_that_gives_a_bit_to_another_scope_may_not_follow() {
    let text = Catalog::BUILTIN_TOML.replace("action = \"verify\"", "action = \"judge\"");
    assert_eq!(
        Catalog::from_toml(&text).unwrap().check_follows(&builtin()),
        Err(CatalogError::BitMoved { name: "credentials:verify".to_owned(), bit: 16 })
    );
}

#[test]
fn a_catalog_that_takes_a_retired_bit_may_not_follow() {
    let text = Catalog::BUILTIN_TOML.replace("retired = []", "retired = [17]");
    let later = Catalog::BUILTIN_TOML.replace("bit = 16", "bit = 17").replace("retired = []", "retired = [16]");
    assert_eq!(
        Catalog::from_toml(&later).unwrap().check_follows(&Catalog::from_toml(&text).unwrap()),
        Err(CatalogError::BitRetired { name: "credentials:verify".to_owned(), bit: 17 })
    );
}

proptest! {
    #[test]
    fn a_list_of_names_is_read_exactly_or_refused_at_its_first_stranger(
        names in proptest::collection::vec(prop_oneof![4 => prop::sample::select(&NAMES[..]), 1 => prop::sample::select(vec!["*", "", "checks", "x:y"])], 0..12),
    ) {
        let catalog = builtin();
        let stranger = names.iter().position(|name| !NAMES.contains(name));
        let expected = match stranger {
            _ if names.is_empty() => Err(ScopeError::Empty),
            Some(index) => Err(ScopeError::Unknown { index, name: names[index].to_owned() }),
            None => Ok(NAMES.into_iter().filter(|name| names.contains(name)).collect::<Vec<_>>()),
        };
        prop_assert_eq!(catalog.parse_scopes(&names).map(|set| catalog.names(set)), expected);
    }
}

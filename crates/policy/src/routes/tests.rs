use proptest::prelude::*;

use super::*;

fn routes(rules: &[(&[&str], &str)]) -> Result<Routes, CatalogError> {
    let mut routes = Routes::default();
    for (methods, pattern) in rules {
        let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
        routes.insert(&methods, pattern, &Access::Public)?;
    }
    Ok(routes)
}

fn found<'r>(routes: &'r Routes, method: &str, path: &str) -> Option<&'r str> {
    routes.requirement(method, path).route()
}

fn refused(methods: &[&str], pattern: &str) -> String {
    routes(&[(methods, pattern)]).unwrap_err().to_string()
}

#[test]
fn a_literal_wins_over_a_name_and_a_name_over_the_rest() {
    let routes = routes(&[(&["GET"], "/a/**"), (&["GET"], "/a/{id}"), (&["GET"], "/a/b")]).unwrap();
    assert_eq!(
        ["/a/b", "/a/c", "/a/b/c", "/a"].map(|path| found(&routes, "GET", path)),
        [Some("/a/b"), Some("/a/{id}"), Some("/a/**"), Some("/a/**")]
    );
}

#[test]
fn an_earlier_segment_decides_before_a_later_one() {
    let routes = routes(&[(&["GET"], "/{x}/b"), (&["GET"], "/a/**")]).unwrap();
    assert_eq!(["/a/b", "/c/b", "/c/d"].map(|path| found(&routes, "GET", path)), [Some("/a/**"), Some("/{x}/b"), None]);
}

#[test]
fn a_dead_end_goes_back_to_the_next_best_pattern() {
    let routes = routes(&[(&["GET"], "/a/b/c"), (&["GET"], "/{x}/b/d"), (&["GET"], "/a/{y}/e")]).unwrap();
    assert_eq!(
        ["/a/b/c", "/a/b/d", "/a/b/e", "/a/b"].map(|path| found(&routes, "GET", path)),
        [Some("/a/b/c"), Some("/{x}/b/d"), Some("/a/{y}/e"), None]
    );
}

#[test]
fn the_end_of_a_pattern_wins_over_an_empty_rest() {
    let routes = routes(&[(&["GET"], "/a/**"), (&["GET"], "/a")]).unwrap();
    assert_eq!(found(&routes, "GET", "/a"), Some("/a"));
}

#[test]
fn the_rest_takes_no_segment_or_many() {
    let routes = routes(&[(&["GET"], "/**")]).unwrap();
    assert_eq!(["/", "/a", "/a/b/c"].map(|path| found(&routes, "GET", path)), [Some("/**"); 3]);
}

#[test]
fn the_root_is_a_pattern() {
    let routes = routes(&[(&["GET"], "/")]).unwrap();
    assert_eq!(["/", "/a"].map(|path| found(&routes, "GET", path)), [Some("/"), None]);
}

#[test]
fn a_name_takes_exactly_one_segment() {
    let routes = routes(&[(&["GET"], "/a/{id}")]).unwrap();
    assert_eq!(["/a", "/a/1/2"].map(|path| found(&routes, "GET", path)), [None; 2]);
}

#[test]
fn get_covers_head_and_nothing_else() {
    let routes = routes(&[(&["GET"], "/a")]).unwrap();
    assert_eq!(["HEAD", "OPTIONS", "head"].map(|method| found(&routes, method, "/a")), [Some("/a"), None, None]);
}

#[test]
fn a_named_method_wins_over_other_methods_of_the_same_pattern() {
    let routes = routes(&[(&["*"], "/a/{other}"), (&["GET"], "/a/{get}")]).unwrap();
    assert_eq!(
        ["GET", "HEAD", "POST", "get", ""].map(|method| found(&routes, method, "/a/1")),
        [Some("/a/{get}"), Some("/a/{get}"), Some("/a/{other}"), Some("/a/{other}"), Some("/a/{other}")]
    );
}

#[test]
fn a_pattern_that_does_not_take_the_method_leaves_it_to_the_next() {
    let routes = routes(&[(&["GET"], "/a/b"), (&["*"], "/a/**")]).unwrap();
    assert_eq!(found(&routes, "POST", "/a/b"), Some("/a/**"));
}

/// spec: policy P2
#[test]
fn two_equally_specific_rules_for_one_method_are_refused() {
    assert_eq!(
        routes(&[(&["GET", "POST"], "/a/{x}"), (&["POST"], "/a/{y}")]).unwrap_err().to_string(),
        "catalog: rules `/a/{x}` and `/a/{y}` are equally specific for `POST`; keep one"
    );
}

#[test]
fn head_beside_get_of_another_rule_is_equally_specific() {
    assert!(routes(&[(&["GET"], "/a"), (&["HEAD"], "/a")]).is_err());
}

#[test]
fn other_methods_twice_are_equally_specific() {
    assert!(routes(&[(&["*"], "/a/**"), (&["*"], "/a/**")]).is_err());
}

#[test]
fn get_and_head_in_one_rule_are_one_rule() {
    assert!(routes(&[(&["GET", "HEAD", "GET"], "/a")]).is_ok());
}

#[test]
fn patterns_that_no_canonical_path_can_match_are_refused() {
    let patterns = [
        "", "a", "/a/", "/a//b", "/a/./b", "/..", "/a/**/b", "/a/{}", "/a/{X}", "/a/x{id}", "/a/*", "/a/b:c", "/a/%20",
        "/ä", "/a b", "/a?b",
    ];
    let texts = patterns.map(|pattern| refused(&["GET"], pattern));
    assert!(texts.iter().all(|text| text.starts_with("catalog: rule `GET ") && !text.contains('\n')), "{texts:?}");
}

#[test]
fn methods_that_no_request_line_has_are_refused() {
    let methods: [&[&str]; 4] = [&[], &["get"], &[""], &["GET", "*"]];
    let texts = methods.map(|methods| refused(methods, "/a"));
    assert!(texts.iter().all(|text| text.starts_with("catalog: rule `")), "{texts:?}");
}

#[test]
fn a_pattern_of_more_than_sixty_four_segments_is_refused() {
    assert_eq!([64, 65].map(|depth| routes(&[(&["GET"], &"/a".repeat(depth))]).is_ok()), [true, false]);
}

/// How specific a pattern is for a path, or that it does not match: the definition, without a tree.
fn specificity(pattern: &str, path: &[&str]) -> Option<Vec<u8>> {
    let parts: Vec<&str> = segments(pattern).collect();
    let mut ranks = vec![];
    for (at, part) in parts.iter().enumerate() {
        match (*part, path.get(at)) {
            ("**", _) => {
                ranks.push(2);
                return Some(ranks);
            }
            (_, None) => return None,
            (part, Some(_)) if part.starts_with('{') => ranks.push(1),
            (part, Some(segment)) if part == *segment => ranks.push(0),
            _ => return None,
        }
    }
    (parts.len() == path.len()).then_some(ranks)
}

proptest! {
    #[test]
    fn the_tree_finds_the_most_specific_pattern(
        patterns in proptest::collection::btree_set("(/(a|b|c|\\{x\\})){1,4}(/\\*\\*)?", 1..20),
        path in "(/[a-d]){1,5}",
    ) {
        let rules: Vec<(&[&str], &str)> = patterns.iter().map(|pattern| (&["GET"][..], pattern.as_str())).collect();
        let tree = routes(&rules).unwrap();
        let names: Vec<&str> = segments(&path).collect();
        let best = patterns
            .iter()
            .filter_map(|pattern| specificity(pattern, &names).map(|rank| (rank, pattern.as_str())))
            .min();
        prop_assert_eq!(found(&tree, "GET", &path), best.map(|(_, pattern)| pattern));
    }
}

use super::*;

const HOSTILE: &str = r#"'"><img src=x onerror=alert(1)>&amp;"#;
const ESCAPED: &str = "&#39;&#34;&#62;&#60;img src=x onerror=alert(1)&#62;&#38;amp;";
const HARMLESS: &str = "Harmless";
const ACME: OrganizationChoice<'_> = OrganizationChoice { slug: "acme", name: "Acme Logistics" };
const INITECH: OrganizationChoice<'_> = OrganizationChoice { slug: "initech", name: "Initech" };
const READ: ScopeLine<'_> = ScopeLine { name: "monitoring:read", description: "See checks", grantable: true };
const AUDIT: ScopeLine<'_> = ScopeLine { name: "audit:read", description: "Read the trail", grantable: false };

/// The form of sign-in with one value in all places.
fn login(value: &str) -> String {
    let app = Some(AppLine { name: value, publisher: value });
    LoginPage { base: "", app, handle: Some(value), page: Some(value), csrf: value, email: value, problem: Some(value) }
        .render()
        .unwrap()
}

/// The form of sign-in when nothing was sent and nothing failed.
fn plain_login() -> String {
    LoginPage { base: "", app: None, handle: None, page: None, csrf: "token", email: "", problem: None }
        .render()
        .unwrap()
}

/// The page of consent with these to choose from.
fn consent(organizations: &[OrganizationChoice<'_>], scopes: &[ScopeLine<'_>]) -> String {
    consent_of(HARMLESS, organizations, scopes)
}

fn consent_of(value: &str, organizations: &[OrganizationChoice<'_>], scopes: &[ScopeLine<'_>]) -> String {
    let page = ConsentPage {
        base: "",
        app_name: value,
        publisher: value,
        user_email: value,
        organizations,
        scopes,
        redirect_host: value,
        handle: value,
        csrf: value,
    };
    page.render().unwrap()
}

fn authorized(value: &str, grants: usize) -> String {
    let entry = || GrantEntry {
        id: value.to_owned(),
        app_name: value,
        publisher: value,
        organization: value,
        scopes: vec![GrantedScope { name: value, description: value }],
        since: value.to_owned(),
        last_use: Some(value.to_owned()),
    };
    let grants: Vec<_> = (0..grants).map(|_| entry()).collect();
    let page =
        AuthorizedAppsPage { base: "", email: value, grants: &grants, next_query: Some("cursor=x"), csrf: value };
    page.render().unwrap()
}

/// Every page in every form, with one value in all places.
fn all(value: &str) -> Vec<String> {
    let organization = || OrganizationChoice { slug: value, name: value };
    let scopes = [true, false].map(|grantable| ScopeLine { name: value, description: value, grantable });
    vec![
        plain_login(),
        login(value),
        consent_of(value, &[], &scopes),
        consent_of(value, &[organization()], &scopes),
        consent_of(value, &[organization(), organization()], &scopes),
        ErrorPage { base: "", title: value, detail: value, request_id: value }.render().unwrap(),
        SignedInPage { base: "", email: value, csrf: value }.render().unwrap(),
        authorized(value, 0),
        authorized(value, 2),
        docs(value),
    ]
}

/// The description of an API with one value in all places.
fn docs(value: &str) -> String {
    let field = || FieldLine { name: value.into(), kind: value.into(), required: true, description: value.into() };
    let endpoint = EndpointBlock {
        method: "GET",
        path: value.into(),
        summary: value.into(),
        who: value.into(),
        parameters: vec![field()],
        fields: vec![field()],
        answers: vec![AnswerLine { status: value.into(), description: value.into(), body: value.into() }],
    };
    let groups = [EndpointGroup { name: value.into(), endpoints: vec![endpoint] }];
    DocsPage { base: "", version: value, groups: &groups }.render().unwrap()
}

/// The element that begins with `start`, up to its `>`.
fn tag<'a>(page: &'a str, start: &str) -> &'a str {
    let from = page.find(start).map(|at| &page[at..]).unwrap_or_default();
    from.split_inclusive('>').next().unwrap_or_default()
}

/// The values of an attribute, in the order of the page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// spec: oauth D10
#[test]
fn a_hostile_value_changes_nothing_but_the_text_in_its_place() {
    let cleaned: Vec<_> = all(HOSTILE).iter().map(|page| page.replace(ESCAPED, HARMLESS)).collect();
    assert_eq!(cleaned, all(HARMLESS));
}

/// spec: oauth D10
#[test]
fn the_app_name_is_escaped_in_the_title_of_consent() {
    assert!(consent_of(HOSTILE, &[ACME], &[READ]).contains(&format!("<title>{ESCAPED} asks for access")));
}

/// spec: oauth D10
#[test]
fn the_app_name_is_escaped_in_the_title_of_sign_in() {
    assert!(login(HOSTILE).contains(&format!("<title>Sign in to continue to {ESCAPED}")));
}

#[test]
fn the_handle_is_escaped_in_the_form_of_sign_in() {
    assert!(login(HOSTILE).contains(&format!(r#"<input type="hidden" name="request" value="{ESCAPED}">"#)));
}

#[test]
fn the_handle_is_escaped_in_the_form_of_consent() {
    let page = consent_of(HOSTILE, &[ACME], &[READ]);
    assert!(page.contains(&format!(r#"<input type="hidden" name="request" value="{ESCAPED}">"#)));
}

#[test]
fn the_email_that_was_typed_is_escaped_in_its_field() {
    assert!(login(HOSTILE).contains(&format!(r#"type="email" value="{ESCAPED}""#)));
}

#[test]
fn the_problem_is_escaped() {
    assert!(login(HOSTILE).contains(&format!(r#"role="alert">{ESCAPED}</p>"#)));
}

#[test]
fn sign_in_has_the_inputs_of_the_contract() {
    assert_eq!(values(&login("x"), "name").split_off(3), ["csrf_token", "request", "page", "email", "password"]);
}

#[test]
fn sign_in_is_posted_to_the_own_server() {
    assert_eq!(tag(&plain_login(), "<form"), r#"<form method="post" action="/login">"#);
}

#[test]
fn sign_in_without_a_request_has_no_handle() {
    assert!(!plain_login().contains(r#"name="request""#));
}

#[test]
fn password_managers_are_told_which_field_is_which() {
    assert_eq!(values(&plain_login(), "autocomplete"), ["username", "current-password"]);
}

#[test]
fn the_fields_of_sign_in_point_to_the_problem() {
    assert_eq!(values(&login("x"), "aria-describedby"), ["problem", "problem"]);
}

#[test]
fn sign_in_without_a_problem_alerts_nobody() {
    assert!(!plain_login().contains("problem"));
}

#[test]
fn the_password_is_never_filled_in() {
    assert!(values(tag(&login("x"), r#"<input id="password""#), "value").is_empty());
}

#[test]
fn consent_is_posted_to_the_own_server() {
    let start = r#"<form method="post" action="/oauth/authorize""#;
    assert!(tag(&consent(&[ACME], &[READ]), "<form").starts_with(start));
}

#[test]
fn consent_carries_a_token_against_forgery() {
    assert!(consent(&[ACME], &[READ]).contains(r#"<input type="hidden" name="csrf_token" value="Harmless">"#));
}

/// Enter presses the first submit button.
#[test]
fn enter_denies() {
    let page = consent(&[ACME], &[READ]);
    let (before, after) = page.split_once(r#"name="decision" value="deny""#).unwrap();
    assert_eq!((before.matches("submit").count(), after.contains(r#"name="decision" value="allow""#)), (1, true));
}

#[test]
fn consent_has_two_buttons_and_no_more() {
    assert_eq!(consent(&[ACME], &[READ]).matches("<button").count(), 2);
}

#[test]
fn each_scope_has_a_checkbox() {
    assert_eq!(consent(&[ACME], &[READ, AUDIT]).matches(r#"name="scope""#).count(), 2);
}

#[test]
fn a_scope_that_may_be_given_is_ticked() {
    let page = consent(&[ACME], &[READ]);
    let expected = r#"<input type="checkbox" id="scope-1" name="scope" value="monitoring:read" checked>"#;
    assert_eq!(tag(&page, r#"<input type="checkbox""#), expected);
}

#[test]
fn a_scope_that_the_role_may_not_give_is_unticked_and_disabled() {
    let page = consent(&[ACME], &[AUDIT]);
    let expected = r#" value="audit:read" disabled aria-describedby="withheld-1">"#;
    assert!(tag(&page, r#"<input type="checkbox""#).ends_with(expected));
}

#[test]
fn a_scope_that_the_role_may_not_give_says_so() {
    let sentence = r#"id="withheld-2">Your role does not let you give this.</p>"#;
    assert!(consent(&[ACME], &[READ, AUDIT]).contains(sentence));
}

#[test]
fn allow_is_off_when_nothing_could_be_given() {
    assert!(tag(&consent(&[ACME], &[AUDIT]), r#"<button class="button strong""#).ends_with(" disabled>"));
}

#[test]
fn nothing_can_be_given_without_an_organization() {
    assert!(!consent(&[], &[READ]).contains(" checked"));
}

#[test]
fn one_organization_is_named_and_not_asked_for() {
    let expected =
        r#"<bdi>Acme Logistics</bdi> <code>acme</code><input type="hidden" name="organization" value="acme">"#;
    assert!(consent(&[ACME], &[READ]).contains(expected));
}

#[test]
fn several_organizations_are_to_be_chosen_from() {
    let page = consent(&[ACME, INITECH], &[READ]);
    let (_, select) = page.split_once(r#"name="organization""#).unwrap();
    assert_eq!(values(select.split("</select>").next().unwrap(), "value"), ["acme", "initech"]);
}

#[test]
fn the_organization_is_sent_once() {
    let sent = [&[ACME][..], &[ACME, INITECH]]
        .map(|organizations| consent(organizations, &[READ]).matches(r#"name="organization""#).count());
    assert_eq!(sent, [1, 1]);
}

/// spec: oauth D11
#[test]
fn consent_names_all_that_is_decided_on() {
    let page = ConsentPage {
        base: "",
        app_name: "Dispatcher",
        publisher: "Northwind",
        user_email: "ada@example.com",
        organizations: &[ACME],
        scopes: &[READ],
        redirect_host: "dispatcher.example",
        handle: "handle",
        csrf: "token",
    };
    let page = page.render().unwrap();
    let named = [
        "Dispatcher</bdi> asks for access",
        "Published by <bdi class=\"name\">Northwind",
        "ada@example.com",
        "Acme Logistics",
        "See checks <code class=\"line\">monitoring:read</code>",
        "sent to <strong class=\"name\">dispatcher.example</strong>",
        "revoke this access at any time",
        "/authorized-apps",
    ];
    let missing: Vec<_> = named.into_iter().filter(|text| !page.contains(text)).collect();
    assert_eq!(missing, <[&str; 0]>::default());
}

#[test]
fn each_access_has_a_form_of_its_own_that_ends_it() {
    let page = authorized(HARMLESS, 2);
    let form = concat!(
        r#"<form method="post" action="/authorized-apps">"#,
        "\n",
        r#"<input type="hidden" name="csrf_token" value="Harmless">"#,
        "\n",
        r#"<input type="hidden" name="grant" value="Harmless">"#,
    );
    assert_eq!([page.matches(form).count(), authorized(HARMLESS, 0).matches("<form").count()], [2, 0]);
}

#[test]
fn an_error_has_no_form() {
    assert!(!ErrorPage { base: "", title: "a", detail: "b", request_id: "c" }.render().unwrap().contains("<form"));
}

#[test]
fn an_error_names_the_request() {
    let page = ErrorPage { base: "", title: "a", detail: "b", request_id: "0199f3c2" }.render().unwrap();
    assert!(page.contains("0199f3c2"));
}

#[test]
fn somebody_signed_in_can_sign_out() {
    let page = SignedInPage { base: "", email: "ada@example.com", csrf: "token" }.render().unwrap();
    let form = concat!(
        r#"<form method="post" action="/logout">"#,
        "\n",
        r#"<input type="hidden" name="csrf_token" value="token">"#
    );
    assert!(page.contains(form));
}

/// spec: oauth D2
#[test]
fn no_page_has_a_script_a_style_of_its_own_or_an_address_of_others() {
    let forbidden =
        ["<script", "<style", "style=", "javascript:", "http:", "https:", "href=\"//", " onclick", "<meta http"];
    let found: Vec<_> =
        all(HARMLESS).iter().flat_map(|page| forbidden.into_iter().filter(|text| page.contains(text))).collect();
    assert_eq!(found, <[&str; 0]>::default());
}

#[test]
fn each_page_has_one_heading_of_the_first_level() {
    assert_eq!(all(HARMLESS).iter().map(|page| page.matches("<h1>").count()).collect::<Vec<_>>(), [1; 10]);
}

#[test]
fn each_label_and_description_has_its_element() {
    for page in all(HARMLESS) {
        let ids = values(&page, "id");
        let pointers = [values(&page, "for"), values(&page, "aria-describedby")].concat();
        assert!(pointers.iter().all(|pointer| ids.contains(pointer)), "{pointers:?} in {ids:?}");
    }
}

#[test]
fn each_id_is_unique() {
    for page in all(HARMLESS) {
        let mut ids = values(&page, "id");
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}

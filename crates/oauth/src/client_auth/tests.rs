use proptest::prelude::*;

use super::*;
use crate::{
    app::{AppSecret, AppStatus},
    fixtures::{app, app_secret, at, client_secret, digest_key, form, public_app},
};

const LOOP: &str = "http://127.0.0.1/cb";

fn header(id: &str, secret: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))).into_bytes()
}

fn read_with(line: &[u8], body: &str) -> Result<Claim, TokenError> {
    read(&[line], &form(body))
}

/// Id and secret of what was read, or the reason why nothing was.
fn seen(claim: Result<Claim, TokenError>) -> Result<(String, Option<String>), &'static str> {
    let claim = claim.map_err(|error| error.reason)?;
    Ok((claim.client_id.clone(), claim.secret.as_ref().map(|secret| secret.to_string())))
}

fn both(id: &str, secret: &str) -> Result<(String, Option<String>), &'static str> {
    Ok((id.to_owned(), Some(secret.to_owned())))
}

fn claim(secret: Option<&str>) -> Claim {
    let secret = secret.map(|secret| Zeroizing::new(secret.to_owned()));
    Claim { client_id: app().client_id.to_string(), secret, method: Method::Post }
}

/// The reason of a refusal, or `ok`.
fn judged(secret: Option<&str>, app: Option<&App>) -> &'static str {
    authenticate(&claim(secret), app, &[digest_key(1)], at(0)).map_or_else(|error| error.reason, |_| "ok")
}

fn right() -> String {
    client_secret(1).expose().to_owned()
}

#[test]
fn basic_gives_id_and_secret() {
    assert_eq!(seen(read_with(&header("a", "b"), "")), both("a", "b"));
}

#[test]
fn the_scheme_may_be_written_in_any_case() {
    let line = |scheme: &str| [scheme.as_bytes(), b" YTpi"].concat();
    let schemes = ["Basic", "basic", "BASIC", "bAsIc"].map(|scheme| seen(read_with(&line(scheme), "")));
    assert_eq!(schemes, [(); 4].map(|()| both("a", "b")));
}

#[test]
fn raw_and_percent_encoded_basic_agree() {
    let (id, secret) = (app().client_id.to_string(), right());
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let partly = |text: &str| text.replace('_', "%5F").replace('-', "%2d");
    let lines = [
        header(&id, &secret),
        header(&encoded(&id), &encoded(&secret)),
        header(&partly(&id), &partly(&secret)),
        header(&id, &encoded(&secret)),
    ];
    assert_eq!(lines.map(|line| seen(read_with(&line, ""))), [(); 4].map(|()| both(&id, &secret)));
}

#[test]
fn the_first_colon_ends_the_id() {
    assert_eq!(seen(read_with(&header("a", "b:c"), "")), both("a", "b:c"));
}

#[test]
fn an_encoded_colon_belongs_to_the_id() {
    assert_eq!(seen(read_with(&header("a%3Ab", "c"), "")), both("a:b", "c"));
}

#[test]
fn a_secret_is_not_trimmed() {
    assert_eq!(seen(read_with(&header("a", "+b%20"), "")), both("a", " b "));
}

#[test]
fn a_malformed_header_is_a_client_that_failed() {
    let lines: [&[u8]; 17] = [
        b"",
        b"Basic",
        b"Basic ",
        b"Basic\tYTpi",
        b"BasicYTpi",
        b" Basic YTpi",
        b"Basic YTpi YTpi",
        b"Basic YTpi,",
        b"Basic YTp",
        b"Basic YQ",
        b"Basic YWI=",
        b"Basic _-__",
        b"Basic \xff",
        b"Basic YTolAA==",
        b"Basic YTolMDA=",
        b"Basic YTr/",
        b"Bearer YTpi",
    ];
    assert!(lines.iter().all(|line| seen(read_with(line, "client_id=a")) == Err("authorization_malformed")));
}

#[test]
fn two_header_lines_are_two_ways() {
    let line = header("a", "b");
    assert_eq!(seen(read(&[&line, &line], &form(""))), Err("authorization_repeated"));
}

#[test]
fn the_body_gives_id_and_secret() {
    assert_eq!(seen(read(&[], &form("client_id=a&client_secret=b"))), both("a", "b"));
}

#[test]
fn the_id_alone_is_a_public_app() {
    assert_eq!(seen(read(&[], &form("client_id=a&client_secret="))), Ok(("a".to_owned(), None)));
}

#[test]
fn each_way_is_told() {
    let method = |lines: &[&[u8]], body: &str| read(lines, &form(body)).map(|claim| claim.method()).unwrap();
    let line = header("a", "b");
    assert_eq!(
        [method(&[&line], ""), method(&[], "client_id=a&client_secret=b"), method(&[], "client_id=a")],
        [Method::Basic, Method::Post, Method::None]
    );
}

#[test]
fn nobody_at_all_is_a_client_that_failed() {
    let bodies = ["", "client_id=", "client_secret=b", "client_id=&client_secret=b"];
    assert_eq!(bodies.map(|body| seen(read(&[], &form(body)))), [const { Err("client_missing") }; 4]);
}

#[test]
fn basic_and_a_secret_in_the_body_are_two_ways() {
    let bodies = ["client_secret=b", "client_id=a&client_secret=b", "client_secret=%zz"];
    let judged = bodies.map(|body| seen(read_with(&header("a", "b"), body)));
    assert_eq!(judged, [const { Err("client_authenticated_twice") }; 3]);
}

#[test]
fn basic_and_another_id_in_the_body_is_refused() {
    let bodies = ["client_id=b", "client_id=A", "client_id=a+", "client_id=%zz"];
    let judged = bodies.map(|body| seen(read_with(&header("a", "b"), body)));
    assert_eq!(judged, [const { Err("client_id_differs") }; 4]);
}

#[test]
fn basic_and_the_same_id_in_the_body_is_fine() {
    let bodies = ["client_id=a", "client_id=%61", "client_id=", "client_id=a&client_secret="];
    assert_eq!(bodies.map(|body| seen(read_with(&header("a", "b"), body))), [(); 4].map(|()| both("a", "b")));
}

#[test]
fn a_repeated_id_or_secret_is_refused() {
    let bodies = ["client_id=a&client_id=a", "client_id=a&client_secret=b&client_secret=b", "client_id=&client_id=a"];
    assert_eq!(bodies.map(|body| seen(read(&[], &form(body)))), [const { Err("parameter_repeated") }; 3]);
}

#[test]
fn an_assertion_is_refused() {
    let bodies = ["client_id=a&client_assertion=x", "client_id=a&client_secret=b&client_assertion_type=x"];
    assert_eq!(bodies.map(|body| seen(read(&[], &form(body)))), [const { Err("assertion_unsupported") }; 2]);
}

#[test]
fn two_ways_or_ids_are_a_bad_request_and_the_rest_a_failed_client() {
    let code = |lines: &[&[u8]], body: &str| read(lines, &form(body)).map(|_| ()).unwrap_err().code.as_str();
    let line = header("a", "b");
    let codes = [
        code(&[&line], "client_secret=b"),
        code(&[&line], "client_id=b"),
        code(&[&line, &line], ""),
        code(&[], ""),
        code(&[b"Bearer x"], ""),
        code(&[], "client_id=a&client_assertion=x"),
    ];
    let (request, client) = ("invalid_request", "invalid_client");
    assert_eq!(codes, [request, request, request, client, client, client]);
}

#[test]
fn an_id_of_another_form_is_nobodys() {
    let claim = read(&[], &form("client_id=nope")).unwrap();
    assert_eq!((claim.client_id(), claim.parsed_client_id()), ("nope", None));
}

#[test]
fn a_request_that_is_refused_still_names_an_app() {
    let (line, other) = (header("a", "b"), header("c", "d"));
    let named = [
        named(&[&line], &form("client_id=b&client_secret=c")),
        named(&[b"Bearer x", &line, &other], &form("")),
        named(&[b"Basic \xff"], &form("client_id=%00&client_id=b&client_id=c")),
        named(&[], &form("client_id=%zz")),
    ];
    assert_eq!(named, [Some("a"), Some("a"), Some("b"), None].map(|id| id.map(str::to_owned)));
}

#[test]
fn debug_shows_neither_id_nor_secret() {
    assert_eq!(format!("{:?}", claim(Some("hush"))), "Claim(Post)");
}

#[test]
fn the_right_secret_is_named() {
    let app = App { secrets: vec![app_secret(2, 1), app_secret(1, 1)], ..app() };
    let authenticated = authenticate(&claim(Some(&right())), Some(&app), &[digest_key(1)], at(0));
    assert_eq!(authenticated, Ok(Authenticated { secret: Some(app_secret(1, 1).id) }));
}

#[test]
fn secrets_are_compared_exactly() {
    let right = right();
    let near = [format!("{right} "), format!(" {right}"), right.to_uppercase(), right[..54].to_owned(), String::new()];
    assert_eq!(near.map(|secret| judged(Some(&secret), Some(&app()))), ["secret_unknown"; 5]);
}

#[test]
fn a_confidential_app_without_a_secret_is_refused() {
    assert_eq!(judged(None, Some(&app())), "secret_missing");
}

#[test]
fn a_confidential_app_with_no_secrets_left_is_refused() {
    let app = App { secrets: Vec::new(), ..app() };
    assert_eq!(judged(Some(&right()), Some(&app)), "secret_unknown");
}

#[test]
fn a_public_app_is_itself_with_its_id_alone_or_an_empty_secret() {
    let app = public_app(LOOP);
    assert_eq!([None, Some("")].map(|secret| judged(secret, Some(&app))), ["ok"; 2]);
}

#[test]
fn a_public_app_with_a_secret_is_refused() {
    assert_eq!(judged(Some("x"), Some(&public_app(LOOP))), "secret_unexpected");
}

#[test]
fn a_public_app_with_a_secret_that_does_not_decode_is_refused() {
    let app = public_app(LOOP);
    let body = format!("client_id={}&client_secret=%zz", app.client_id);
    let claim = read(&[], &form(&body)).unwrap();
    let judged = authenticate(&claim, Some(&app), &[digest_key(1)], at(0));
    assert_eq!(judged, Err(invalid_client("secret_unexpected")));
}

#[test]
fn the_digest_of_nothing_is_no_secret_of_an_app_without_one_in_the_request() {
    let secret = AppSecret { digest: digest_key(1).secret(""), ..app_secret(1, 1) };
    assert_eq!(judged(None, Some(&App { secrets: vec![secret], ..app() })), "secret_missing");
}

#[test]
fn a_secret_ends_at_its_end_and_not_before() {
    let app = |end: i64| App { secrets: vec![AppSecret { expires_at: Some(at(end)), ..app_secret(1, 1) }], ..app() };
    assert_eq!([1, 0].map(|end| judged(Some(&right()), Some(&app(end)))), ["ok", "secret_ended"]);
}

#[test]
fn a_revoked_secret_has_ended() {
    let secret = AppSecret { revoked_at: Some(at(0)), expires_at: Some(at(9)), ..app_secret(1, 1) };
    assert_eq!(judged(Some(&right()), Some(&App { secrets: vec![secret], ..app() })), "secret_ended");
}

#[test]
fn suspended_and_deleted_apps_are_refused() {
    let suspended = App { status: AppStatus::Suspended, ..app() };
    let deleted = App { deleted_at: Some(at(-1)), ..app() };
    let judged = [suspended, deleted].map(|app| judged(Some(&right()), Some(&app)));
    assert_eq!(judged, ["app_suspended", "client_unknown"]);
}

#[test]
fn the_owner_reads_of_a_suspended_app_whether_the_secret_was_wrong() {
    let suspended = App { status: AppStatus::Suspended, ..app() };
    assert_eq!(judged(Some("wrong"), Some(&suspended)), "secret_unknown");
}

#[test]
fn an_unknown_app_looks_like_a_wrong_secret() {
    let ended = AppSecret { expires_at: Some(at(0)), ..app_secret(1, 1) };
    let refused = |secret: &str, app: Option<&App>| {
        let error = authenticate(&claim(Some(secret)), app, &[digest_key(1)], at(0)).unwrap_err();
        (error.code.as_str(), error.code.http_status(), error.code.description())
    };
    let answers = [
        refused("wrong", Some(&app())),
        refused("wrong", None),
        refused(&right(), None),
        refused(&right(), Some(&App { secrets: vec![ended], ..app() })),
        refused(&right(), Some(&App { status: AppStatus::Suspended, ..app() })),
        refused("x", Some(&public_app(LOOP))),
    ];
    assert_eq!(answers, [("invalid_client", 401, "client authentication failed"); 6]);
}

#[test]
fn secrets_of_every_master_key_in_force_are_known() {
    let keys = [digest_key(2), digest_key(1)];
    let app = App { secrets: vec![app_secret(2, 2), app_secret(1, 1)], ..app() };
    let judged = [1, 2].map(|number| {
        let secret = client_secret(number);
        authenticate(&claim(Some(secret.expose())), Some(&app), &keys, at(0)).map(|proven| proven.secret)
    });
    assert_eq!(judged, [1, 2].map(|number| Ok(Some(app_secret(number, 1).id))));
}

#[test]
fn a_secret_of_a_master_key_that_is_gone_is_unknown() {
    let app = App { secrets: vec![app_secret(1, 3)], ..app() };
    assert_eq!(judged(Some(&right()), Some(&app)), "secret_unknown");
}

#[test]
fn a_digest_counts_only_under_the_master_key_that_made_it() {
    let mislabelled = AppSecret { key_version: 2, ..app_secret(1, 1) };
    let app = App { secrets: vec![mislabelled], ..app() };
    let keys = [digest_key(1), digest_key(2)];
    let judged = authenticate(&claim(Some(&right())), Some(&app), &keys, at(0));
    assert_eq!(judged, Err(invalid_client("secret_unknown")));
}

#[test]
fn without_any_master_key_nobody_has_a_secret() {
    let judged = authenticate(&claim(Some(&right())), Some(&app()), &[], at(0));
    assert_eq!(judged, Err(invalid_client("secret_unknown")));
}

proptest! {
    #[test]
    fn what_basic_encodes_as_a_form_reads_back(id in "[^\0]{1,16}", secret in "[^\0]{0,16}") {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        prop_assert_eq!(seen(read_with(&header(&encode(&id), &encode(&secret)), "")), both(&id, &secret));
    }

    #[test]
    fn any_header_is_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..64)) {
        let sound = match seen(read_with(&line, "")) {
            Ok((id, secret)) => !id.contains('\0') && secret.is_some(),
            Err(reason) => reason == "authorization_malformed",
        };
        prop_assert!(sound);
    }

    #[test]
    fn another_secret_than_the_right_one_never_proves_anything(number in 2_u64.., known in any::<bool>()) {
        let app = app();
        prop_assert!(judged(Some(client_secret(number).expose()), known.then_some(&app)) != "ok");
    }
}

use super::*;
use crate::fixtures::{AUDIENCE, ISSUER, at};

fn claims() -> Claims {
    Claims {
        iss: ISSUER.to_owned(),
        sub: "u".to_owned(),
        aud: Audience::One(ISSUER.to_owned()),
        exp: at(7_200).timestamp(),
        iat: at(0).timestamp(),
        jti: "j".to_owned(),
        client_id: "c".to_owned(),
        scope: "monitoring:read".to_owned(),
    }
}

#[test]
fn a_token_holds_to_before_its_end() {
    assert_eq!([0, 7_199, 7_200, 7_201].map(|now| claims().hold(ISSUER, at(now))), [true, true, false, false]);
}

#[test]
fn the_end_has_no_leeway_within_its_second() {
    let just_before = at(7_200) - chrono::Duration::milliseconds(1);
    assert!(claims().hold(ISSUER, just_before));
}

#[test]
fn a_token_of_an_instance_whose_clock_is_ahead_holds() {
    assert!(claims().hold(ISSUER, at(-2)));
}

#[test]
fn another_issuer_is_refused() {
    let issuers = ["https://auth.example/", "https://AUTH.example", "", "https://auth.example.evil.example"];
    assert!(!issuers.iter().any(|issuer| claims().hold(issuer, at(0))));
}

#[test]
fn one_audience_is_a_string_and_several_are_a_list() {
    let written = |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
        serde_json::to_string(&Audience::new(&list)).unwrap()
    };
    let both = format!("[\"{ISSUER}\",\"{AUDIENCE}\"]");
    assert_eq!([written(&[ISSUER]), written(&[ISSUER, AUDIENCE])], [format!("\"{ISSUER}\""), both]);
}

#[test]
fn the_claims_are_those_of_rfc_9068() {
    let written = serde_json::to_value(claims()).unwrap();
    let names: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub"]);
}

#[test]
fn claims_are_read_back() {
    let written = serde_json::to_string(&claims()).unwrap();
    assert_eq!(serde_json::from_str::<Claims>(&written).unwrap(), claims());
}

#[test]
fn claims_without_an_end_or_with_one_that_is_no_number_are_none() {
    let with =
        |exp: &str| serde_json::to_string(&claims()).unwrap().replace(&format!("\"exp\":{},", claims().exp), exp);
    let texts = ["", "\"exp\":\"1\",", "\"exp\":null,", "\"exp\":1e99,", "\"exp\":1.5,"];
    assert!(texts.iter().all(|text| serde_json::from_str::<Claims>(&with(text)).is_err()));
}

#[test]
fn a_signed_token_has_three_parts_of_base64url() {
    assert!(has_outline("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln_-"));
}

#[test]
fn anything_else_has_not_the_outline() {
    let texts = [
        "",
        "eyJ",
        "eyJ.a",
        "eyJ.a.",
        "eyJ..b",
        "eyJ.a.b.c",
        "eyJ.a.b.",
        ".eyJ.a.b",
        "eyJ.a.b=",
        "eyJ.a b.c",
        "abc.a.b",
    ];
    assert_eq!(texts.into_iter().find(|text| has_outline(text)), None);
}

#[test]
fn an_opaque_token_has_not_the_outline() {
    let token = crate::OpaqueToken::from_entropy(crate::TokenKind::Access, &crate::fixtures::entropy(1));
    assert!(!has_outline(token.expose()));
}

use super::*;

const ID: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
const AT: i64 = 1_767_225_600;
const BODY: &str = r#"{"type":"webhook.test"}"#;

fn secret(byte: u8) -> SigningSecret {
    SigningSecret::from_entropy([byte; SECRET_BYTES])
}

fn signatures(secrets: &[SigningSecret]) -> String {
    let [_, _, (_, value)] = signature_headers(ID, AT, BODY, secrets);
    value
}

#[test]
fn headers_are_those_of_standard_webhooks() {
    let headers = signature_headers(ID, AT, BODY, &[secret(7)]);
    assert_eq!(
        headers,
        [
            ("webhook-id", "0198c0de-0000-7000-8000-000000000001".to_owned()),
            ("webhook-timestamp", "1767225600".to_owned()),
            // HMAC-SHA-256 of `id.timestamp.body`, computed with another implementation.
            ("webhook-signature", "v1,yBzTHP014LF7uCESwy9U+n93zKNDIge+yQGULdfGvBA=".to_owned()),
        ]
    );
}

#[test]
fn two_secrets_sign_side_by_side_newest_first() {
    let (new, old) = (signatures(&[secret(2)]), signatures(&[secret(1)]));
    assert_eq!(signatures(&[secret(2), secret(1)]), format!("{new} {old}"));
}

#[test]
fn body_id_and_time_are_all_signed() {
    let signed = |id, at, body| signature_headers(id, at, body, &[secret(1)])[2].1.clone();
    let all = [signed(ID, AT, BODY), signed(Uuid::nil(), AT, BODY), signed(ID, AT + 1, BODY), signed(ID, AT, "{}")];
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
}

#[test]
fn a_secret_is_read_back_from_its_text() {
    let text = secret(9).expose();
    assert_eq!(*SigningSecret::parse(&text).unwrap().expose(), *text);
}

#[test]
fn a_secret_s_text_is_whsec_and_base64_of_32_bytes() {
    assert_eq!(*secret(0).expose(), "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

#[test]
fn other_texts_are_no_secret() {
    let texts = [
        "",
        "whsec_",
        "whsec_AAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    assert!(texts.iter().all(|text| SigningSecret::parse(text).is_err()));
}

#[test]
fn a_secret_does_not_show_in_debug_output() {
    assert_eq!(format!("{:?}", secret(9)), "whsec_…");
}

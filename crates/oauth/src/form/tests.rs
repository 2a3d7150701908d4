use proptest::prelude::*;
use url::form_urlencoded::byte_serialize;

use super::*;

fn decoded(text: &str) -> Option<String> {
    decode(text.as_bytes()).map(|text| text.to_string())
}

fn one(text: &str) -> Result<Option<String>, Repeated> {
    let form = Form::parse(text.as_bytes());
    let value = form.one("a")?;
    Ok(value.map(|field| field.text().unwrap_or("BROKEN").to_owned()))
}

#[test]
fn a_plus_is_a_blank_and_an_escaped_plus_is_a_plus() {
    assert_eq!(decoded("a+b%2Bc%20d").as_deref(), Some("a b+c d"));
}

#[test]
fn escapes_are_decoded_once() {
    assert_eq!(decoded("%2541%252B").as_deref(), Some("%41%2B"));
}

#[test]
fn broken_escapes_are_no_text() {
    let texts = ["%", "a%", "%4", "%zz", "%4g", "%g4", "%%41", "%41%", "%+1", "% 41", "%\u{ff14}1", "%-1"];
    assert_eq!(texts.map(decoded), [const { None }; 12]);
}

#[test]
fn bytes_that_are_not_utf_8_are_no_text() {
    let texts: [&[u8]; 7] = [b"%ff", b"%c3%28", b"%c0%80", b"%ed%a0%80", b"\xff", b"a\xc3", b"%f4%90%80%80"];
    assert!(texts.iter().all(|text| decode(text).is_none()));
}

#[test]
fn the_null_character_is_no_text() {
    let texts: [&[u8]; 3] = [b"%00", b"a%00b", b"a\0b"];
    assert!(texts.iter().all(|text| decode(text).is_none()));
}

#[test]
fn a_value_keeps_its_equals_signs() {
    assert_eq!(one("a=b=c=").unwrap().as_deref(), Some("b=c="));
}

#[test]
fn a_semicolon_separates_nothing() {
    assert_eq!(one("a=1;a=2").unwrap().as_deref(), Some("1;a=2"));
}

#[test]
fn empty_pairs_are_passed_over() {
    assert_eq!(one("&&a=1&&").unwrap().as_deref(), Some("1"));
}

#[test]
fn a_name_is_decoded_too() {
    assert_eq!(one("%61=1"), Ok(Some("1".to_owned())));
}

#[test]
fn a_name_in_two_spellings_is_the_same_name_twice() {
    assert_eq!(one("a=1&%61=2"), Err(Repeated));
}

#[test]
fn a_name_in_another_case_or_with_brackets_is_another_name() {
    assert_eq!(one("A=1&a[]=2&a%5Bb%5D=3&a+=4&+a=5"), Ok(None));
}

#[test]
fn a_name_that_does_not_decode_is_that_of_no_parameter() {
    assert_eq!(one("a%00=1&a%=2&%ffa=3&a=4"), Ok(Some("4".to_owned())));
}

#[test]
fn an_empty_parameter_counts_as_left_out() {
    assert_eq!(["a=", "a", "b=1", ""].map(one), [const { Ok(None) }; 4]);
}

#[test]
fn an_empty_parameter_counts_as_a_repetition() {
    assert_eq!(["a=&a=1", "a&a", "a=1&a", "a=1&a=1"].map(one), [const { Err(Repeated) }; 4]);
}

#[test]
fn a_value_that_does_not_decode_counts_as_a_repetition() {
    assert_eq!(one("a=%zz&a=1"), Err(Repeated));
}

#[test]
fn a_value_that_does_not_decode_is_there_and_is_no_text() {
    assert_eq!(one("a=%zz").unwrap().as_deref(), Some("BROKEN"));
}

#[test]
fn all_values_come_in_their_order() {
    let form = Form::parse(b"a=1&b=2&a=%zz&a=&a=3");
    let values: Vec<Option<&str>> = form.all("a").map(Field::text).collect();
    assert_eq!(values, [Some("1"), None, Some(""), Some("3")]);
}

#[test]
fn the_first_repeated_one_of_some_names_is_found() {
    let form = Form::parse(b"a=1&b=2&b=3&c=4&c=5");
    assert_eq!(form.repeated(&["a", "c", "b"]), Some("c"));
}

#[test]
fn a_repeated_name_that_nobody_knows_is_ignored() {
    assert_eq!(Form::parse(b"foo=1&foo=2&a=3").repeated(&["a"]), None);
}

#[test]
fn debug_shows_no_name_and_no_value() {
    assert_eq!(format!("{:?}", Form::parse(b"client_secret=hush&a=1")), "Form(2 parameters)");
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', ""))
}

proptest! {
    #[test]
    fn what_is_encoded_reads_back(name in text(), value in text()) {
        prop_assume!(!name.is_empty() && !value.is_empty());
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let form = Form::parse([encode(&name), encode(&value)].join("=").as_bytes());
        prop_assert_eq!(form.one(&name).unwrap().and_then(Field::text), Some(value.as_str()));
    }

    #[test]
    fn what_is_encoded_byte_by_byte_reads_back(value in text(), upper in any::<bool>()) {
        let escape = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
        let encoded: String = value.bytes().map(escape).collect();
        prop_assert_eq!(decoded(&encoded), Some(value));
    }

    #[test]
    fn any_bytes_give_text_without_the_null_character_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(decode(&bytes).is_none_or(|text| !text.contains('\0')));
    }

    #[test]
    fn one_and_all_agree_on_any_bytes(bytes in "[ab%0=&+]{0,24}") {
        let form = Form::parse(bytes.as_bytes());
        let values: Vec<Field<'_>> = form.all("a").collect();
        let expected = match values.as_slice() {
            [] => Ok(None),
            [one] if one.text() == Some("") => Ok(None),
            [one] => Ok(Some(one.text())),
            _ => Err(Repeated),
        };
        prop_assert_eq!(form.one("a").map(|field| field.map(Field::text)), expected);
    }
}

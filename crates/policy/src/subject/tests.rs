use super::*;

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap()
}

#[test]
fn an_id_is_read_back_from_its_text() {
    let id = KeyId::from_uuid(uuid_v7(at(1_700_000_000_000), [7; 10]));
    assert_eq!(id.to_string().parse(), Ok(id));
}

#[test]
fn text_that_is_no_uuid_is_no_id() {
    assert_eq!("key".parse::<KeyId>(), Err(IdError("key".to_owned())));
}

#[test]
fn an_id_is_read_in_any_case_of_hex() {
    let text = "01900000-ABCD-7000-8000-00000000000f";
    assert_eq!(text.parse::<KeyId>().map(|id| id.to_string()), Ok(text.to_lowercase()));
}

#[test]
fn a_uuid_in_another_form_is_no_id() {
    let forms = [
        "019000000000700080000000000000ab",
        "{01900000-0000-7000-8000-0000000000ab}",
        "urn:uuid:01900000-0000-7000-8000-0000000000ab",
        " 01900000-0000-7000-8000-0000000000ab",
        "{019000000000700080000000000000ab}  ",
        "0190000000007000-8000-0000000000-ab-",
    ];
    assert!(forms.into_iter().all(|form| form.parse::<KeyId>().is_err()));
}

#[test]
fn debug_of_an_id_says_of_what_it_is() {
    assert_eq!(format!("{:?}", KeyId::from_uuid(Uuid::nil())), "KeyId(00000000-0000-0000-0000-000000000000)");
}

#[test]
fn ids_made_later_sort_later() {
    assert!(uuid_v7(at(1_700_000_000_000), [255; 10]) < uuid_v7(at(1_700_000_000_001), [0; 10]));
}

#[test]
fn a_uuid_has_version_seven_whatever_the_random_bytes() {
    assert_eq!(uuid_v7(at(1), [255; 10]).get_version_num(), 7);
}

#[test]
fn an_instant_before_1970_counts_as_1970() {
    assert_eq!(uuid_v7(at(-1), [3; 10]), uuid_v7(at(0), [3; 10]));
}

#[test]
fn every_role_is_read_back_from_its_name() {
    assert_eq!(Role::ALL.map(|role| role.as_str().parse()), Role::ALL.map(Ok));
}

#[test]
fn a_role_is_read_exactly() {
    assert_eq!("Owner".parse::<Role>(), Err(UnknownRole("Owner".to_owned())));
}

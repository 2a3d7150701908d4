use super::*;

#[test]
fn spans_have_a_number_and_a_unit() {
    let read = ["500ms", "60s", "5m", "24h", "90d", "60", "s", "-1s", "1.5s", ""].map(parse_duration);
    let seconds = |n| Some(Duration::from_secs(n));
    let expected = [Some(Duration::from_millis(500)), seconds(60), seconds(300), seconds(86_400), seconds(7_776_000)];
    assert_eq!((&read[..5], &read[5..]), (&expected[..], &[None; 5][..]));
}

#[test]
fn a_bad_secret_is_named_but_not_shown() {
    let raw = Raw { master_key: Some("hunter2-hunter2".into()), ..Raw::default() };
    let error = raw.read().unwrap_err().to_string();
    assert!(error.starts_with("STATUSPULSE_MASTER_KEY: ") && !error.contains("hunter2"));
}

#[test]
fn a_bad_value_is_named_and_shown() {
    let raw = Raw { max_staleness: Some("11m".into()), ..Raw::default() };
    assert_eq!(raw.read().unwrap_err().to_string(), "STATUSPULSE_MAX_STALENESS is `11m`: `1s` to `10m`");
}

#[test]
fn a_password_in_a_bad_database_url_is_not_shown() {
    let raw = Raw { database_url: Some("postgresql://u:hunter2@:::/x".into()), ..Raw::default() };
    assert!(!raw.read().unwrap_err().to_string().contains("hunter2"));
}

use std::collections::HashSet;

use crate::support::{Admin, run, text};

const CREATE: &str = "key create --org acme --environment production --scope monitoring:read --name ci";

/// Whether a text holds more of a token than its hint.
fn holds_part_of(token: &str, text: &str) -> bool {
    let secret: Vec<char> = token.trim_start_matches("sp_live_").chars().collect();
    let parts: HashSet<String> = secret.windows(8).map(|part| part.iter().collect()).collect();
    parts.iter().any(|part| text.contains(part))
}

fn traced(admin: &Admin, arguments: &str) -> crate::support::Ran {
    let mut command = admin.command(arguments);
    command.env("STATUSPULSE_LOG", "trace");
    run(command, "")
}

/// spec: keys K55
#[tokio::test]
async fn a_new_token_is_on_standard_output_and_in_no_log() {
    let admin = Admin::with_org().await;
    let ran = traced(&admin, &format!("--json {CREATE}"));
    let token = text(&ran.json()["token"]);
    assert_eq!((token.len(), ran.stderr.is_empty(), holds_part_of(&token, &ran.stderr)), (72, false, false));
}

/// spec: keys K55
#[tokio::test]
async fn a_new_token_for_people_is_on_standard_output_and_in_no_log() {
    let admin = Admin::with_org().await;
    let ran = traced(&admin, CREATE);
    let token = ran.stdout.lines().find_map(|line| line.strip_prefix("token  ")).unwrap();
    assert_eq!((token.len(), holds_part_of(token, &ran.stderr)), (72, false));
}

/// spec: keys K55
#[tokio::test]
async fn a_rotated_token_is_on_standard_output_and_in_no_log() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("ci");
    admin.execute("UPDATE key_versions SET created_at = created_at - interval '1 hour'").await;
    let ran = traced(&admin, &format!("--json key rotate {id}"));
    assert!(!holds_part_of(&text(&ran.json()["token"]), &ran.stderr));
}

#[tokio::test]
async fn a_later_look_at_a_key_shows_its_hint_only() {
    let admin = Admin::with_org().await;
    let (id, token) = admin.key("ci");
    let shown = admin.run(&format!("--json key show {id}")).stdout + &admin.run("--json key list --org acme").stdout;
    assert_eq!((shown.contains(&format!("{}…", &token[..12])), holds_part_of(&token, &shown)), (true, false));
}

//! OAuth apps, grants and signing keys at the command line.

use serde_json::{Value, json};

use crate::support::{Admin, NOBODY, run, text};

const CREATE: &str = "app create --org acme --name Bot --redirect-uri https://app.example/cb --scope monitoring:read";
const GRANT: &str = "INSERT INTO oauth_grants (id, organization_id, app_id, scopes, resources, status, created_at)
    SELECT gen_random_uuid(), organization_id, id, 1, '{}', 'active', now() FROM oauth_apps LIMIT 1";

async fn with_app() -> (Admin, Value) {
    let admin = Admin::with_org().await;
    let app = admin.json(CREATE);
    (admin, app)
}

#[tokio::test]
async fn a_confidential_app_gets_its_secret_on_standard_output_once() {
    let admin = Admin::with_org().await;
    let ran = admin.run(&format!("--json {CREATE}"));
    let made: Value = serde_json::from_str(&ran.stdout).unwrap();
    let secret = text(&made["client_secret"]);
    let shown = admin.run(&format!("--json app show {}", text(&made["client_id"])));
    let seen = [ran.stdout.contains(&secret), ran.stderr.contains(&secret), shown.stdout.contains(&secret)];
    assert_eq!((secret.starts_with("sp_cs_"), seen), (true, [true, false, false]));
}

#[tokio::test]
async fn a_public_app_has_no_secret() {
    let admin = Admin::with_org().await;
    let made = admin.json(&format!("{CREATE} --public"));
    assert_eq!((&made["app"]["kind"], made.get("client_secret")), (&json!("public"), None));
}

#[tokio::test]
async fn requirements_are_on_unless_they_are_switched_off() {
    let (admin, made) = with_app().await;
    let loose = admin.json(&format!("{CREATE} --no-require-state --no-require-pkce"));
    let required = |made: &Value| (made["app"]["require_state"].clone(), made["app"]["require_pkce"].clone());
    assert_eq!([required(&made), required(&loose)], [(json!(true), json!(true)), (json!(false), json!(false))]);
}

#[tokio::test]
async fn a_public_app_without_pkce_is_refused_by_a_rule() {
    let ran = Admin::with_org().await.run(&format!("{CREATE} --public --no-require-pkce"));
    assert_eq!((ran.code, ran.stderr.contains("require_pkce")), (4, true), "{}", ran.stderr);
}

#[tokio::test]
async fn without_a_scope_an_app_may_ask_for_all_that_only_reads_and_manages_nothing() {
    let create = "app create --org acme --name Bot --redirect-uri https://app.example/cb";
    let made = Admin::with_org().await.json(create);
    let scopes = [
        "monitoring:read",
        "checks:read",
        "incidents:read",
        "routes:read",
        "metrics:read",
        "metrics:export",
        "webhooks:read",
    ];
    assert_eq!(made["app"]["scopes"], json!(scopes));
}

#[tokio::test]
async fn help_tells_what_an_app_may_ask_for_unless_it_is_said() {
    let wrapped = Admin::new().await.run("app create --help").stdout;
    let help = wrapped.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[default: every read-only scope of the catalog but those for management]"), "{help}");
}

/// The audiences that `create`, `show` and `list` tell, each with these options.
async fn audiences(options: &str, listen: &str) -> [Value; 3] {
    let admin = Admin::with_org().await;
    let told = |arguments: &str| {
        let mut command = admin.command(&format!("--json {options} {arguments}"));
        command.env("STATUSPULSE_LISTEN", listen);
        run(command, "").json()
    };
    let mut made = told(CREATE);
    let mut shown = told(&format!("app show {}", text(&made["client_id"])));
    let mut listed = told("app list --org acme");
    [made["app"]["audiences"].take(), shown["app"]["audiences"].take(), listed["items"][0]["audiences"].take()]
}

#[tokio::test]
async fn an_app_without_audiences_stands_for_the_public_url() {
    let told = audiences("--public-url https://auth.example/", "127.0.0.1:9000").await;
    assert_eq!(
        told,
        [json!(["https://auth.example"]), json!(["https://auth.example"]), json!(["https://auth.example"])]
    );
}

#[tokio::test]
async fn without_a_public_url_it_is_that_of_the_address_at_which_the_server_listens() {
    let told = ["127.0.0.1:9000", ""].map(|listen| audiences("", listen));
    let [set, unset] = told;
    let expected =
        ["http://127.0.0.1:9000", "http://127.0.0.1:8080"].map(|url| [json!([url]), json!([url]), json!([url])]);
    assert_eq!([set.await, unset.await], expected);
}

#[tokio::test]
async fn an_app_is_named_by_its_id_or_its_client_id() {
    let (admin, made) = with_app().await;
    let by_id = admin.json(&format!("app show {}", text(&made["app"]["id"])));
    let by_client_id = admin.json(&format!("app show {}", text(&made["client_id"])));
    assert_eq!(by_id, by_client_id);
}

#[tokio::test]
async fn an_unknown_app_is_not_found() {
    assert_eq!(Admin::with_org().await.run(&format!("app show {NOBODY}")).code, 3);
}

#[tokio::test]
async fn an_app_is_suspended_and_resumed() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let states = ["suspend", "resume"].map(|verb| admin.json(&format!("app {verb} {id}"))["app"]["status"].clone());
    assert_eq!(states, [json!("suspended"), json!("active")]);
}

#[tokio::test]
async fn secrets_overlap_and_the_last_one_stays() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let first = text(&made["app"]["secrets"][0]["id"]);
    let last = admin.run(&format!("app secret revoke {id} {first}")).code;
    let added = admin.json(&format!("app secret add {id} --overlap 1h --label next"));
    let revoked = admin.run(&format!("app secret revoke {id} {first}")).code;
    assert_eq!((last, &added["secret"]["label"], revoked), (4, &json!("next"), 0));
}

#[tokio::test]
async fn an_app_is_deleted_only_when_somebody_means_it() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let unasked = admin.run(&format!("app delete {id}")).code;
    let meant = admin.run(&format!("app delete {id} --yes")).code;
    let left = admin.json("app list --org acme")["items"].clone();
    assert_eq!((unasked, meant, left), (2, 0, json!([])));
}

#[tokio::test]
async fn failures_are_a_list() {
    let (admin, made) = with_app().await;
    let page = admin.json(&format!("app failures {}", text(&made["client_id"])));
    assert_eq!(page, json!({"items": [], "next_cursor": null}));
}

/// spec: oauth N10
#[tokio::test]
async fn ending_the_grants_of_an_app_tells_their_number() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    admin.value(&format!("{GRANT} RETURNING id::text")).await;
    let dry = admin.json(&format!("grant revoke --app {id} --dry-run"));
    let listed = admin.json("grant list --org acme")["items"].as_array().unwrap().len();
    let ended = admin.json(&format!("grant revoke --app {id} --yes"));
    let again = admin.json(&format!("grant revoke --app {id} --yes"));
    assert_eq!(
        (dry, listed, ended, again),
        (json!({"would_revoke": 1}), 1, json!({"revoked": 1}), json!({"revoked": 0}))
    );
}

#[tokio::test]
async fn grants_are_named_in_exactly_one_way_and_nobody_is_surprised() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let none = admin.run("grant revoke --yes").code;
    let two = admin.run(&format!("grant revoke --app {id} --user x@y --yes")).code;
    let unasked = admin.run(&format!("grant revoke --app {id}")).code;
    let unknown = admin.run("grant revoke --user nobody@example.test --yes").code;
    assert_eq!([none, two, unasked, unknown], [2, 2, 2, 3]);
}

/// spec: oauth K14
#[tokio::test]
async fn the_signing_key_is_changed_at_once() {
    let admin = Admin::with_org().await;
    let first = text(&admin.json("signing-key rotate")["kid"]);
    let second = text(&admin.json("signing-key rotate")["kid"]);
    let signing = "SELECT string_agg(kid, ',') FROM oauth_signing_keys WHERE sign_until > now()";
    assert_eq!((first != second, admin.value(signing).await), (true, second));
}

#[tokio::test]
async fn a_leaked_key_is_ended_from_standard_input() {
    let admin = Admin::with_org().await;
    let made = admin.json("key create --org acme --environment staging --name one --scope checks:read");
    let ran = admin.run_with_input("--json leak revoke --token-stdin", &format!("{}\n", text(&made["token"])));
    let reason = admin.value("SELECT revoke_reason FROM keys").await;
    assert_eq!((ran.stdout.trim(), reason.as_str()), (r#"{"revoked":1}"#, "leaked"), "{}", ran.stderr);
}

/// Runs with everything logged.
fn traced(admin: &Admin, arguments: &str) -> crate::support::Ran {
    let mut command = admin.command(arguments);
    command.env("STATUSPULSE_LOG", "trace");
    run(command, "")
}

/// Whether a text holds any run of characters of a secret that is longer than what is shown of it.
fn holds_part_of(secret: &str, text: &str) -> bool {
    let characters: Vec<char> = secret.trim_start_matches("sp_cs_").chars().collect();
    characters.windows(8).any(|part| text.contains(&part.iter().collect::<String>()))
}

/// spec: oauth N3
#[tokio::test]
async fn a_new_client_secret_is_in_no_log() {
    let admin = Admin::with_org().await;
    let ran = traced(&admin, &format!("--json {CREATE}"));
    let secret = text(&ran.json()["client_secret"]);
    assert_eq!((ran.stderr.is_empty(), holds_part_of(&secret, &ran.stderr)), (false, false));
}

/// spec: oauth N3
#[tokio::test]
async fn a_new_client_secret_for_people_is_on_standard_output_only() {
    let admin = Admin::with_org().await;
    let ran = traced(&admin, CREATE);
    let secret = ran.stdout.lines().find_map(|line| line.strip_prefix("client_secret  ")).unwrap();
    assert_eq!((secret.len(), holds_part_of(secret, &ran.stderr)), (55, false));
}

/// spec: oauth N3
#[tokio::test]
async fn an_added_secret_is_in_its_own_answer_and_no_later_one() {
    let (admin, made) = with_app().await;
    let id = text(&made["client_id"]);
    let ran = traced(&admin, &format!("--json app secret add {id}"));
    let secret = text(&ran.json()["client_secret"]);
    let later =
        ran.stderr + &admin.run(&format!("app show {id}")).stdout + &admin.run("--json app list --org acme").stdout;
    assert!(!holds_part_of(&secret, &later));
}

/// spec: oauth N3
#[tokio::test]
async fn a_secret_is_shown_by_its_last_four_characters() {
    let (admin, made) = with_app().await;
    let secret = text(&made["client_secret"]);
    let shown = admin.json(&format!("app show {}", text(&made["client_id"])));
    assert_eq!(shown["app"]["secrets"][0]["last4"], json!(secret[secret.len() - 4..]));
}

#[tokio::test]
async fn the_end_of_an_earlier_secret_is_the_overlap_away() {
    let (admin, made) = with_app().await;
    admin.json(&format!("app secret add {} --overlap 1h", text(&made["client_id"])));
    let seconds = "SELECT extract(epoch FROM old.expires_at - new.created_at)::int::text
        FROM oauth_app_secrets old, oauth_app_secrets new WHERE old.expires_at IS NOT NULL AND new.expires_at IS NULL";
    assert_eq!(admin.value(seconds).await, "3600");
}

#[tokio::test]
async fn an_overlap_beyond_ninety_days_ends_with_4() {
    let (admin, made) = with_app().await;
    let ran = admin.run(&format!("app secret add {} --overlap 91d", text(&made["client_id"])));
    assert_eq!(ran.refusal("\n  overlap_seconds: "), (4, true));
}

#[tokio::test]
async fn a_public_app_gets_no_secret_later_either() {
    let admin = Admin::with_org().await;
    let made = admin.json(&format!("{CREATE} --public"));
    let ran = admin.run(&format!("app secret add {}", text(&made["client_id"])));
    assert_eq!(ran.refusal("error[app_is_public]: "), (4, true));
}

#[tokio::test]
async fn a_client_secret_in_place_of_an_app_is_not_repeated() {
    let secret = format!("sp_cs_{}", "Ab3-".repeat(12));
    let ran = Admin::with_org().await.run(&format!("app show {secret}"));
    assert_eq!((ran.code, holds_part_of(&secret, &ran.stderr)), (3, false), "{}", ran.stderr);
}

#[tokio::test]
async fn a_client_secret_in_place_of_its_id_is_not_repeated() {
    let secret = format!("sp_cs_{}", "Ab3-".repeat(12));
    let ran = Admin::new().await.run(&format!("app secret revoke {NOBODY} {secret}"));
    assert_eq!((ran.code, holds_part_of(&secret, &ran.stderr)), (2, false), "{}", ran.stderr);
}

#[tokio::test]
async fn every_wrong_redirect_uri_has_its_line() {
    let create =
        "app create --org acme --name Bot --scope monitoring:read --redirect-uri http://a.example/ https://b/#x";
    let ran = Admin::with_org().await.run(create);
    let lines = ["\n  redirect_uris[0]: ", "\n  redirect_uris[1]: "];
    assert_eq!((ran.code, lines.map(|line| ran.stderr.contains(line))), (4, [true; 2]), "{}", ran.stderr);
}

#[tokio::test]
async fn an_app_is_what_was_asked_for() {
    let options = "--default-scope monitoring:read --format jwt --retry-seconds 30 --allow-cidr 203.0.113.0/24 \
        --any-port-on-localhost --label first";
    let made = Admin::with_org().await.json(&format!("{CREATE} {options}"));
    let fields =
        ["default_scopes", "access_token_format", "refresh_retry_seconds", "allowed_cidrs", "any_port_on_localhost"];
    let shown = json!([fields.map(|field| &made["app"][field]), made["app"]["secrets"][0]["label"]]);
    assert_eq!(shown, json!([[["monitoring:read"], "jwt", 30, ["203.0.113.0/24"], true], "first"]));
}

#[tokio::test]
async fn a_list_of_apps_is_narrowed_by_its_filters() {
    let (admin, _) = with_app().await;
    let wanted = text(&admin.json(&format!("{CREATE} --public"))["client_id"]);
    admin.json(&format!("app suspend {wanted}"));
    let list = admin.json("app list --org acme --kind public --status suspended --q BOT");
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["client_id"]), (1, &json!(wanted)));
}

#[tokio::test]
async fn a_list_of_apps_goes_on_at_its_cursor() {
    let (admin, first) = with_app().await;
    admin.json(CREATE);
    let page = admin.json("app list --org acme --limit 1");
    let next = admin.json(&format!("app list --org acme --limit 1 --cursor {}", text(&page["next_cursor"])));
    assert_eq!(next["items"][0]["client_id"], first["client_id"]);
}

#[tokio::test]
async fn anything_but_a_yes_keeps_the_app() {
    let (admin, made) = with_app().await;
    let ran = admin.run_at_terminal(&format!("app delete {}", text(&made["client_id"])), "y\n");
    let left = admin.json("app list --org acme")["items"].as_array().unwrap().len();
    assert_eq!((ran.code, left, ran.stderr.contains("Delete the app `Bot`")), (1, 1, true), "{}", ran.stderr);
}

#[tokio::test]
async fn a_yes_at_the_terminal_deletes_the_app() {
    let (admin, made) = with_app().await;
    let ran = admin.run_at_terminal(&format!("app delete {}", text(&made["client_id"])), "yes\n");
    assert_eq!((ran.code, admin.json("app list --org acme")["items"].clone()), (0, json!([])));
}

#[tokio::test]
async fn the_reason_of_a_failure_is_told_without_what_was_presented() {
    let (admin, made) = with_app().await;
    let failed = format!(
        "INSERT INTO audit_events (id, stream, sequence, occurred_at, recorded_at, class, action, outcome, reason,
             organization_id, actor_kind, status, ip, request_id, detail, leaf, prev, hash)
         SELECT gen_random_uuid(), gen_random_uuid(), 1, now(), now(), 2, 'oauth.token', 'denied', 'verifier_mismatch',
             organization_id, 'unknown', 400, '203.0.113.7', '{NOBODY}', jsonb_build_object('app_id', id),
             '', '', ''
         FROM oauth_apps"
    );
    admin.execute(&failed).await;
    let failure = admin.json(&format!("app failures {}", text(&made["client_id"])))["items"][0].take();
    let shown = ["action", "reason", "status", "ip", "request_id"].map(|field| failure[field].clone());
    assert_eq!(json!(shown), json!(["oauth.token", "verifier_mismatch", 400, "203.0.113.7", NOBODY]));
}

#[tokio::test]
async fn people_read_the_secrets_below_the_app() {
    let (admin, made) = with_app().await;
    let ran = admin.run(&format!("app show {}", text(&made["client_id"])));
    let (_, secrets) = ran.stdout.split_once("\n\nSecrets:\n").unwrap();
    assert!(secrets.contains(&text(&made["app"]["secrets"][0]["id"])), "{}", ran.stdout);
}

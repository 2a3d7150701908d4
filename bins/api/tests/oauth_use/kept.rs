//! What is kept, for how long, and how grants end.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use statuspulse_app::oauth::cleanup;
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, Tokens, confidential, with},
    support::{Api, PUBLIC_URL, World},
};

const DAY: Duration = Duration::from_secs(86_400);

async fn count(world: &World, table: &str) -> i64 {
    let client = world.db.client().await;
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

async fn clean(world: &World) -> Option<u64> {
    cleanup::pass(&world.api.app.app()).await.unwrap()
}

/// spec: oauth N2, N14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_secrets_have_the_forms_that_scanners_look_for() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let tokens = Tokens::of(&world.redeem(&client, &code).await);
    let form = |text: &str, prefix: &str, length: usize| {
        let body = text.strip_prefix(prefix).unwrap_or_default();
        body.len() == length && body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let fit = [
        form(&code, "sp_ac_", 64),
        form(&tokens.access, "sp_at_", 64),
        form(&tokens.refresh, "sp_rt_", 64),
        form(&client.secret, "sp_cs_", 49),
        form(&client.id, "sp_app_", 22),
    ];
    assert_eq!(fit, [true; 5]);
}

/// spec: oauth N3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_shown_once() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let reply = world.api.get(&format!("/v1/orgs/acme/apps/{}", client.app)).cookie(&world.owner).send().await;
    let secret = reply.json()["secrets"][0].clone();
    let mut names: Vec<&String> = secret.as_object().unwrap().keys().collect();
    names.sort();
    let expected =
        ["created_at", "created_by", "expires_at", "id", "label", "last4", "last_used_at"].map(str::to_owned);
    assert_eq!((reply.text.contains(&client.secret), names), (false, expected.iter().collect()));
}

/// spec: oauth N1, N12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_holds_a_secret_in_any_form() {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"refresh_retry_seconds": 60}))).await;
    let code = world.code(&client).await;
    let first = Tokens::of(&world.redeem(&client, &code).await);
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    world.is_active(&client, &second.access).await;
    world.api.app.flush().await;
    let db = world.db.client().await;
    let tables = db
        .query(
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
            &[],
        )
        .await
        .unwrap();
    let mut dump = String::new();
    for table in tables {
        let table: String = table.get(0);
        for row in db.query(&format!("SELECT to_jsonb(t)::text FROM {table} t"), &[]).await.unwrap() {
            dump.push_str(row.get(0));
        }
    }
    let mut found = Vec::new();
    for secret in [&code, &first.access, &first.refresh, &second.access, &second.refresh, &client.secret] {
        let body = &secret[6..];
        let raw = URL_SAFE_NO_PAD.decode(&body[..40]).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let forms = [
            body[..16].to_owned(),
            STANDARD.encode(&secret[..24]),
            hex(&secret.as_bytes()[..16]),
            hex(&raw[..16]),
            percent(&secret[..16]),
        ];
        found.extend(forms.into_iter().filter(|form| dump.contains(form.as_str())));
    }
    assert_eq!((found, dump.contains("oauth.token")), (Vec::<String>::new(), true));
}

/// spec: oauth N16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_argon2id() {
    let world = World::new().await;
    let client = world.db.client().await;
    let row = client.query_one("SELECT password_hash FROM users", &[]).await.unwrap();
    let hash: String = row.get(0);
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
}

/// spec: oauth N5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_its_event_is_not_issued() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let db = world.db.client().await;
    db.batch_execute(
        "CREATE FUNCTION no_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER no_events BEFORE INSERT ON audit_outbox FOR EACH ROW
             WHEN (NEW.event->>'action' = 'oauth.token') EXECUTE FUNCTION no_events();",
    )
    .await
    .unwrap();
    let failed = world.redeem(&client, &code).await.status;
    let tokens = count(&world, "oauth_access_tokens").await;
    db.batch_execute("DROP TRIGGER no_events ON audit_outbox").await.unwrap();
    let redeemed = world.redeem(&client, &code).await.status;
    assert_eq!((failed, tokens, redeemed), (503, 0, 200));
}

/// spec: oauth N6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_clean_up_a_used_token_still_gives_the_thief_away() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let first = world.tokens(&client).await;
    let mut last = Tokens::of(&world.refresh(&client, &first.refresh).await);
    for _ in 0..3 {
        world.api.app.advance(DAY * 20).await;
        clean(&world).await;
        last = Tokens::of(&world.refresh(&client, &last.refresh).await);
    }
    let replayed = world.refresh(&client, &first.refresh).await.refused();
    let chain = world.refresh(&client, &last.refresh).await.refused();
    let refused = (400, "invalid_grant".to_owned());
    assert_eq!((replayed, chain, world.is_active(&client, &last.access).await), (refused.clone(), refused, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_goes_thirty_days_after_its_end_with_everything_that_hangs_on_it() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    world.api.revoke(&client, &tokens.refresh).await;
    let left = async || {
        let mut left = Vec::new();
        for table in ["oauth_codes", "oauth_refresh_tokens", "oauth_access_tokens", "oauth_grants"] {
            left.push(count(&world, table).await);
        }
        left
    };
    world.api.app.advance(DAY * 30 - Duration::from_secs(1)).await;
    clean(&world).await;
    let before = left().await;
    world.api.app.advance(Duration::from_secs(1)).await;
    clean(&world).await;
    assert_eq!((before, left().await), (vec![1, 1, 0, 1], vec![0; 4]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_nobody_redeemed_goes_a_day_after_its_end_with_its_grant() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.code(&client).await;
    world.api.app.advance(DAY + Duration::from_secs(299)).await;
    clean(&world).await;
    let before = (count(&world, "oauth_codes").await, count(&world, "oauth_grants").await);
    world.api.app.advance(Duration::from_secs(1)).await;
    clean(&world).await;
    let after = (count(&world, "oauth_codes").await, count(&world, "oauth_grants").await);
    assert_eq!((before, after), ((1, 1), (0, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_successor_is_wiped_with_its_window() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"refresh_retry_seconds": 30}))).await;
    let tokens = world.tokens(&client).await;
    world.refresh(&client, &tokens.refresh).await;
    let sealed = "oauth_refresh_tokens WHERE successor_sealed IS NOT NULL";
    let inside = count(&world, sealed).await;
    world.api.app.advance(Duration::from_secs(30)).await;
    clean(&world).await;
    assert_eq!((inside, count(&world, sealed).await), (1, 0));
}

/// spec: oauth §5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_wiped_without_waiting_for_the_next_round_of_the_clean_up() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"refresh_retry_seconds": 30}))).await;
    let tokens = world.tokens(&client).await;
    world.refresh(&client, &tokens.refresh).await;
    world.api.app.advance(Duration::from_secs(30)).await;
    statuspulse_testkit::eventually("the sealed successor is gone", async || {
        count(&world, "oauth_refresh_tokens WHERE successor_sealed IS NOT NULL").await == 0
    })
    .await;
}

/// spec: oauth N7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clean_up_goes_on_in_batches_to_its_end() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    let db = world.db.client().await;
    db.batch_execute(
        "INSERT INTO oauth_access_tokens (digest, grant_id, scopes, audiences, issued_at, expires_at)
         SELECT sha256(n::text::bytea), g.id, 1, '{}', g.created_at, g.created_at
         FROM generate_series(1, 2500) n, oauth_grants g",
    )
    .await
    .unwrap();
    world.api.app.advance(DAY).await;
    let taken = clean(&world).await;
    // The handle of the consent page has ended too.
    assert_eq!((taken, count(&world, "oauth_access_tokens").await), (Some(2_501), 1));
}

/// spec: oauth N8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_cleans_up_and_another_takes_over_behind_its_lease() {
    let world = World::new().await;
    let second = world.api.app.second().await;
    clean(&world).await;
    // The clean-up of either may have come first, at its start; from here on the holder is this one.
    let db = world.db.client().await;
    let holder = world.api.app.instance.to_string();
    db.execute("UPDATE leases SET holder = $1::text::uuid", &[&holder]).await.unwrap();
    let held = clean(&world).await.is_some();
    let refused = cleanup::pass(&second.app()).await.unwrap();
    world.api.app.advance(Duration::from_secs(150)).await;
    let taken = cleanup::pass(&second.app()).await.unwrap().is_some();
    assert_eq!((held, refused, taken), (true, None, true));
}

/// spec: oauth N9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_secret_ends_with_its_overlap() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = format!("/v1/orgs/acme/apps/{}/secrets", client.app);
    let added = world.owner("POST", &path, &json!({"overlap_seconds": 3_600, "label": "next"})).await.json();
    let next = Client { secret: added["client_secret"].as_str().unwrap().to_owned(), ..client.clone() };
    let ask = async |client: &Client| {
        let form = [("grant_type", "client_credentials")];
        world.api.post("/oauth/token").client(client).form(&form).send().await.status
    };
    let inside = (ask(&client).await, ask(&next).await);
    world.api.app.advance(Duration::from_secs(3_600)).await;
    assert_eq!((inside, ask(&client).await, ask(&next).await), ((200, 200), 401, 200));
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_all_of_an_app_is_one_call_that_reaches_every_instance() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let (one, two) = (world.tokens(&client).await, world.tokens(&client).await);
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let ended = world.owner("POST", "/v1/orgs/acme/grants/revoke", &json!({"app": client.id})).await.json();
    for token in [&one.access, &two.access] {
        eventually("the token is dead on the other instance", async || {
            second.introspect(&client, token).await.json()["active"] == false
        })
        .await;
    }
    assert_eq!((ended, world.events("oauth.revoke").await.len()), (json!({"revoked": 2}), 2));
}

/// spec: oauth N10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_ending_all_of_a_person_or_one_grant() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let one = world.tokens(&client).await;
    let id = world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json()["items"][0]["id"].clone();
    let path = "/v1/orgs/acme/grants/revoke";
    let single = world.owner("POST", path, &json!({"grant": id})).await.json();
    let two = world.tokens(&client).await;
    let person = world.owner("POST", path, &json!({"user": world.org.owner.email})).await.json();
    let dead = (world.is_active(&client, &one.access).await, world.is_active(&client, &two.access).await);
    assert_eq!((single, person, dead), (json!({"revoked": 1}), json!({"revoked": 1}), (false, false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_owner_and_admin_end_grants_and_name_exactly_one() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let developer = world.api.app.person(&world.org, "dev", Role::Developer).await;
    let developer = world.api.sign_in(&developer).await;
    let path = "/v1/orgs/acme/grants/revoke";
    let forbidden = world.api.post(path).browser(&developer).json(&json!({"app": client.id})).send().await.status;
    let none = world.owner("POST", path, &json!({})).await.status;
    let two = world.owner("POST", path, &json!({"app": client.id, "user": "x"})).await.status;
    let unknown = world.owner("POST", path, &json!({"grant": uuid::Uuid::nil()})).await.status;
    assert_eq!([forbidden, none, two, unknown], [403, 422, 422, 404]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_grant_is_not_there() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    let id = world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let other = world.api.app.person(&world.org, "admin", Role::Admin).await;
    let other = world.api.sign_in(&other).await;
    let listed = world.api.get("/v1/me/grants").cookie(&other).send().await.json()["items"].clone();
    let ended = world.api.ask("DELETE", &format!("/v1/me/grants/{id}")).browser(&other).send().await.status;
    assert_eq!((listed, ended), (json!([]), 404));
}

/// spec: oauth N11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_skips_and_repeats_nothing_while_it_grows() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.tokens(&client).await;
    let more = "INSERT INTO oauth_grants (id, user_id, organization_id, app_id, scopes, resources, status, created_at, absolute_expires_at)
         SELECT gen_random_uuid(), user_id, organization_id, app_id, scopes, resources, 'active',
                created_at + make_interval(secs => n), absolute_expires_at
         FROM generate_series($1::int, $2::int) n, (SELECT * FROM oauth_grants ORDER BY created_at LIMIT 1) g";
    let db = world.db.client().await;
    db.execute(more, &[&1_i32, &999_i32]).await.unwrap();
    let before: Vec<String> =
        db.query("SELECT id::text FROM oauth_grants", &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/v1/me/grants?limit=100{cursor}");
        let page = world.api.get(&path).cookie(&world.owner).send().await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages += 1;
        db.execute(more, &[&(1_000 + pages), &(1_000 + pages)]).await.unwrap();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let distinct: HashSet<&String> = seen.iter().collect();
    let missed = before.iter().filter(|id| !distinct.contains(id)).count();
    assert_eq!((pages, seen.len() - distinct.len(), missed), (10, 0, 0));
}

/// spec: oauth N15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_access_token_dies_alone_and_a_refresh_token_with_its_grant() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let one = world.tokens(&client).await;
    let two = world.tokens(&client).await;
    let report = world.api.post("/v1/leaks").json(&json!({"tokens": [one.access, two.refresh]})).send().await.status;
    for token in [&one.access, &two.access] {
        eventually("the leaked token is dead", async || !world.is_active(&client, token).await).await;
    }
    let alive = world.refresh(&client, &one.refresh).await.status;
    let dead = world.refresh(&client, &two.refresh).await.status;
    assert_eq!((report, alive, dead, world.alerts("leaked_key").await.len()), (202, 200, 400, 2));
}

/// spec: oauth N17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_reads_the_true_reason_under_the_id_of_the_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let wrong = "a".repeat(43);
    let refused = world.api.redeem(&client, &code, &[("code_verifier", &wrong)]).await;
    let path = format!("/v1/orgs/acme/apps/{}/failures", client.app);
    let reply = world.api.get(&path).cookie(&world.owner).send().await;
    let first = reply.json()["items"][0].clone();
    let secret = [code.as_str(), &client.secret, &wrong].iter().any(|text| reply.text.contains(text));
    assert_eq!(
        (&first["reason"], &first["request_id"], &first["status"], secret),
        (&json!("verifier_mismatch"), &json!(refused.request_id()), &json!(400), false)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_pages_and_the_first_byte_that_differs() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    for _ in 0..3 {
        world.authorize(&client, &[("redirect_uri", "https://app.example/cX")]).await;
    }
    let path = format!("/v1/orgs/acme/apps/{}/failures?limit=2", client.app);
    let first = world.api.get(&path).cookie(&world.owner).send().await.json();
    let next = format!("{path}&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = world.api.get(&next).cookie(&world.owner).send().await.json();
    let sizes = (first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len());
    assert_eq!(
        (sizes, &first["items"][0]["first_difference"], &second["next_cursor"]),
        ((2, 1), &json!(21), &json!(null))
    );
}

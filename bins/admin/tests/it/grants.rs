//! Grants at the command line: listed, counted, ended.

use serde_json::{Value, json};

use crate::support::{Admin, NOBODY, text};

const CREATE: &str = "app create --org acme --redirect-uri https://app.example/cb --scope monitoring:read --name";

/// With two apps; Ada has authorized the first twice and the second once.
struct World {
    admin: Admin,
    first: String,
    second: String,
}

impl World {
    async fn new() -> Self {
        let admin = Admin::with_org().await;
        admin.json("user create --org acme --email ada@acme.test --role developer");
        let [first, second] =
            ["First", "Second"].map(|name| text(&admin.json(&format!("{CREATE} {name}"))["client_id"]));
        let world = Self { admin, first, second };
        for app in [&world.first, &world.first, &world.second] {
            world.grant(app).await;
        }
        world
    }

    /// What Ada's consent leaves behind.
    async fn grant(&self, client_id: &str) {
        let statement = format!(
            "INSERT INTO oauth_grants (id, user_id, organization_id, app_id, scopes, resources, status, created_at,
                 absolute_expires_at)
             SELECT gen_random_uuid(), u.id, a.organization_id, a.id, a.scopes, '{{}}', 'active', clock_timestamp(),
                 clock_timestamp() + interval '180 days'
             FROM oauth_apps a, users u WHERE a.client_id = '{client_id}'"
        );
        self.admin.execute(&statement).await;
    }

    fn revoke(&self, arguments: &str) -> Value {
        self.admin.json(&format!("grant revoke {arguments}"))
    }

    async fn alive(&self) -> String {
        self.admin.value("SELECT count(*)::text FROM oauth_grants WHERE status = 'active'").await
    }

    fn ids(&self, filter: &str) -> Vec<String> {
        let list = self.admin.json(&format!("grant list --org acme {filter}"));
        list["items"].as_array().unwrap().iter().map(|grant| text(&grant["id"])).collect()
    }
}

/// spec: oauth N10
#[tokio::test]
async fn a_dry_run_tells_the_number_and_changes_nothing() {
    let world = World::new().await;
    let answer = world.revoke(&format!("--app {} --dry-run", world.first));
    assert_eq!((answer, world.alive().await), (json!({"would_revoke": 2}), "3".to_owned()));
}

/// spec: oauth N10
#[tokio::test]
async fn the_grants_of_another_app_stay() {
    let world = World::new().await;
    let answer = world.revoke(&format!("--app {} --yes", world.first));
    assert_eq!((answer, world.ids(&format!("--app {}", world.second)).len()), (json!({"revoked": 2}), 1));
}

/// spec: oauth N10
#[tokio::test]
async fn all_grants_of_a_person_end_whatever_the_app() {
    let world = World::new().await;
    assert_eq!(
        (world.revoke("--user ada@acme.test --yes"), world.alive().await),
        (json!({"revoked": 3}), "0".to_owned())
    );
}

/// spec: oauth N10
#[tokio::test]
async fn one_grant_ends_and_the_others_stay() {
    let world = World::new().await;
    let id = world.ids("")[0].clone();
    assert_eq!(
        (world.revoke(&format!("--id {id} --yes")), world.ids("").contains(&id)),
        (json!({"revoked": 1}), false)
    );
}

/// spec: oauth N10
#[tokio::test]
async fn each_grant_that_ends_has_its_event() {
    let world = World::new().await;
    world.revoke("--user ada@acme.test --yes");
    let events = "SELECT count(DISTINCT event -> 'detail' ->> 'grant_id') || ' of ' || count(*) FROM audit_outbox
        WHERE event ->> 'action' = 'oauth.revoke' AND event -> 'actor' ->> 'kind' = 'operator'";
    assert_eq!(world.admin.value(events).await, "3 of 3");
}

#[tokio::test]
async fn a_dry_run_leaves_no_event() {
    let world = World::new().await;
    world.revoke("--user ada@acme.test --dry-run");
    let events = "SELECT count(*)::text FROM audit_outbox WHERE event ->> 'action' = 'oauth.revoke'";
    assert_eq!(world.admin.value(events).await, "0");
}

#[tokio::test]
async fn a_grant_that_has_ended_is_not_counted_again() {
    let world = World::new().await;
    let revoke = format!("--id {} --yes", world.ids("")[0]);
    world.revoke(&revoke);
    assert_eq!(world.revoke(&revoke), json!({"revoked": 0}));
}

#[tokio::test]
async fn a_grant_that_is_not_there_ends_with_3() {
    let ran = Admin::with_org().await.run(&format!("grant revoke --id {NOBODY} --yes"));
    assert_eq!(ran.refusal("error[not_found]: "), (3, true));
}

#[tokio::test]
async fn grants_of_an_app_that_is_not_there_end_with_3() {
    let ran = Admin::with_org().await.run(&format!("grant revoke --app {NOBODY} --yes"));
    assert_eq!(ran.refusal("error[not_found]: "), (3, true));
}

#[tokio::test]
async fn an_id_that_is_none_ends_with_2() {
    let ran = Admin::new().await.run("grant revoke --id 17 --yes");
    assert_eq!(ran.refusal("the id of a grant is wanted"), (2, true));
}

#[tokio::test]
async fn a_dry_run_that_is_also_meant_ends_with_2() {
    assert_eq!(Admin::new().await.run(&format!("grant revoke --id {NOBODY} --dry-run --yes")).code, 2);
}

/// spec: oauth N10
#[tokio::test]
async fn at_a_terminal_somebody_is_asked() {
    let world = World::new().await;
    let ran = world.admin.run_at_terminal(&format!("grant revoke --app {}", world.first), "no\n");
    assert_eq!((ran.stderr.contains("End 2 grants"), ran.stdout.as_str()), (true, ""), "{}", ran.stderr);
}

#[tokio::test]
async fn anything_but_a_yes_ends_no_grant() {
    let world = World::new().await;
    let ran = world.admin.run_at_terminal(&format!("grant revoke --app {}", world.first), "y\n");
    assert_eq!((ran.code, world.alive().await), (1, "3".to_owned()));
}

#[tokio::test]
async fn a_yes_at_the_terminal_ends_the_grants() {
    let world = World::new().await;
    let ran = world.admin.run_at_terminal(&format!("grant revoke --app {}", world.first), "yes\n");
    assert_eq!((ran.code, world.alive().await), (0, "1".to_owned()));
}

#[tokio::test]
async fn where_there_is_no_grant_there_is_nothing_to_ask() {
    let world = World::new().await;
    world.revoke("--user ada@acme.test --yes");
    let ran = world.admin.run_at_terminal("--json grant revoke --user ada@acme.test", "");
    assert_eq!(ran.json(), json!({"revoked": 0}));
}

/// spec: oauth N11
#[tokio::test]
async fn a_list_of_grants_goes_on_at_its_cursor() {
    let world = World::new().await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.admin.json(&format!("grant list --org acme --limit 1{cursor}"));
        seen.extend(page["items"].as_array().unwrap().iter().map(|grant| text(&grant["id"])));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!(" --cursor {next}");
    }
    assert_eq!(seen, world.ids(""));
}

#[tokio::test]
async fn grants_are_listed_by_person() {
    let world = World::new().await;
    world.admin.json("user create --org acme --email bob@acme.test --role developer");
    assert_eq!([world.ids("--user ada@acme.test").len(), world.ids("--user bob@acme.test").len()], [3, 0]);
}

#[tokio::test]
async fn people_read_who_authorized_what() {
    let world = World::new().await;
    let ran = world.admin.run(&format!("grant list --org acme --app {}", world.second));
    let row = ran.stdout.lines().nth(1).unwrap_or_default();
    assert!(row.contains("  Second  ada@acme.test  monitoring:read  "), "{}", ran.stdout);
}

#[tokio::test]
async fn an_app_that_acts_for_itself_is_its_own_user() {
    let world = World::new().await;
    let own = "UPDATE oauth_grants SET user_id = NULL, absolute_expires_at = NULL
        WHERE id = (SELECT id FROM oauth_grants LIMIT 1)";
    world.admin.execute(own).await;
    assert!(world.admin.run("grant list --org acme").stdout.contains("  (the app itself)  "));
}

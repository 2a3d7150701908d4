//! What the trail knows of a key's calls: previews of lists, and suggestions.

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    help::{KEYS, asked, question},
    support::{PEER, PUBLIC_URL, Reply, World},
};

struct Scene {
    world: World,
    id: String,
    token: String,
}

impl Scene {
    async fn new(scopes: &[&str]) -> Self {
        let world = World::new().await;
        let (id, token) = world.key(scopes).await;
        Self { world, id, token }
    }

    async fn calls(&self, number: usize, fields: &Value) {
        for _ in 0..number {
            self.world.call_like(&asked(&self.token, fields.clone())).await;
        }
    }

    fn path(&self) -> String {
        format!("{KEYS}/{}/allowlist/preview", self.id)
    }

    async fn preview(&self, body: &Value) -> Reply {
        self.world.api.app.flush().await;
        self.world.owner("POST", &self.path(), body).await
    }

    async fn suggestions(&self) -> Value {
        self.world.read(&format!("{KEYS}/{}/suggestions", self.id)).await.json()
    }
}

/// spec: policy P57
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_counts_what_a_list_would_block_by_network() {
    let scene = Scene::new(&["checks:read"]).await;
    scene.calls(6, &json!({"client_ip": "198.51.100.7"})).await;
    scene.calls(4, &json!({"client_ip": "198.51.100.8"})).await;
    scene.calls(5, &json!({"client_ip": "2001:db8:1::5"})).await;
    let reply = scene.preview(&json!({"allowed_cidrs": ["198.51.100.0/24"]})).await;
    assert_eq!(
        (reply.status, reply.json()),
        (
            200,
            json!({"calls": 15, "would_be_blocked": 5, "sources": [
                {"network": "198.51.100.0/24", "country": null, "calls": 10, "blocked": 0},
                {"network": "2001:db8:1::/48", "country": null, "calls": 5, "blocked": 5},
            ]})
        )
    );
}

/// spec: policy P57
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_counts_calls_that_the_present_list_blocked_and_changes_nothing() {
    let scene = Scene::new(&["checks:read"]).await;
    let list = json!({"allowed_cidrs": ["198.51.100.0/24"]});
    scene.world.owner("PUT", &format!("{KEYS}/{}/allowlist", scene.id), &list).await;
    scene.calls(2, &json!({})).await;
    let before = scene.world.read(&format!("{KEYS}/{}", scene.id)).await.json();
    let free = scene.preview(&json!({"allowed_cidrs": null})).await.json();
    let held = scene.preview(&list).await.json();
    let after = scene.world.read(&format!("{KEYS}/{}", scene.id)).await.json();
    assert_eq!(
        (&free["calls"], &free["would_be_blocked"], &held["would_be_blocked"], before),
        (&json!(2), &json!(0), &json!(2), after)
    );
}

/// A resource server that doesn't tell addresses would lose every call to a list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_from_an_unknown_address_would_be_blocked_by_every_list() {
    let scene = Scene::new(&["checks:read"]).await;
    scene.calls(3, &json!({"client_ip": null})).await;
    let preview = scene.preview(&json!({"allowed_cidrs": ["0.0.0.0/0", "::/0"]})).await.json();
    let list = json!({"allowed_cidrs": ["198.51.100.0/24"]});
    let set = scene.world.owner("PUT", &format!("{KEYS}/{}/allowlist", scene.id), &list).await.json();
    let unknown = json!([{"network": null, "country": null, "calls": 3, "blocked": 3}]);
    assert_eq!(
        (&preview["would_be_blocked"], &preview["sources"], &set["warnings"][0]["code"]),
        (&json!(3), &unknown, &json!("blocks_recent_source"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_looks_back_as_many_days_as_it_is_asked_for() {
    let scene = Scene::new(&["checks:read"]).await;
    scene.calls(1, &json!({})).await;
    scene.world.api.app.advance_days(8).await;
    scene.calls(1, &json!({})).await;
    let browser = scene.world.api.sign_in(&scene.world.org.owner).await;
    let mut seen = Vec::new();
    for days in [json!(null), json!(7), json!(9), json!(30)] {
        scene.world.api.app.flush().await;
        let body = json!({"allowed_cidrs": null, "days": days});
        let reply = scene.world.api.post(&scene.path()).browser(&browser).json(&body).send().await;
        seen.push(reply.json()["calls"].clone());
    }
    assert_eq!(seen, [json!(1), json!(1), json!(2), json!(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_that_cannot_be_read_is_refused() {
    let scene = Scene::new(&["checks:read"]).await;
    let many: Vec<String> = (0..51).map(|n| format!("198.51.{n}.0/24")).collect();
    let asked = [
        (json!({}), "allowed_cidrs: required"),
        (json!({"allowed_cidrs": "10.0.0.0/8"}), "allowed_cidrs: invalid_type"),
        (json!({"allowed_cidrs": []}), "allowed_cidrs: empty_allowlist"),
        (json!({"allowed_cidrs": many}), "allowed_cidrs: too_many_entries"),
        (json!({"allowed_cidrs": ["198.51.100.0/24", "10.0.0.1/8"]}), "allowed_cidrs[1]: host_bits_set"),
        (json!({"allowed_cidrs": null, "days": 0}), "days: out_of_bounds"),
        (json!({"allowed_cidrs": null, "days": 31}), "days: out_of_bounds"),
        (json!({"allowed_cidrs": null, "hours": 1}), "hours: unknown_field"),
    ];
    let mut wrong = Vec::new();
    for (body, expected) in asked {
        let reply = scene.preview(&body).await;
        if (reply.status, reply.fields()) != (422, vec![expected.to_owned()]) {
            wrong.push((body, reply.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// It changes nothing, but a browser can be made to send it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_takes_the_csrf_token_and_our_origin() {
    let scene = Scene::new(&["checks:read"]).await;
    let (owner, body) = (&scene.world.owner, json!({"allowed_cidrs": null}));
    let ask = || scene.world.api.post(&scene.path()).cookie(owner).json(&body);
    let seen = [
        ask().send().await.outcome(),
        ask().header("origin", PUBLIC_URL).send().await.outcome(),
        ask().header("x-csrf-token", &owner.csrf).send().await.outcome(),
        ask().header("x-csrf-token", &owner.csrf).header("origin", "https://evil.test").send().await.outcome(),
    ];
    let refused = |code: &str| (403, code.to_owned());
    let (origin, token) = (refused("origin_not_allowed"), refused("csrf_token_invalid"));
    assert_eq!(seen, [origin.clone(), token, origin.clone(), origin]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_every_role_may_ask_and_keys_may_not() {
    let scene = Scene::new(&["checks:read"]).await;
    let (_, reader) = scene.world.key(&["keys:read", "audit:read"]).await;
    let suggestions = format!("{KEYS}/{}/suggestions", scene.id);
    let body = json!({"allowed_cidrs": null});
    let mut seen = Vec::new();
    for role in [Role::Admin, Role::Developer, Role::Auditor] {
        let browser = scene.world.somebody(role).await;
        seen.push(scene.world.api.post(&scene.path()).browser(&browser).json(&body).send().await.status);
        seen.push(scene.world.read_as(&browser, &suggestions).await.status);
    }
    let refused = [
        scene.world.api.post(&scene.path()).key(&reader).json(&body).send().await.outcome(),
        scene.world.read_with(&reader, &suggestions).await.outcome(),
    ];
    assert_eq!((seen, refused), (vec![200; 6], [(); 2].map(|()| (403, "credential_not_allowed".to_owned()))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organizations_key_is_not_found() {
    let scene = Scene::new(&["checks:read"]).await;
    let other = scene.world.api.app.organization("other").await;
    let stranger = scene.world.api.sign_in(&other.owner).await;
    let path = scene.path().replace("acme", "other");
    let body = json!({"allowed_cidrs": null});
    let preview = scene.world.api.post(&path).browser(&stranger).json(&body).send().await.outcome();
    let path = format!("/v1/orgs/other/keys/{}/suggestions", scene.id);
    let suggestions = scene.world.read_as(&stranger, &path).await.outcome();
    assert_eq!([preview, suggestions], [(); 2].map(|()| (404, "not_found".to_owned())));
}

/// spec: policy P58
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suggestions_name_the_scope_that_was_not_used_and_the_callers_networks() {
    let scene = Scene::new(&["checks:read", "incidents:write"]).await;
    scene.calls(2, &json!({})).await;
    for host in 1..=4 {
        scene.calls(1, &json!({"client_ip": format!("198.51.100.{host}")})).await;
    }
    // A refused call needs no scope, and its address belongs into no list.
    scene.calls(1, &json!({"method": "POST", "path": "/api/v1/routes", "client_ip": "192.0.2.1"})).await;
    let suggestions = scene.suggestions().await;
    assert_eq!(
        suggestions,
        json!({"unused_scopes": ["incidents:write"], "allowlist": ["198.51.100.0/24", format!("{PEER}/32")],
            "basis": {"days": 30, "calls": 6}})
    );
}

/// spec: policy P58
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_was_used_at_our_own_api_is_no_unused_one() {
    let scene = Scene::new(&["audit:read", "keys:read", "apps:read", "credentials:verify"]).await;
    for path in [KEYS, "/v1/orgs/acme/audit/events"] {
        assert_eq!(scene.world.read_with(&scene.token, path).await.status, 200);
    }
    let other = scene.world.key(&["checks:read"]).await.1;
    scene.world.api.verify(&scene.token, &question(&other)).await;
    let suggestions = scene.suggestions().await;
    assert_eq!(
        (&suggestions["unused_scopes"], &suggestions["allowlist"], &suggestions["basis"]["calls"]),
        (&json!(["apps:read"]), &json!([format!("{PEER}/32")]), &json!(2))
    );
}

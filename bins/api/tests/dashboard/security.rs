//! 'Security Controls': from where keys may be used, how long they live, who belongs here, and who is told of what.

use serde_json::{Value, json};
use statuspulse_testkit::{Person, eventually};

use crate::{
    browser::{Key, Scheme},
    checks::Check,
    desk::{Desk, Look, Seeded},
    words::press,
};

mod people;

const PAGE: &str = "/security";
const KEYS: &str = "/v1/orgs/acme/keys";
const MEMBERS: &str = "/v1/orgs/acme/members";
const SETTINGS: &str = "/v1/orgs/acme/settings";
/// From where no test calls.
const OFFICE: &str = "203.0.113.0/24";
/// From where all tests call.
const HERE: &str = "127.0.0.1/32";
const SUBMIT: &str = "dialog:last-of-type form [type=submit]";
const SECTIONS: [&str; 8] =
    ["organization-list", "key-lists", "attention", "lifespans", "webhooks", "members", "sessions", "alert-rules"];

impl Look<'_> {
    /// Makes names unique.
    fn tag(&self) -> String {
        format!("{}-{}", self.scheme.word(), self.width)
    }

    /// Whether it is one of two in which a story is told that costs much: each size and each colour once.
    const fn tells_long_stories(&self) -> bool {
        (self.width == 360) == matches!(self.scheme, Scheme::Light)
    }
}

impl Desk {
    /// The page, before its owner.
    async fn security(&self) {
        self.sign_in().await;
        self.open(PAGE).await;
        self.chromium.shows("#alert-rules").await;
    }

    /// The page, before somebody else.
    async fn security_of(&self, person: &Person) {
        self.sign_in_as(person).await;
        self.open(PAGE).await;
        self.chromium.shows("#alert-rules").await;
    }

    /// Scrolls to a section when all of the page is there.
    async fn at(&self, section: &str) {
        self.chromium.vanishes("main [aria-busy=true]:not([hidden], [hidden] *)").await;
        // Painted first: what comes and scrolls within one frame counts as a jump.
        let painted = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))";
        self.chromium.script_async(painted).await;
        self.chromium.script(&format!("document.getElementById('{section}').scrollIntoView()")).await;
    }

    /// All sections, from top to bottom.
    async fn all_sections(&self) {
        for section in SECTIONS {
            self.at(section).await;
        }
        self.chromium.script("scrollTo(0, 0)").await;
    }

    async fn read(&self, path: &str) -> Value {
        self.asks("GET", path, &json!({})).await
    }

    /// Waits until calls with a key are answered so.
    async fn judges(&self, key: &Seeded, status: u16) {
        let judged = async || self.scene.world.server.judged(&key.token).await.status == status;
        eventually(&format!("a call is answered {status}"), judged).await;
    }

    /// Calls with a key from here, which previews know then.
    async fn called(&self, key: &Seeded, times: usize) {
        for _ in 0..times {
            self.scene.world.server.judged(&key.token).await;
        }
        let body = json!({"add": [OFFICE], "keys": [key.id], "days": 7});
        eventually("the calls are known", async || {
            self.asks("POST", "/v1/orgs/acme/allowlist/preview", &body).await["calls"] == times
        })
        .await;
    }

    /// What stands in a field.
    async fn value(&self, selector: &str) -> String {
        let value = self.chromium.script(&format!("document.querySelector('{selector}').value")).await;
        value.as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn every_section_is_there_and_clean() {
    let desk = Desk::new().await;
    let notes = json!({OFFICE: "Build servers", "198.51.100.0/24": "<i>Vercel</i>"});
    desk.key(&json!({"name": "<img src=x onerror=alert(1)>", "allowed_cidrs": [OFFICE, "198.51.100.0/24", HERE, "2001:db8:42::/48",
        "192.0.2.0/28", "192.0.2.32/28"], "allowlist_notes": notes}))
    .await;
    desk.key(&json!({"name": "deploys-of-the-eu-cluster-with-a-name-that-does-not-end", "environment": "staging"}))
        .await;
    desk.key(&json!({"name": "wide", "environment": "analytics", "allowed_cidrs": ["10.0.0.0/8"]})).await;
    desk.keys(12).await;
    desk.in_every_look(async |look| {
        look.desk.security().await;
        look.desk.all_sections().await;
        look.is_clean("security").await;
        let chromium = &look.desk.chromium;
        assert_eq!(chromium.count("main img").await, 0, "a name is markup");
        chromium.press("#attention summary").await;
        chromium.wait_text("#attention details[open]", "key 12").await;
        look.desk.at("attention").await;
        look.is_clean("security-reason").await;
        press(chromium, "#attention details[open]", "Give them a list").await;
        chromium.wait_text("dialog h2", "Add a range").await;
        assert_eq!(chromium.count("dialog [name=create_lists]:checked").await, 1);
        press(chromium, "dialog", "Close").await;
        chromium.vanishes("dialog").await;
        for section in SECTIONS {
            chromium.press(&format!("nav[aria-label='On this page'] a[href='#{section}']")).await;
            let seen = format!("((box) => box.bottom > 0 && box.top < innerHeight)(document.querySelector('#{section} h2').getBoundingClientRect())");
            eventually(&format!("#{section} is seen"), async || chromium.script(&seen).await == true).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_range_is_added_to_chosen_keys_after_a_look_at_what_it_would_refuse() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium, tag) = (look.desk, &look.desk.chromium, look.tag());
        let listed = desk.key(&json!({"name": format!("listed {tag}"), "allowed_cidrs": [HERE]})).await;
        let open = desk.key(&json!({"name": format!("<b>open</b> {tag}")})).await;
        desk.called(&listed, 1).await;
        desk.called(&open, 2).await;
        desk.security().await;
        chromium.press("#actions button").await;
        chromium.focuses("dialog [name=add]").await;
        chromium.shows("dialog .picks").await;
        look.is_clean("security-range").await;

        chromium.fill("dialog .picker [type=search]", &tag).await;
        for key in [&listed, &open] {
            chromium.press(&format!("dialog .picks input[data-key='{}']", key.id)).await;
        }
        chromium.wait_text("dialog .chosen", "2 keys chosen").await;
        let wrong = "203.0.113.7/24 Build servers\n# a comment\n198.51.100.7 <i>VPN</i>";
        chromium.fill("dialog [name=add]", wrong).await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog [data-field=add] .field-error", "203.0.113.7/24").await;
        chromium.focuses("dialog [name=add]").await;
        look.is_clean_but_for("security-range-refused", &Check::default().status(422)).await;
        assert_eq!(desk.value("dialog [name=add]").await, wrong);
        chromium.wait_text("dialog .chosen", "2 keys chosen").await;

        chromium.clear_and_fill("dialog [name=add]", &wrong.replace(".7/24", ".0/24")).await;
        chromium.press(SUBMIT).await;
        chromium
            .wait_text("dialog .note", "would have refused 0 of 3 calls. 1 key without a list stays as it is")
            .await;
        chromium.press("dialog [name=create_lists]").await;
        chromium.wait_text("dialog .note", "would have refused 2 of 3 calls.").await;
        look.is_clean("security-range-preview").await;
        assert_eq!(desk.shown(&open).await["allowed_cidrs"], Value::Null, "a look has changed something");

        chromium.press("dialog .actions .strong").await;
        chromium.wait_text("dialog", "2 keys changed, 0 left as they were.").await;
        look.is_clean("security-range-added").await;
        assert_eq!(chromium.count("dialog td i, dialog th b").await, 0, "a name or note is markup");
        chromium.press("dialog .actions .strong").await;
        chromium.vanishes("dialog").await;
        let (first, second) = (desk.shown(&listed).await, desk.shown(&open).await);
        assert_eq!(first["allowed_cidrs"], json!([HERE, OFFICE, "198.51.100.7/32"]));
        assert_eq!(second["allowed_cidrs"], json!([OFFICE, "198.51.100.7/32"]));
        assert_eq!(second["allowlist_notes"], json!({OFFICE: "Build servers", "198.51.100.7/32": "<i>VPN</i>"}));
        desk.judges(&listed, 200).await;
        desk.judges(&open, 403).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn keys_of_an_environment_without_a_list_get_one_only_when_that_is_said() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        if !look.tells_long_stories() {
            return;
        }
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let environment = if look.width == 360 { "staging" } else { "analytics" };
        let key = async |fields: Value| {
            let mut fields = fields;
            fields["environment"] = json!(environment);
            desk.key(&fields).await
        };
        let listed = key(json!({"name": "listed", "allowed_cidrs": [HERE]})).await;
        let open = key(json!({"name": "open"})).await;
        let already = key(json!({"name": "already", "allowed_cidrs": [OFFICE]})).await;
        let any = key(json!({"name": "any", "allowed_cidrs": ["0.0.0.0/1", HERE], "allow_any": true})).await;
        let elsewhere = desk.key(&json!({"name": "elsewhere", "allowed_cidrs": [HERE]})).await;
        desk.called(&open, 1).await;

        let begin = async || {
            desk.open(PAGE).await;
            chromium.press("#actions button").await;
            chromium.fill("dialog [name=add]", OFFICE).await;
            chromium.press("dialog [name=target][value=environment]").await;
            chromium.select("dialog [name=environment]", environment).await;
        };
        desk.sign_in().await;
        begin().await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog .note", "would have refused 0 of").await;
        look.is_clean("security-environment-preview").await;
        chromium.press("dialog .actions .strong").await;
        chromium.wait_text("dialog", "1 key changed, 3 left as they were.").await;
        let told = chromium.text("dialog").await;
        for reason in ["may be used from anywhere", "has these ranges already", "networks of any width"] {
            assert!(told.contains(reason), "{reason} is not told: {told}");
        }
        look.is_clean("security-environment-added").await;
        assert_eq!(desk.shown(&listed).await["allowed_cidrs"], json!([HERE, OFFICE]));
        assert_eq!(desk.shown(&open).await["allowed_cidrs"], Value::Null);
        desk.judges(&open, 200).await;

        begin().await;
        chromium.press("dialog [name=create_lists]").await;
        chromium.press(SUBMIT).await;
        chromium.shows("dialog .note.warn").await;
        chromium.press("dialog .actions .strong").await;
        chromium.wait_text("dialog", "1 key changed, 3 left as they were.").await;
        assert_eq!(desk.shown(&open).await["allowed_cidrs"], json!([OFFICE]));
        desk.judges(&open, 403).await;
        assert_eq!(desk.shown(&already).await["allowed_cidrs"], json!([OFFICE]));
        assert_eq!(desk.shown(&any).await["allow_any"], true);
        assert_eq!(desk.shown(&elsewhere).await["allowed_cidrs"], json!([HERE]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn the_organizations_list_is_set_changed_and_removed() {
    let desk = Desk::new().await;
    let key = desk.key(&json!({})).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let list = async || desk.read(SETTINGS).await["allowed_cidrs"].clone();
        desk.security().await;
        desk.at("organization-list").await;
        chromium.press("#organization-list .panel-head button").await;
        chromium.fill("dialog [name=allowed_cidrs]", "10.0.0.1/8\n203.0.113.0/24").await;
        chromium.fill("dialog [name=typed]", "acm").await;
        assert!(chromium.attribute(SUBMIT, "disabled").await.is_some(), "what has to be typed isn't yet");
        chromium.fill("dialog [name=typed]", "e").await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog .field-error", "10.0.0.1/8").await;
        look.is_clean_but_for("security-list-refused", &Check::default().status(422)).await;
        assert_eq!(desk.value("dialog [name=allowed_cidrs]").await, "10.0.0.1/8\n203.0.113.0/24");
        assert_eq!(list().await, Value::Null);

        chromium.clear_and_fill("dialog [name=allowed_cidrs]", OFFICE).await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("#organization-list", OFFICE).await;
        assert_eq!(list().await, json!([OFFICE]));
        desk.judges(&key, 403).await;

        // The page itself isn't held to it.
        chromium.press("#organization-list .panel-head button").await;
        chromium.fill("dialog [name=allowed_cidrs]", "\n127.0.0.1").await;
        chromium.fill("dialog [name=typed]", "acme").await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("#organization-list", HERE).await;
        assert_eq!(list().await, json!([OFFICE, HERE]));
        desk.judges(&key, 200).await;

        chromium.press("#organization-list .panel-head button + button").await;
        chromium.shows("dialog").await;
        look.is_clean("security-list-removed").await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("#organization-list", "No list").await;
        assert_eq!(list().await, Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn keys_that_a_shorter_lifespan_would_end_are_named_before_anything_ends() {
    let desk = Desk::new().await;
    let database = desk.scene.world.db.client().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let longest = async || desk.read(SETTINGS).await["max_lifespan_days"]["production"].clone();
        desk.asks("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": null}})).await;
        let name = format!("<i>old</i> {}", look.tag());
        let old = desk.key(&json!({"name": name})).await;
        // No request makes a key of former times.
        let text = "UPDATE key_versions SET created_at = created_at - interval '40 days' \
                    WHERE key_id = (SELECT id FROM keys WHERE name = $1)";
        assert_eq!(database.execute(text, &[&name]).await.unwrap(), 1);
        let young = desk.key(&json!({"name": "young"})).await;

        desk.security().await;
        desk.at("lifespans").await;
        chromium.press("button[aria-label='Change lifespans']").await;
        chromium.shows("dialog").await;
        look.is_clean("security-lifespans").await;
        chromium.clear_and_fill("dialog [name='max_lifespan_days.production']", "30").await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog:last-of-type .scroll", &name).await;
        look.is_clean_but_for("security-lifespans-ends", &Check::default().status(409)).await;
        chromium.press("dialog:last-of-type .actions button").await;
        chromium.wait_text("dialog .problem", "Nothing was changed.").await;
        assert_eq!(chromium.count("dialog").await, 1);
        assert_eq!(longest().await, 90);
        desk.judges(&old, 200).await;

        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog:last-of-type .danger", "Save and end").await;
        chromium.press("dialog:last-of-type .danger").await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("#lifespans", "30 days").await;
        chromium.wait_text("#notices", " ended.").await;
        assert_eq!(longest().await, 30);
        desk.judges(&old, 401).await;
        desk.judges(&young, 200).await;
        desk.asks("POST", &format!("{KEYS}/{}/revoke", old.id), &json!({})).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn what_developers_hand_out_and_what_an_old_token_leads_to_is_chosen() {
    let desk = Desk::new().await;
    let usual = desk.read(SETTINGS).await["developer_scopes"].clone();
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let kept = async |name: &str| desk.read(SETTINGS).await[name].clone();
        let change = "button[aria-label='Change what developers may hand out']";
        desk.security().await;
        desk.at("lifespans").await;
        chromium.press(change).await;
        chromium.shows("dialog [name=scope]:checked").await;
        look.is_clean("security-scopes").await;
        while chromium.count("dialog [name=scope]:checked").await > 0 {
            chromium.press("dialog [name=scope]:checked").await;
        }
        chromium.press(SUBMIT).await;
        eventually("it is refused at the scopes", async || {
            !chromium.text("dialog .scope-choices .field-error").await.is_empty()
        })
        .await;
        look.is_clean_but_for("security-scopes-refused", &Check::default().status(422)).await;
        chromium.press("dialog [name=scope][value='checks:read']").await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        assert_eq!(kept("developer_scopes").await, json!(["checks:read"]));
        chromium.focuses(change).await;
        chromium.key(Key::Enter).await;
        chromium.press("dialog [name=standard]").await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        assert_eq!(kept("developer_scopes").await, usual);

        let change = "button[aria-label='Change what the use of a rotated token leads to']";
        for policy in ["kill", "alert"] {
            chromium.press(change).await;
            chromium.press(&format!("dialog [name=reuse_policy][value={policy}]")).await;
            if policy == "kill" {
                look.is_clean("security-reuse").await;
            }
            chromium.press(SUBMIT).await;
            chromium.vanishes("dialog").await;
            assert_eq!(kept("reuse_policy").await, policy);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_rule_gets_another_threshold_and_does_something_by_itself() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let rule = async || {
            let rules = desk.read("/v1/orgs/acme/alert-rules").await["items"].clone();
            let found = rules.as_array().unwrap().iter().find(|rule| rule["rule"] == "call_rate").unwrap().clone();
            json!([found["threshold"], found["action"], found["action_limit"]])
        };
        let edit = "button[aria-label='Edit: Calls far above what one key may need']";
        let row = format!("#alert-rules tr:has({edit})");
        desk.security().await;
        desk.at("alert-rules").await;
        chromium.press(edit).await;
        chromium.clear_and_fill("dialog [name=threshold]", "1000000001").await;
        chromium.select("dialog [name=action]", "limit_rate").await;
        chromium.fill("dialog [name=action_limit]", "60").await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog [data-field=threshold] .field-error", "1,000,000,000").await;
        chromium.focuses("dialog [name=threshold]").await;
        look.is_clean_but_for("security-rule-refused", &Check::default().status(422)).await;
        assert_eq!(rule().await, json!([5_000, "none", null]));

        chromium.clear_and_fill("dialog [name=threshold]", "250").await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        chromium.wait_text(&row, "250 in 1 minute").await;
        chromium.wait_text(&row, "to 60 a minute").await;
        assert_eq!(rule().await, json!([250, "limit_rate", 60]));

        chromium.focuses(edit).await;
        chromium.key(Key::Enter).await;
        chromium.clear_and_fill("dialog [name=threshold]", "").await;
        chromium.select("dialog [name=action]", "none").await;
        look.is_clean("security-rule").await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        chromium.wait_text(&row, "5,000 in 1 minute").await;
        assert_eq!(rule().await, json!([5_000, "none", null]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn nobody_would_hear_that_a_key_ends_until_an_endpoint_does() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.security().await;
        desk.at("webhooks").await;
        chromium.wait_text("#webhooks .note.warn", "Nobody would hear that a key ends.").await;
        chromium.press("#webhooks .webhook-add button").await;
        // Nothing is sent there: no key ends in this test.
        chromium.fill("dialog [name=url]", "https://hooks.example.test/statuspulse").await;
        look.is_clean("security-webhook").await;
        chromium.press(SUBMIT).await;
        chromium.shows("dialog pre").await;
        chromium.press("dialog .actions .strong").await;
        chromium.vanishes("dialog").await;
        chromium.vanishes("#webhooks .note.warn").await;
        chromium.wait_text("#webhooks table", "1 endpoint").await;
        chromium.script("document.querySelector('#webhooks').scrollIntoView()").await;
        look.is_clean("security-heard").await;
        chromium.press("#webhooks .cards .panel-actions button:last-child").await;
        chromium.press("dialog .danger").await;
        chromium.vanishes("dialog").await;
        chromium.shows("#webhooks .note.warn").await;
    })
    .await;
}

//! What people do by the words that they read, and as somebody else than the owner.

use serde_json::json;
use statuspulse_testkit::{Person, eventually};

use crate::desk::Desk;

/// Marks what is to be pressed.
const MARK: &str = "data-meant";

impl Desk {
    /// Presses what says this and can be seen, within a part of the page.
    pub(crate) async fn press_named(&self, within: &str, words: &str) {
        let found = format!(
            "((words) => {{\
               document.querySelectorAll('[{MARK}]').forEach((it) => it.removeAttribute('{MARK}'));\
               const all = [...document.querySelectorAll({})].flatMap((part) => [...part.querySelectorAll('button, a, summary')]);\
               const it = all.find((one) => one.getClientRects().length && !one.disabled && one.textContent.trim() === words);\
               it?.setAttribute('{MARK}', '');\
               return Boolean(it);\
             }})({})",
            json!(within),
            json!(words)
        );
        eventually(&format!("{within} has `{words}`"), async || self.chromium.script(&found).await == json!(true))
            .await;
        self.chromium.press(&format!("[{MARK}]")).await;
    }

    /// Whether something of the page says this and can be pressed, at this moment.
    pub(crate) async fn offers(&self, within: &str, words: &str) -> bool {
        let found = format!(
            "[...document.querySelectorAll({})].some((part) => [...part.querySelectorAll('button, a')]\
             .some((one) => one.getClientRects().length && one.textContent.trim() === {}))",
            json!(within),
            json!(words)
        );
        self.chromium.script(&found).await == json!(true)
    }

    /// What stands in all fields that fit, in their order.
    pub(crate) async fn values(&self, selector: &str) -> Vec<String> {
        let values = self
            .chromium
            .script(&format!("[...document.querySelectorAll({})].map((it) => it.value)", json!(selector)))
            .await;
        values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// The texts of all that fit, in their order.
    pub(crate) async fn texts(&self, selector: &str) -> Vec<String> {
        let texts = self
            .chromium
            .script(&format!("[...document.querySelectorAll({})].map((it) => it.textContent)", json!(selector)))
            .await;
        texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// Gives somebody's email and password to the form of sign-in that the browser shows.
    pub(crate) async fn signs_in(&self, person: &Person) {
        self.chromium.clear_and_fill("#email", &person.email).await;
        self.chromium.fill("#password", &person.password).await;
        self.chromium.press("form[action='/login'] button").await;
        self.chromium.vanishes("#password").await;
    }
}

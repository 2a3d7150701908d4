//! What stands in the fields and lists of a page, and signing in by hand.

use serde_json::json;
use statuspulse_testkit::Person;

use crate::desk::Desk;

impl Desk {
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

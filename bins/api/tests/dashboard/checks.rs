//! What every page of ours has to stand, whatever it shows.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    axe,
    browser::{Chromium, Complaint},
};

/// How far a page may jump while it loads, summed over all jumps (1 is a whole window).
const MAX_SHIFT: f64 = 0.02;

/// What the first page may weigh with all that it brings along, in bytes.
pub(crate) const FIRST_PAGE: u64 = 60 * 1_024;

/// Has the browser note what is needed here, in each document from here on.
pub(crate) async fn watch(browser: &Chromium) {
    browser.before_every_page(include_str!("watch.js")).await;
}

/// Fails with all that is wrong with the page as it stands there, and with what was complained about on the way to it.
///
/// # Panics
/// Also when the page was opened before [`watch`].
pub(crate) async fn assert_clean(browser: &Chromium, name: &str) {
    Check::default().passes(browser, name).await;
}

/// A check that lets pass what a test provokes on purpose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Check {
    statuses: BTreeSet<u16>,
    offline: bool,
}

impl Check {
    /// Lets requests fail with this status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.statuses.insert(status);
        self
    }

    /// Lets requests fail because there is no network.
    pub(crate) const fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Fails with all that is wrong with the page.
    pub(crate) async fn passes(&self, browser: &Chromium, name: &str) {
        let found = self.findings(browser).await;
        assert!(found.is_empty(), "{name} is not clean:\n- {}", found.join("\n- "));
    }

    /// All that is wrong with the page, a line or more each.
    pub(crate) async fn findings(&self, browser: &Chromium) -> Vec<String> {
        let told = browser.script_async("window.statuspulseWatch?.told()").await;
        assert!(told.is_object(), "the page was opened before anything was watched");
        let log = browser.log().await;
        let complaints = log.into_iter().filter(|complaint| !self.allows(complaint));
        let mut found: Vec<String> =
            complaints.map(|Complaint { level, source, text }| format!("log: {level} of {source}: {text}")).collect();
        found.extend(told["failures"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()));
        found.extend(shifted(&told["shifts"]));
        found.extend(sideways(browser).await);
        found.extend(axe::findings(browser).await);
        found
    }

    fn allows(&self, Complaint { level, source, text }: &Complaint) -> bool {
        // Every browser asks for it by itself.
        let is_icon = text.contains("/favicon.ico - ");
        let is_loud = level == "SEVERE" || level == "WARNING";
        let is_network = source == "network";
        let status = text.split_once("responded with a status of ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        let is_provoked = status.is_some_and(|status| self.statuses.contains(&status))
            || self.offline && text.contains("net::ERR_INTERNET_DISCONNECTED");
        !is_loud || is_network && (is_icon || is_provoked)
    }
}

/// Whether the page has jumped too far.
fn shifted(shifts: &Value) -> Option<String> {
    let shifts = shifts.as_array().unwrap();
    let sum: f64 = shifts.iter().map(|shift| shift["value"].as_f64().unwrap()).sum();
    let of: Vec<String> = shifts.iter().map(|shift| format!("{} by {}", shift["of"], shift["value"])).collect();
    (sum > MAX_SHIFT).then(|| format!("layout: the page jumps by {sum:.3}: {}", of.join(", ")))
}

/// Whether one has to scroll sideways to see all of it.
async fn sideways(browser: &Chromium) -> Option<String> {
    let wide = browser.script(include_str!("sideways.js")).await;
    let over = wide["over"].as_i64()?;
    Some(format!("layout: the page is {over} pixels wider than its window: {}", wide["of"]))
}

/// What a page and all that it brought along weigh.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Bytes as they are sent, without any that a cache could have saved.
    pub(crate) bytes: u64,
    /// `bytes address` of each answer, for the message of a failure.
    pub(crate) answers: Vec<String>,
}

/// What the document that the browser shows has loaded until now.
pub(crate) async fn loaded(browser: &Chromium) -> Load {
    let entries = browser
        .script(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]\
             .map((entry) => [entry.name, Math.max(entry.encodedBodySize, entry.transferSize)])",
        )
        .await;
    let entries = entries.as_array().unwrap();
    let bytes = |entry: &Value| entry[1].as_u64().unwrap();
    Load {
        bytes: entries.iter().map(bytes).sum(),
        answers: entries
            .iter()
            .map(|entry| format!("{} {}", bytes(entry), entry[0].as_str().unwrap_or_default()))
            .collect(),
    }
}

//! Using a page by the words on it, as a person does who has never seen its source.

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::browser::Chromium;

/// Finds the first thing within a part that can be seen and used and has exactly these words, as its label or its text; its
/// place in the document, which it keeps when its part is drawn anew.
const FIND: &str = "((within, words) => {
  const says = (it) => [it.getAttribute('aria-label'), it.innerText, ...[...(it.labels ?? [])].map((label) => label.innerText)];
  const parts = [...document.querySelectorAll(within)];
  const all = parts.flatMap((part) => [...part.querySelectorAll('button, a, summary, input, select, textarea')]);
  let it = all.find((one) => one.checkVisibility() && !one.disabled && says(one).some((text) => text?.trim().replace(/\\s+/g, ' ') === words));
  const path = [];
  for (; it?.parentElement; it = it.parentElement) {
    path.unshift(`${it.localName}:nth-child(${[...it.parentElement.children].indexOf(it) + 1})`);
  }
  return path.join(' > ') || null;
})";

async fn find(browser: &Chromium, within: &str, words: &str) -> Option<String> {
    let place = browser.script(&format!("{FIND}({}, {})", json!(within), json!(words))).await;
    place.as_str().map(|path| format!("html > {path}"))
}

/// Waits until something within a part of the page has these words; a selector for it.
pub(crate) async fn meant(browser: &Chromium, within: &str, words: &str) -> String {
    let mut found = None;
    eventually(&format!("`{within}` has `{words}`"), async || {
        found = find(browser, within, words).await;
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Waits until something within a part of the page has these words, and presses it.
pub(crate) async fn press(browser: &Chromium, within: &str, words: &str) {
    let it = meant(browser, within, words).await;
    browser.press(&it).await;
}

/// Whether nothing within a part of the page has these words now.
pub(crate) async fn lacks(browser: &Chromium, within: &str, words: &str) -> bool {
    find(browser, within, words).await.is_none()
}

//! Using a page by the words on it, as a person does who has never seen its source.

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::browser::Chromium;

/// Marks the first thing within a part that can be seen and used and has exactly these words: its label or its text.
const MARK: &str = "((within, words) => {
  for (const it of document.querySelectorAll('[data-meant]')) it.removeAttribute('data-meant');
  const says = (it) => [it.getAttribute('aria-label'), it.innerText, ...[...(it.labels ?? [])].map((label) => label.innerText)];
  const parts = [...document.querySelectorAll(within)];
  const all = parts.flatMap((part) => [...part.querySelectorAll('button, a, summary, input, select, textarea')]);
  const found = all.find((it) => it.checkVisibility() && says(it).some((text) => text?.trim() === words));
  found?.setAttribute('data-meant', '');
  return Boolean(found);
})";

/// Waits until something within a part of the page has these words; a selector for it.
pub(crate) async fn meant(browser: &Chromium, within: &str, words: &str) -> &'static str {
    let mark = format!("{MARK}({}, {})", json!(within), json!(words));
    eventually(&format!("`{within}` has `{words}`"), async || browser.script(&mark).await == json!(true)).await;
    "[data-meant]"
}

/// Waits until something within a part of the page has these words, and presses it.
pub(crate) async fn press(browser: &Chromium, within: &str, words: &str) {
    let it = meant(browser, within, words).await;
    browser.press(it).await;
}

/// Whether nothing within a part of the page has these words now.
pub(crate) async fn lacks(browser: &Chromium, within: &str, words: &str) -> bool {
    browser.script(&format!("{MARK}({}, {})", json!(within), json!(words))).await == json!(false)
}

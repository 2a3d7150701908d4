//! The rules of accessibility: axe-core.

use std::fs;

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{browser::Chromium, npm};

/// How many elements of a rule are named.
const NAMED: usize = 5;

/// The program, to be run in a page.
async fn program() -> &'static str {
    static PROGRAM: OnceCell<String> = OnceCell::const_new();
    PROGRAM.get_or_init(async || fs::read_to_string(npm::axe().await).unwrap()).await
}

/// The rules of WCAG 2.0, 2.1 and 2.2 (A and AA) and of good practice that the page breaks, and where.
pub(crate) async fn findings(browser: &Chromium) -> Vec<String> {
    // The protocol runs it, which a page's policy does not hold.
    if browser.script("typeof axe").await == "undefined" {
        browser.runs(program().await).await;
    }
    let violations = browser.script_async(include_str!("rules.js")).await;
    violations.as_array().unwrap().iter().map(finding).collect()
}

fn finding(violation: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let nodes = violation["nodes"].as_array().unwrap();
    let (id, help, count) = (text(&violation["id"]), text(&violation["help"]), nodes.len());
    let mut lines = vec![format!("axe: {id} ({}): {help} [{count}x]", text(&violation["impact"]))];
    lines.extend(nodes.iter().take(NAMED).map(|node| format!("    {}: {}", text(&node["target"]), text(&node["why"]))));
    lines.join("\n")
}

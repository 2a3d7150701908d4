//! The checks find what they are for, and the browser does what it is told: with a small server whose pages are bad on purpose.

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{
    browser::{Chromium, Key, Scheme},
    checks::{Check, loaded, watch},
    loopback::Loopback,
};

/// The policy of a page that allows no inline program.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'";
/// A program that a page loads, since its policy allows no other.
const PROGRAM: &str = "/program.js";

/// Enough for a jump of its second part to be seen.
const TALL: &str = "<p id=\"first\">One</p><ul id=\"second\"><li>Two<li>Two<li>Two<li>Two<li>Two<li>Two<li>Two<li>Two<li>Two\
                    <li>Two<li>Two<li>Two</ul>";

/// A page with nothing to be found, but for what `main` adds.
fn page(main: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><title>A page</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"></head>\
         <body><main><h1>A page</h1>{main}</main></body></html>"
    )
}

fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nContent-Security-Policy: {POLICY}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A watched browser at a page with this in `main`, which loads this program.
struct Visit {
    chromium: Chromium,
    server: Loopback,
}

impl Visit {
    async fn of(main: &str, program: &str) -> Self {
        let (page, program) = (page(&format!("{main}<script src=\"{PROGRAM}\"></script>")), program.to_owned());
        let server = Loopback::start(move |request| {
            let answer = match request.path() {
                "/" => answer("200 OK", "text/html", &page),
                PROGRAM => answer("200 OK", "text/javascript", &program),
                _ => answer("404 Not Found", "text/plain", "nothing here"),
            };
            Box::pin(async move { answer })
        })
        .await;
        let visit = Self { chromium: Chromium::start().await, server };
        watch(&visit.chromium).await;
        visit.chromium.measure(360, 740).await;
        visit.chromium.open(&visit.origin()).await;
        visit
    }

    fn origin(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// All that is found, in one text.
    async fn found(&self) -> String {
        self.found_by(&Check::default()).await
    }

    async fn found_by(&self, check: &Check) -> String {
        check.findings(&self.chromium).await.join("\n")
    }
}

/// What is found in a page with something planted.
async fn found(main: &str, program: &str) -> String {
    Visit::of(main, program).await.found().await
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn nothing_is_found_in_a_clean_page() {
    assert_eq!(found("<p>Nothing is wrong here.</p>", "console.info('so it is')").await, "");
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_program_that_the_policy_refuses_is_found() {
    let found = found("<script>planted()</script>", "").await;
    assert!(found.contains("policy: script-src-elem refuses inline"), "{found}");
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_field_without_a_label_is_found_and_named() {
    let found = found("<input id=\"planted\">", "").await;
    assert!(found.contains("axe: label (critical)") && found.contains("#planted: "), "{found}");
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn errors_and_warnings_of_the_console_are_found() {
    let found = found("", "console.error('planted error'); console.warn('planted warning')").await;
    assert!(found.contains("planted error") && found.contains("planted warning"), "{found}");
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn an_error_and_a_promise_that_nobody_catches_are_found() {
    let found = found("", "Promise.reject('planted promise'); throw new Error('planted throw')").await;
    assert!(
        found.contains("unhandled rejection: planted promise")
            && found.contains("error: Uncaught Error: planted throw"),
        "{found}"
    );
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_page_that_scrolls_sideways_is_found_with_what_is_too_wide() {
    let found = found("<p id=\"planted\">Wide</p>", "planted.style.width = '500px'").await;
    assert!(found.contains("pixels wider than its window: [\"p#planted\"]"), "{found}");
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_page_that_jumps_is_found_with_what_jumps() {
    let visit = Visit::of(TALL, "").await;
    // Painted before, since what nobody has seen can't jump.
    visit.chromium.script_async("statuspulseWatch.told()").await;
    visit.chromium.script("first.style.height = '300px'").await;
    let found = visit.found().await;
    assert!(found.contains("layout: the page jumps by 0.") && found.contains("ul#second"), "{found}");
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn what_moves_after_a_key_is_no_jump() {
    let visit = Visit::of(TALL, "addEventListener('keydown', () => { first.style.height = '300px' })").await;
    visit.chromium.script_async("statuspulseWatch.told()").await;
    visit.chromium.key(Key::Escape).await;
    let height = visit.chromium.script("first.offsetHeight").await;
    assert_eq!((height, visit.found().await.as_str()), (json!(300), ""));
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_request_that_fails_is_found_unless_its_status_is_allowed() {
    let visit = Visit::of("<p id=\"state\">asking</p>", "").await;
    let ask = "fetch('/gone').then((answer) => answer.status)";
    assert_eq!(visit.chromium.script_async(ask).await, json!(404));
    let found = visit.found().await;
    visit.chromium.script_async(ask).await;
    let allowed = visit.found_by(&Check::default().status(404)).await;
    assert!(found.contains("a status of 404") && allowed.is_empty(), "{found}\n{allowed}");
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_page_without_a_network_fails_in_the_ways_that_are_allowed_then() {
    let visit = Visit::of("", "").await;
    let ask = "fetch('/').then(() => 'answered', () => 'failed')";
    visit.chromium.offline(true).await;
    let without = (visit.chromium.script_async(ask).await, visit.chromium.script("navigator.onLine").await);
    visit.chromium.offline(false).await;
    let with = (visit.chromium.script_async(ask).await, visit.chromium.script("navigator.onLine").await);
    assert_eq!((without, with), ((json!("failed"), json!(false)), (json!("answered"), json!(true))));
    assert_eq!(visit.found_by(&Check::default().offline()).await, "");
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn a_load_is_the_page_and_what_it_brings_along() {
    let program = format!("/* {} */", "x".repeat(10_000));
    let visit = Visit::of("", &program).await;
    let load = loaded(&visit.chromium).await;
    assert!(load.answers.len() == 2 && (10_000..12_000).contains(&load.bytes), "{load:?}");
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn a_page_is_told_the_colours_of_the_system_also_when_it_is_opened_again() {
    let visit = Visit::of("", "").await;
    let dark = "matchMedia('(prefers-color-scheme: dark)').matches";
    let mut seen = Vec::new();
    for scheme in [Scheme::Dark, Scheme::Light, Scheme::Dark] {
        visit.chromium.prefers(scheme).await;
        visit.chromium.open(&visit.origin()).await;
        seen.push(visit.chromium.script(dark).await);
    }
    assert_eq!(seen, [json!(true), json!(false), json!(true)]);
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn fields_take_what_a_person_gives_them() {
    let main = "<input id=\"name\" value=\"old\"><select id=\"kind\"><option value=\"a\">A<option value=\"b\">B</select>\
                <p id=\"said\" class=\"quiet\"></p>";
    let program = "kind.addEventListener('input', () => { said.textContent = `${document.getElementById('name').value} ${kind.value}` })";
    let visit = Visit::of(main, program).await;
    visit.chromium.clear_and_fill("#name", "new").await;
    visit.chromium.select("#kind", "b").await;
    visit.chromium.wait_text("#said", "new b").await;
    assert_eq!(
        (visit.chromium.text("#said").await, visit.chromium.attribute("#said", "class").await),
        ("new b".to_owned(), Some("quiet".to_owned()))
    );
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn keys_go_where_the_keyboard_is() {
    let main = "<button id=\"one\">One</button><button id=\"two\">Two</button><p id=\"said\">-</p>";
    let program = "addEventListener('keydown', (event) => { said.textContent += ` ${event.code}` });\
                   two.addEventListener('click', () => { said.textContent += ' pressed' })";
    let visit = Visit::of(main, program).await;
    visit.chromium.key(Key::Tab).await;
    visit.chromium.key(Key::Tab).await;
    visit.chromium.focuses("#two").await;
    visit.chromium.key(Key::Enter).await;
    visit.chromium.key(Key::Space).await;
    visit.chromium.key(Key::Escape).await;
    visit.chromium.key(Key::Down).await;
    visit.chromium.chord(&[Key::Shift, Key::Tab]).await;
    visit.chromium.focuses("#one").await;
    let active = visit.chromium.active_element().await;
    assert_eq!(
        (visit.chromium.text("#said").await.as_str(), active.as_str()),
        ("- Tab Tab Enter pressed Space pressed Escape ArrowDown ShiftLeft Tab", "button#one")
    );
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn what_a_page_copies_is_in_the_clipboard() {
    let program = "copy.addEventListener('click', () => navigator.clipboard.writeText('copied'))";
    let visit = Visit::of("<button id=\"copy\">Copy</button>", program).await;
    visit.chromium.allow_clipboard(&visit.origin()).await;
    visit.chromium.press("#copy").await;
    eventually("it is copied", async || visit.chromium.clipboard().await == "copied").await;
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn a_browser_forgets_a_cookie_and_all_of_an_origin() {
    let visit = Visit::of("", "document.cookie = 'one=1'; document.cookie = 'two=2'; localStorage.three = 3").await;
    visit.chromium.forget_cookie("one").await;
    let after_one = visit.chromium.cookies().await;
    visit.chromium.forget_all(&visit.origin()).await;
    visit.chromium.open(&format!("{}/elsewhere", visit.origin())).await;
    let after_all = visit.chromium.script("[document.cookie, localStorage.length]").await;
    assert_eq!((after_one, after_all), (vec!["two".to_owned()], json!(["", 0])));
}

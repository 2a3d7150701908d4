//! The person's part without a browser: follows redirects by hand, fills in what the pages ask for.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    client::{encoded, hidden, ticked},
    http::{Ask, Reply},
    loopback::{Loopback, answer},
};

/// Somebody with an account, at a browser that has no cookies yet.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    service: SocketAddr,
    email: String,
    password: String,
    cookies: BTreeMap<String, String>,
}

impl Person {
    pub(crate) fn new(service: SocketAddr, email: &str, password: &str) -> Self {
        Self { service, email: email.to_owned(), password: password.to_owned(), cookies: BTreeMap::new() }
    }

    /// Goes where a client sends it, signs in, decides on everything that is asked for; answers where it is sent then.
    pub(crate) async fn decide(mut self, url: &str, decision: &str) -> String {
        let path = url.strip_prefix(&format!("http://{}", self.service)).expect("an address of the service");
        let sign_in = self.get(path).await;
        let sign_in = self.get(sent_to(&sign_in)).await;
        let (csrf, request) = (hidden(&sign_in.text(), "csrf_token"), hidden(&sign_in.text(), "request"));
        let (email, password) = (self.email.clone(), self.password.clone());
        let form = [("csrf_token", &*csrf), ("request", &request), ("email", &email), ("password", &password)];
        let signed_in = self.post("/login", &form).await;
        let consent = self.get(sent_to(&signed_in)).await;
        let page = consent.text();
        assert_eq!(consent.status, 200, "not a consent page: {page}");
        let (csrf, request, scopes) = (hidden(&page, "csrf_token"), hidden(&page, "request"), ticked(&page));
        let mut form = vec![("csrf_token", &*csrf), ("request", &request), ("decision", decision)];
        form.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        let decided = self.post("/oauth/authorize", &form).await;
        sent_to(&decided).to_owned()
    }

    async fn get(&mut self, path: &str) -> Reply {
        let ask = Ask::new(self.service, "GET", path);
        self.send(ask).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Reply {
        let ask = Ask::new(self.service, "POST", path).header("Content-Type", "application/x-www-form-urlencoded");
        self.send(ask.body(encoded(form).as_bytes())).await
    }

    async fn send(&mut self, ask: Ask) -> Reply {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let reply = ask.header("Cookie", &cookies.join("; ")).send().await;
        for (_, cookie) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        reply
    }

    /// A door through which client programs ask for the person's part: they POST the address that they would open in a
    /// browser to `/allow` or `/deny`, and get the address that the browser is sent back to.
    pub(crate) async fn door(self) -> Loopback {
        Loopback::start(move |request| {
            let person = self.clone();
            Box::pin(async move {
                let decision = request.path().trim_start_matches('/');
                answer("200 OK", "text/plain", &person.decide(&request.text(), decision).await)
            })
        })
        .await
    }
}

/// Where a redirect leads.
fn sent_to(reply: &Reply) -> &str {
    assert_eq!(reply.status, 303, "no redirect: {}", reply.text());
    reply.header("location").unwrap()
}

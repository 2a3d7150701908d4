//! OAuth through the API in process: apps, a person's decision, tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use statuspulse_auth::REQUEST_ID;

use crate::support::{Api, Ask, Browser, PUBLIC_URL, Reply, World};

/// The redirect URI of the usual confidential app.
pub(crate) const REDIRECT: &str = "https://app.example/cb";
/// The usual `state`.
pub(crate) const STATE: &str = "st-12345678";
/// A verifier and its challenge (RFC 7636, appendix B).
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A registered app with its secret.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) app: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) redirect: String,
}

impl Client {
    /// The Basic header.
    pub(crate) fn basic(&self) -> String {
        basic(&self.id, &self.secret)
    }
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Tokens of a grant.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text);
        let json = reply.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// A query or form.
pub(crate) fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The parameters of a redirect's query, decoded.
pub(crate) fn parameters(location: &str) -> Vec<(String, String)> {
    let url = url::Url::parse(location).unwrap();
    url.query_pairs().into_owned().collect()
}

/// One parameter of a redirect's query.
pub(crate) fn parameter(location: &str, name: &str) -> Option<String> {
    parameters(location).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The value of a hidden input.
pub(crate) fn hidden(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name} in {page}"));
    let (_, rest) = rest.split_once("value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

impl Ask<'_> {
    /// A form as browsers and clients send it.
    pub(crate) fn form(self, pairs: &[(&str, &str)]) -> Self {
        self.raw_form(encoded(pairs))
    }

    /// A form byte for byte.
    pub(crate) fn raw_form(self, body: impl Into<actix_web::web::Bytes>) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    /// The client's Basic header.
    pub(crate) fn client(self, client: &Client) -> Self {
        self.header("authorization", client.basic())
    }
}

impl Reply {
    /// Status and `error`: what most tests of the token endpoint ask for.
    pub(crate) fn refused(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    /// Where the redirect goes.
    pub(crate) fn location(&self) -> &str {
        self.header("location")
    }

    /// The id of the request.
    pub(crate) fn request_id(&self) -> &str {
        self.header(REQUEST_ID)
    }
}

/// The usual confidential app: `C` of the spec.
pub(crate) fn confidential() -> Value {
    json!({
        "name": "Deploy Bot", "kind": "confidential", "redirect_uris": [REDIRECT],
        "scopes": ["monitoring:read", "alerts:write", "incidents:write"], "default_scopes": ["monitoring:read"],
    })
}

/// The usual public app: `PUB` of the spec.
pub(crate) fn public() -> Value {
    json!({
        "name": "Command line", "kind": "public", "redirect_uris": ["http://127.0.0.1/cb"],
        "scopes": ["monitoring:read", "alerts:write"], "default_scopes": ["monitoring:read"],
    })
}

/// A resource server: `RS` of the spec.
pub(crate) fn resource_server() -> Value {
    json!({
        "name": "Gateway", "kind": "confidential", "redirect_uris": ["https://gateway.example/cb"],
        "scopes": ["credentials:verify"],
    })
}

/// `app` with other fields.
pub(crate) fn with(mut app: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        app[name] = value.clone();
    }
    app
}

impl World {
    /// Registers an app as the owner.
    pub(crate) async fn app(&self, body: Value) -> Client {
        let reply = self.owner("POST", "/v1/orgs/acme/apps", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        let json = reply.json();
        Client {
            app: json["app"]["id"].as_str().unwrap().to_owned(),
            id: json["client_id"].as_str().unwrap().to_owned(),
            secret: json["client_secret"].as_str().unwrap_or_default().to_owned(),
            redirect: json["app"]["redirect_uris"][0].as_str().unwrap().to_owned(),
        }
    }

    /// Changes an app as the owner.
    pub(crate) async fn change_app(&self, client: &Client, fields: &Value) -> Reply {
        self.owner("PATCH", &format!("/v1/orgs/acme/apps/{}", client.app), fields).await
    }

    /// The usual authorization request (`AZ` of the spec), signed in as the owner, with some parameters replaced; an empty
    /// value takes one out.
    pub(crate) async fn authorize(&self, client: &Client, replaced: &[(&str, &str)]) -> Reply {
        self.api.authorize(&self.owner, client, replaced).await
    }

    /// The code of a decision: everything that is asked for is allowed.
    pub(crate) async fn code(&self, client: &Client) -> String {
        self.code_for(client, &[]).await
    }

    /// The same for a request with some parameters replaced.
    pub(crate) async fn code_for(&self, client: &Client, replaced: &[(&str, &str)]) -> String {
        let reply = self.authorize(client, replaced).await;
        let reply = if reply.status == 200 { self.api.allow(&self.owner, &reply).await } else { reply };
        parameter(reply.location(), "code").unwrap_or_else(|| panic!("no code: {} {}", reply.status, reply.location()))
    }

    /// Redeems a code as its client does (`TK` of the spec).
    pub(crate) async fn redeem(&self, client: &Client, code: &str) -> Reply {
        self.api.redeem(client, code, &[]).await
    }

    /// Tokens of a fresh grant.
    pub(crate) async fn tokens(&self, client: &Client) -> Tokens {
        let code = self.code(client).await;
        Tokens::of(&self.redeem(client, &code).await)
    }

    /// Trades a refresh token.
    pub(crate) async fn refresh(&self, client: &Client, token: &str) -> Reply {
        self.api.refresh(client, token, &[]).await
    }

    /// Whether a token is live, as its own client is told.
    pub(crate) async fn is_active(&self, client: &Client, token: &str) -> bool {
        self.api.introspect(client, token).await.json()["active"].as_bool().unwrap()
    }
}

impl Api {
    pub(crate) async fn authorize(&self, browser: &Browser, client: &Client, replaced: &[(&str, &str)]) -> Reply {
        self.get(&authorize_path(client, replaced)).cookie(browser).send().await
    }

    /// Presses Allow on a consent page, every box ticked.
    pub(crate) async fn allow(&self, browser: &Browser, page: &Reply) -> Reply {
        let scopes = ticked(&page.text);
        let names: Vec<&str> = scopes.iter().map(String::as_str).collect();
        self.decide(browser, page, "allow", &names).await
    }

    /// Answers a consent page.
    pub(crate) async fn decide(&self, browser: &Browser, page: &Reply, decision: &str, scopes: &[&str]) -> Reply {
        assert_eq!(page.status, 200, "not a consent page: {} {}", page.status, page.location());
        let (handle, csrf) = (hidden(&page.text, "request"), hidden(&page.text, "csrf_token"));
        let mut form = vec![("request", handle.as_str()), ("csrf_token", &csrf), ("decision", decision)];
        form.extend(scopes.iter().map(|name| ("scope", *name)));
        self.post("/oauth/authorize").cookie(browser).header("origin", PUBLIC_URL).form(&form).send().await
    }

    pub(crate) async fn redeem(&self, client: &Client, code: &str, more: &[(&str, &str)]) -> Reply {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &client.redirect),
            ("code_verifier", VERIFIER),
        ];
        replace(&mut form, more);
        self.at(client, "/oauth/token", &mut form).await
    }

    pub(crate) async fn refresh(&self, client: &Client, token: &str, more: &[(&str, &str)]) -> Reply {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        replace(&mut form, more);
        self.at(client, "/oauth/token", &mut form).await
    }

    pub(crate) async fn revoke(&self, client: &Client, token: &str) -> Reply {
        self.at(client, "/oauth/revoke", &mut vec![("token", token)]).await
    }

    pub(crate) async fn introspect(&self, client: &Client, token: &str) -> Reply {
        self.at(client, "/oauth/introspect", &mut vec![("token", token)]).await
    }

    /// A form from a client: with its secret, or with its id alone.
    async fn at<'f>(&self, client: &'f Client, path: &str, form: &mut Vec<(&'f str, &'f str)>) -> Reply {
        let ask = self.post(path);
        if client.secret.is_empty() {
            form.push(("client_id", &client.id));
            ask.form(form).send().await
        } else {
            ask.client(client).form(form).send().await
        }
    }
}

/// The usual authorization request with some parameters replaced; an empty value takes one out.
pub(crate) fn authorize_path(client: &Client, replaced: &[(&str, &str)]) -> String {
    let mut query = vec![
        ("response_type", "code"),
        ("client_id", client.id.as_str()),
        ("redirect_uri", client.redirect.as_str()),
        ("scope", "monitoring:read"),
        ("state", STATE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    replace(&mut query, replaced);
    format!("/oauth/authorize?{}", encoded(&query))
}

fn replace<'a>(form: &mut Vec<(&'a str, &'a str)>, replaced: &[(&'a str, &'a str)]) {
    form.retain(|(name, _)| !replaced.iter().any(|(other, _)| other == name));
    form.extend(replaced.iter().filter(|(_, value)| !value.is_empty()));
}

/// The scopes of a consent page's ticked boxes.
pub(crate) fn ticked(page: &str) -> Vec<String> {
    let inputs = page.split("<input").skip(1).map(|rest| rest.split_once('>').unwrap().0);
    inputs
        .filter(|input| input.contains("name=\"scope\"") && input.contains("checked"))
        .map(|input| input.split_once("value=\"").unwrap().1.split_once('"').unwrap().0.to_owned())
        .collect()
}

//! The crate `oauth2`, which knows no discovery and brings no HTTP of its own.

use std::convert::Infallible;

use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IntrospectionUrl, PkceCodeChallenge, RedirectUrl, RefreshToken, RequestTokenError, RevocationUrl,
    Scope, StandardRevocableToken, TokenIntrospectionResponse as _, TokenResponse as _, TokenUrl,
    basic::{BasicClient, BasicRequestTokenError, BasicTokenResponse},
};
use serde_json::{Value, json};

use crate::{client::parameter, http::Ask, person::Person};

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointSet, EndpointSet, EndpointSet>;
type Failure = BasicRequestTokenError<Infallible>;

/// Sends a request plainly over loopback, also where the library wants `https`: it stands for what ends TLS.
async fn plainly(request: HttpRequest) -> Result<HttpResponse, Infallible> {
    let uri = request.uri();
    let address = uri.authority().unwrap().as_str().parse().unwrap();
    let mut ask = Ask::new(address, request.method().as_str(), uri.path());
    for (name, value) in request.headers() {
        ask = ask.header(name.as_str(), value.to_str().unwrap());
    }
    let reply = ask.body(request.body()).send().await;
    let mut response = oauth2::http::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(reply.body).unwrap())
}

/// An app that is written with the crate.
pub(crate) struct App {
    client: Client,
    person: Person,
    scope: Scope,
}

impl App {
    /// Reads the metadata as an app's author would, and sets the client up.
    pub(crate) async fn new(settings: &Value, person: Person) -> Self {
        let text = |name: &str| settings[name].as_str().unwrap().to_owned();
        let address = text("issuer").strip_prefix("http://").unwrap().parse().unwrap();
        let metadata = Ask::new(address, "GET", "/.well-known/oauth-authorization-server").send().await.json();
        let endpoint = |name: &str| metadata[name].as_str().unwrap().to_owned();
        // The library revokes over TLS only.
        let revocation = endpoint("revocation_endpoint").replace("http://", "https://");
        let mut client = BasicClient::new(ClientId::new(text("client_id")))
            .set_auth_uri(AuthUrl::new(endpoint("authorization_endpoint")).unwrap())
            .set_token_uri(TokenUrl::new(endpoint("token_endpoint")).unwrap())
            .set_introspection_url(IntrospectionUrl::new(endpoint("introspection_endpoint")).unwrap())
            .set_revocation_url(RevocationUrl::new(revocation).unwrap())
            .set_redirect_uri(RedirectUrl::new(text("redirect_uri")).unwrap());
        if !text("client_secret").is_empty() {
            client = client.set_client_secret(ClientSecret::new(text("client_secret")));
        }
        Self { client, person, scope: Scope::new(text("scope")) }
    }

    async fn tokens(&self) -> Result<BasicTokenResponse, Failure> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let request = self.client.authorize_url(CsrfToken::new_random).add_scope(self.scope.clone());
        let (url, state) = request.set_pkce_challenge(challenge).url();
        let back = self.person.clone().decide(url.as_str(), "allow").await;
        assert_eq!(parameter(&back, "state").as_ref(), Some(state.secret()));
        let code = AuthorizationCode::new(parameter(&back, "code").unwrap());
        self.client.exchange_code(code).set_pkce_verifier(verifier).request_async(&plainly).await
    }

    /// Does the step of this name, as the programs of `node/` and `python/` do.
    pub(crate) async fn step(&self, name: &str) -> Value {
        match name {
            "code" => json!(self.tokens().await.unwrap()),
            "refresh" => {
                let first = self.tokens().await.unwrap();
                let token = refresh_token(&first);
                let second = self.client.exchange_refresh_token(&token).request_async(&plainly).await.unwrap();
                json!({"first": first, "second": second})
            }
            "introspect" => self.introspect(&self.tokens().await.unwrap()).await,
            "revoke" => {
                let tokens = self.tokens().await.unwrap();
                let token = StandardRevocableToken::RefreshToken(refresh_token(&tokens));
                self.client.revoke_token(token).unwrap().request_async(&plainly).await.unwrap();
                self.introspect(&tokens).await
            }
            "own" => {
                let request = self.client.exchange_client_credentials().add_scope(self.scope.clone());
                json!(request.request_async(&plainly).await.unwrap())
            }
            "wrong_secret" => match self.tokens().await {
                Err(RequestTokenError::ServerResponse(error)) => json!({"error": error.error()}),
                other => panic!("{other:?}"),
            },
            other => panic!("no step {other}"),
        }
    }

    async fn introspect(&self, tokens: &BasicTokenResponse) -> Value {
        let answer = self.client.introspect(tokens.access_token()).request_async(&plainly).await.unwrap();
        assert_eq!(answer.client_id(), answer.active().then(|| self.client.client_id()));
        json!(answer)
    }
}

fn refresh_token(tokens: &BasicTokenResponse) -> RefreshToken {
    tokens.refresh_token().unwrap().clone()
}

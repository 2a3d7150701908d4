//! What an app gets done with a library that its developer took as it is.

use serde_json::{Value, json};

use crate::{
    client::with,
    oauth2_crate::App,
    packages,
    scene::{Developer, SCOPE, confidential, public},
};

/// A library, or our program around one.
#[derive(Clone, Copy)]
enum Library {
    Node(&'static str),
    Python(&'static str),
    Crate,
}

impl Library {
    /// Does a step with the developer's settings.
    async fn does(self, step: &str, developer: &Developer) -> Value {
        self.does_with(step, developer, &developer.settings()).await
    }

    /// The same with other settings.
    async fn does_with(self, step: &str, developer: &Developer, settings: &Value) -> Value {
        match self {
            Self::Node(program) => packages::node(program, step, settings).await,
            Self::Python(program) => packages::python(program, step, settings).await,
            Self::Crate => App::new(settings, developer.scene.person()).await.step(step).await,
        }
    }

    /// What it reports when the app's secret is another one.
    async fn reports_of_a_wrong_secret(self) -> Value {
        let developer = Developer::of(&confidential()).await;
        // Of the right form, so that nothing but its digest is wrong.
        let other = developer.scene.register(&confidential()).await;
        let settings = with(developer.settings(), json!({"client_secret": other.secret}));
        self.does_with("wrong_secret", &developer, &settings).await
    }
}

/// The tests that every library stands.
macro_rules! stands_the_tests {
    ($library:expr $(, #[$needs:meta])?) => {
        /// spec: oauth E1, F1
        #[tokio::test]
        $(#[$needs])?
        async fn a_code_becomes_a_token_that_gateways_accept() {
            let developer = Developer::of(&confidential()).await;
            let tokens = $library.does("code", &developer).await;
            assert_eq!((developer.scene.judged(&tokens).await, &tokens["scope"]), (200, &json!(SCOPE)));
        }

        /// spec: oauth C16, F15
        #[tokio::test]
        $(#[$needs])?
        async fn a_public_app_gets_a_token_through_any_port_of_loopback() {
            let mut developer = Developer::of(&public()).await;
            developer.client.redirect = "http://127.0.0.1:51004/cb".to_owned();
            let tokens = $library.does("code", &developer).await;
            assert_eq!(developer.scene.judged(&tokens).await, 200);
        }

        /// spec: oauth H1
        #[tokio::test]
        $(#[$needs])?
        async fn a_refresh_token_becomes_another_one_and_a_token_that_gateways_accept() {
            let developer = Developer::of(&confidential()).await;
            let tokens = $library.does("refresh", &developer).await;
            let (first, second) = (&tokens["first"], &tokens["second"]);
            let rotated = second["refresh_token"].is_string() && first["refresh_token"] != second["refresh_token"];
            assert_eq!((rotated, developer.scene.judged(second).await), (true, 200));
        }

        /// spec: oauth I1
        #[tokio::test]
        $(#[$needs])?
        async fn introspection_tells_what_a_token_is_good_for() {
            let developer = Developer::of(&confidential()).await;
            let told = $library.does("introspect", &developer).await;
            let expected = (&json!(true), &json!(SCOPE), &json!(developer.client.id));
            assert_eq!((&told["active"], &told["scope"], &told["client_id"]), expected, "{told}");
        }

        /// spec: oauth R1
        #[tokio::test]
        $(#[$needs])?
        async fn revoking_a_refresh_token_ends_the_access_token() {
            let developer = Developer::of(&confidential()).await;
            let told = $library.does("revoke", &developer).await;
            assert_eq!(told["active"], json!(false), "{told}");
        }

        /// spec: oauth X6
        #[tokio::test]
        $(#[$needs])?
        async fn an_app_gets_a_token_of_its_own_and_no_refresh_token() {
            let developer = Developer::of(&confidential()).await;
            let tokens = $library.does("own", &developer).await;
            let refresh = tokens.get("refresh_token").filter(|token| !token.is_null());
            assert_eq!((developer.scene.judged(&tokens).await, refresh), (200, None));
        }
    };
}

mod openid_client {
    use super::*;

    const LIBRARY: Library = Library::Node("openid-client.mjs");

    stands_the_tests!(LIBRARY, #[ignore = "needs node and npm"]);

    /// spec: oauth K1
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn discovery_finds_the_issuer() {
        let developer = Developer::of(&confidential()).await;
        let metadata = LIBRARY.does("metadata", &developer).await;
        assert_eq!(metadata["issuer"], json!(developer.scene.issuer()));
    }

    /// It only looks for `iss` since the metadata promise it.
    ///
    /// spec: oauth B25
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn an_answer_that_lost_its_issuer_is_not_believed() {
        let developer = Developer::of(&confidential()).await;
        let refused = LIBRARY.does("no_issuer", &developer).await;
        let expected = (&json!("ClientError"), &json!("OAUTH_INVALID_RESPONSE"));
        assert_eq!((&refused["name"], &refused["code"]), expected, "{refused}");
    }

    /// spec: oauth B21
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn a_denial_reaches_the_app() {
        let developer = Developer::of(&confidential()).await;
        let refused = LIBRARY.does("denied", &developer).await;
        let expected = (&json!("AuthorizationResponseError"), &json!("access_denied"));
        assert_eq!((&refused["name"], &refused["error"]), expected, "{refused}");
    }

    /// Sent in the body. The library shows the challenge rather than the body where an answer has both.
    ///
    /// spec: oauth F3
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn a_wrong_secret_is_told_as_a_challenge() {
        let refused = LIBRARY.reports_of_a_wrong_secret().await;
        let expected = (&json!("WWWAuthenticateChallengeError"), &json!(401));
        assert_eq!((&refused["name"], &refused["status"]), expected, "{refused}");
    }
}

mod oauth4webapi {
    use super::*;

    const LIBRARY: Library = Library::Node("oauth4webapi.mjs");

    stands_the_tests!(LIBRARY, #[ignore = "needs node and npm"]);

    /// spec: oauth K1
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn discovery_finds_the_issuer() {
        let developer = Developer::of(&confidential()).await;
        let metadata = LIBRARY.does("metadata", &developer).await;
        assert_eq!(metadata["issuer"], json!(developer.scene.issuer()));
    }

    /// spec: oauth K8
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn a_resource_leads_to_its_authorization_server() {
        let developer = Developer::of(&confidential()).await;
        let metadata = LIBRARY.does("resource", &developer).await;
        assert_eq!(metadata["authorization_servers"], json!([developer.scene.issuer()]));
    }

    /// spec: oauth B25
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn an_answer_that_lost_its_issuer_is_not_believed() {
        let developer = Developer::of(&confidential()).await;
        let refused = LIBRARY.does("no_issuer", &developer).await;
        let expected = (&json!("OperationProcessingError"), &json!("OAUTH_INVALID_RESPONSE"));
        assert_eq!((&refused["name"], &refused["code"]), expected, "{refused}");
    }

    /// spec: oauth B21
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn a_denial_reaches_the_app() {
        let developer = Developer::of(&confidential()).await;
        let refused = LIBRARY.does("denied", &developer).await;
        let expected = (&json!("AuthorizationResponseError"), &json!("access_denied"));
        assert_eq!((&refused["name"], &refused["error"]), expected, "{refused}");
    }

    /// Sent as Basic. The library shows the challenge rather than the body where an answer has both.
    ///
    /// spec: oauth F2
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn a_wrong_secret_is_told_as_a_challenge() {
        let refused = LIBRARY.reports_of_a_wrong_secret().await;
        let expected = (&json!("WWWAuthenticateChallengeError"), &json!(401));
        assert_eq!((&refused["name"], &refused["status"]), expected, "{refused}");
    }

    /// spec: oauth K12
    #[tokio::test]
    #[ignore = "needs node and npm"]
    async fn a_jwt_is_accepted_by_who_has_only_the_published_keys() {
        let developer = Developer::of(&with(confidential(), json!({"access_token_format": "jwt"}))).await;
        let claims = LIBRARY.does("jwt", &developer).await;
        assert_eq!((&claims["client_id"], &claims["scope"]), (&json!(developer.client.id), &json!(SCOPE)), "{claims}");
    }
}

mod authlib {
    use super::*;

    const LIBRARY: Library = Library::Python("authlib_client.py");

    stands_the_tests!(LIBRARY, #[ignore = "needs python3 with venv and pip"]);

    /// spec: oauth K1
    #[tokio::test]
    #[ignore = "needs python3 with venv and pip"]
    async fn the_metadata_are_valid() {
        let developer = Developer::of(&confidential()).await;
        let metadata = LIBRARY.does("metadata", &developer).await;
        assert_eq!(metadata["issuer"], json!(developer.scene.issuer()));
    }

    /// spec: oauth F2
    #[tokio::test]
    #[ignore = "needs python3 with venv and pip"]
    async fn a_wrong_secret_is_told_as_such() {
        assert_eq!(LIBRARY.reports_of_a_wrong_secret().await, json!({"error": "invalid_client"}));
    }
}

/// Needs nothing but Rust.
mod oauth2 {
    use super::*;

    stands_the_tests!(Library::Crate);

    /// spec: oauth F2
    #[tokio::test]
    async fn a_wrong_secret_is_told_as_such() {
        assert_eq!(Library::Crate.reports_of_a_wrong_secret().await, json!({"error": "invalid_client"}));
    }
}

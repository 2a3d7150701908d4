//! What all requests share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use statuspulse_app::{App, leaks::github::GithubKeys, webhooks::Reach};
use statuspulse_delivery::{AllowedNetworks, Names, SystemNames};
use statuspulse_policy::ClientIpPolicy;
use url::Url;

/// What leads out of the service.
pub struct Outgoing {
    /// Networks beside the public ones that webhooks may reach.
    pub networks: AllowedNetworks,
    /// The resolver.
    pub names: Arc<dyn Names>,
    /// Public keys of GitHub's secret scanning.
    pub github: Option<GithubKeys>,
    /// Whether webhooks can be sent at all.
    pub can_send: bool,
}

impl Default for Outgoing {
    /// The public internet by the system's names.
    fn default() -> Self {
        Self { networks: AllowedNetworks::default(), names: Arc::new(SystemNames), github: None, can_send: true }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Outgoing").field("github", &self.github).finish_non_exhaustive()
    }
}

/// What all requests share.
#[derive(Debug)]
pub struct State {
    /// The instance.
    pub app: Arc<App>,
    /// Base of absolute URLs, without a closing slash.
    pub public_url: String,
    /// Origin of the public URL, as browsers send it.
    pub origin: String,
    /// Path of the public URL, empty for none: a proxy in front takes it away, but browsers have to send it.
    pub base: String,
    /// How the client's address is found.
    pub client_ip: ClientIpPolicy,
    /// The same for forward-auth: loopback is trusted when no proxies are configured.
    pub forward_ip: ClientIpPolicy,
    /// What leads out of the service.
    pub outgoing: Outgoing,
    catalog_refused: AtomicBool,
}

impl State {
    /// From its parts.
    #[must_use]
    pub fn new(app: Arc<App>, public_url: String, client_ip: ClientIpPolicy, has_proxies: bool) -> Self {
        let url = Url::parse(&public_url).ok();
        let origin = url.as_ref().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let base = url.map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        let forward_ip = if has_proxies { client_ip.clone() } else { client_ip.with_loopback() };
        let catalog_refused = AtomicBool::new(false);
        Self { app, public_url, origin, base, client_ip, forward_ip, outgoing: Outgoing::default(), catalog_refused }
    }

    /// The same with another way out.
    #[must_use]
    pub fn with_outgoing(self, outgoing: Outgoing) -> Self {
        Self { outgoing, ..self }
    }

    /// Where webhooks may be.
    pub(crate) fn reach(&self) -> Reach<'_> {
        Reach { networks: &self.outgoing.networks, names: &*self.outgoing.names }
    }

    /// Whether browsers reach the service over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.public_url.starts_with("https:")
    }

    /// Name of the session's cookie.
    #[must_use]
    pub fn cookie_name(&self) -> &'static str {
        if self.is_secure() { "__Host-statuspulse_session" } else { "statuspulse_session" }
    }

    /// Whether the last catalog that was to be read again was refused.
    #[must_use]
    pub fn catalog_refused(&self) -> bool {
        self.catalog_refused.load(Ordering::Relaxed)
    }

    pub(crate) fn set_catalog_refused(&self, refused: bool) {
        self.catalog_refused.store(refused, Ordering::Relaxed);
    }
}

//! The way out (keys §9.3, §9.4): one request, no redirect, no proxy, an end to time and bytes, and what came of it.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect, retry};
use url::Url;

use crate::names::{AddressNotAllowed, Guard, Names, Reach};
use crate::networks::AllowedNetworks;
use crate::target::Target;

mod answer;

/// What a request may take in all, from the look-up of the name to the last byte of the answer.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// What the connection may take of it, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer's body that are read, at most.
pub const MOST_READ: usize = 64 * 1024;
/// Bytes of an answer that are handed over: a KiB to be kept, and so much more that a secret at its end is whole and can be
/// recognised before anything is cut.
pub const MOST_KEPT: usize = 1_024 + 128;

const USER_AGENT: &str = concat!("StatusPulse-Auth/", env!("CARGO_PKG_VERSION"));

/// Why no courier could be set up.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// TLS can't be set up; as a rule the machine has no root certificates.
    #[error("outgoing https can't be set up; install the system's CA certificates, or name them in `SSL_CERT_FILE`")]
    Tls(#[source] reqwest::Error),
}

/// Why a delivery did not succeed; a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No status within the time.
    Timeout,
    /// The name is unknown, or nobody listens there.
    ConnectFailed,
    /// The address is none that may be dialled.
    AddressNotAllowed,
    /// No TLS that can be trusted.
    TlsFailed,
    /// The connection ended without an answer, or with one that is not HTTP.
    NoAnswer,
    /// 3xx: never followed, since it leads where nobody has judged.
    Redirect,
    /// 410: the endpoint is no more and is to be disabled.
    Gone,
    /// Any other status that is not 2xx.
    BadStatus,
}

impl Failure {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ConnectFailed => "connect_failed",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::TlsFailed => "tls_failed",
            Self::NoAnswer => "no_answer",
            Self::Redirect => "redirect",
            Self::Gone => "gone",
            Self::BadStatus => "bad_status",
        }
    }

    const fn of_status(status: StatusCode) -> Option<Self> {
        match status.as_u16() {
            200..=299 => None,
            300..=399 => Some(Self::Redirect),
            410 => Some(Self::Gone),
            _ => Some(Self::BadStatus),
        }
    }

    fn of_error(error: &reqwest::Error) -> Self {
        if has_cause::<AddressNotAllowed>(error) {
            Self::AddressNotAllowed
        } else if has_cause::<rustls::Error>(error) {
            Self::TlsFailed
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::ConnectFailed
        } else {
            Self::NoAnswer
        }
    }
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// Why the attempt failed; none after a 2xx. The status decides as soon as it is there: an answer whose body is then cut,
    /// by its length, by the time or by the other side, counts all the same.
    pub failure: Option<Failure>,
    /// The beginning of the answer's body, at most [`MOST_KEPT`] bytes: UTF-8, with control characters escaped.
    pub answer: String,
    /// The wait that a 429 or 503 asked for, an hour at most.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// Whether the event has arrived.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        self.failure.is_none()
    }

    const fn failed(failure: Failure) -> Self {
        Self { status: None, failure: Some(failure), answer: String::new(), retry_after: None }
    }
}

/// Why a document could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not an `https` URL.
    #[error("the address of the document is no `https` url; write it as `https://host/path`")]
    NotHttps,
    /// No answer, or one that stopped halfway.
    #[error("the document could not be fetched ({}); look at its address and at the network", .0.as_str())]
    Failed(Failure),
    /// An answer other than 200.
    #[error("the document was answered with the status {0}; look at its address")]
    Status(u16),
    /// Longer than the caller wants.
    #[error("the document has more than {0} bytes; look at its address")]
    TooLong(usize),
}

/// Sends webhooks. One for the whole process.
pub struct Courier {
    /// Dials the public internet and the allowed networks.
    public: Client,
    /// Dials the allowed networks only.
    inside: Client,
    /// Dials what the operator's own settings name.
    trusted: Client,
    allowed: Arc<AllowedNetworks>,
}

impl Courier {
    /// A courier. `timeout` is what a request may take in all: [`TIMEOUT`].
    ///
    /// # Errors
    /// [`CourierError::Tls`].
    pub fn new(allowed: AllowedNetworks, names: Arc<dyn Names>, timeout: Duration) -> Result<Self, CourierError> {
        let allowed = Arc::new(allowed);
        let guarded = |reach| {
            let guard = Guard { names: Arc::clone(&names), allowed: Arc::clone(&allowed), reach };
            builder(timeout).dns_resolver(Arc::new(guard)).build().map_err(CourierError::Tls)
        };
        Ok(Self {
            public: guarded(Reach::Public)?,
            inside: guarded(Reach::AllowedOnly)?,
            trusted: builder(timeout).https_only(true).build().map_err(CourierError::Tls)?,
            allowed,
        })
    }

    /// Makes one attempt: posts a JSON text. `headers` are those of [`signature_headers`](crate::signature_headers), or none.
    pub async fn send(&self, target: &Target, headers: &[(&'static str, String)], body: String) -> Outcome {
        let reach = target.reach();
        // The connector asks no resolver about a literal address, so the guard never sees it.
        if target.literal().is_some_and(|address| !reach.may_dial(address, &self.allowed)) {
            return Outcome::failed(Failure::AddressNotAllowed);
        }
        let client = match reach {
            Reach::Public => &self.public,
            Reach::AllowedOnly => &self.inside,
        };
        let mut request = client.post(target.url().clone()).header(CONTENT_TYPE, "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Outcome::failed(Failure::of_error(&error)),
        }
    }

    /// Fetches a document that the operator's settings name, at most `most_bytes` long. It may lie anywhere, in private
    /// networks too, but only behind `https`; redirects and proxies are out of question as they are for webhooks.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get(&self, url: &str, most_bytes: usize) -> Result<Vec<u8>, FetchError> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "https").ok_or(FetchError::NotHttps)?;
        let failed = |error: reqwest::Error| FetchError::Failed(Failure::of_error(&error));
        let mut response = self.trusted.get(url).send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Failed(Failure::Redirect)),
            status => return Err(FetchError::Status(status.as_u16())),
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if document.len().saturating_add(chunk.len()) > most_bytes {
                return Err(FetchError::TooLong(most_bytes));
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// What holds for every request.
fn builder(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy would look names up itself, behind the guard's back.
        .no_proxy()
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        // No connection outlives its request: each attempt looks the name up and has its addresses judged.
        .pool_max_idle_per_host(0)
        // The schedule repeats, and counts.
        .retry(retry::never())
}

async fn read(mut response: Response) -> Outcome {
    let status = response.status();
    let retry_after = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        .then(|| response.headers().get(RETRY_AFTER)?.to_str().ok())
        .flatten()
        .and_then(|value| answer::retry_after(value, SystemTime::now()));
    let mut kept = answer::Beginning::default();
    let mut read = 0_usize;
    while read < MOST_READ {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        read = read.saturating_add(chunk.len());
        kept.push(&chunk);
    }
    Outcome {
        status: Some(status.as_u16()),
        failure: Failure::of_status(status),
        answer: kept.into_text(),
        retry_after,
    }
}

/// Whether an error of this type stands behind the error. What an [`io::Error`] carries is not among its sources.
fn has_cause<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    false
}

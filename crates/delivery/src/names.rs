//! Names and their addresses. What a name leads to is judged when it is dialled (keys §9.4): between saving and sending its
//! owner can point it anywhere.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::networks::AllowedNetworks;

/// The addresses of a name, once they are found.
pub type Lookup<'n> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'n>>;

/// Something that knows the addresses of names. A closure that answers at once is one too.
pub trait Names: Send + Sync {
    /// Looks a name up. The error is for the log; nobody decides by it.
    fn addresses<'n>(&'n self, name: &'n str) -> Lookup<'n>;
}

/// The system's names: `getaddrinfo`, with everything that the machine's hosts file and its `nsswitch.conf` say. Keeps no answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn addresses<'n>(&'n self, name: &'n str) -> Lookup<'n> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

impl<F> Names for F
where
    F: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync,
{
    fn addresses<'n>(&'n self, name: &'n str) -> Lookup<'n> {
        Box::pin(std::future::ready(self(name)))
    }
}

/// Where connections to names may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the public internet and to the allowed networks.
    Public,
    /// To the allowed networks only.
    AllowedOnly,
}

impl Reach {
    pub(crate) fn may_dial(self, address: IpAddr, allowed: &AllowedNetworks) -> bool {
        match self {
            Self::Public => allowed.may_dial(address),
            Self::AllowedOnly => allowed.contains(address),
        }
    }
}

/// A name of which no address may be dialled.
#[derive(Debug, thiserror::Error)]
#[error("no address of this name may be dialled; a private one must lie in `STATUSPULSE_WEBHOOK_ALLOWED_CIDRS`")]
pub(crate) struct AddressNotAllowed;

/// The connector's resolver: looks a name up for each connection and hands on only what may be dialled.
pub(crate) struct Guard {
    pub(crate) names: Arc<dyn Names>,
    pub(crate) allowed: Arc<AllowedNetworks>,
    pub(crate) reach: Reach,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, allowed, reach) = (Arc::clone(&self.names), Arc::clone(&self.allowed), self.reach);
        Box::pin(async move {
            let mut found = names.addresses(name.as_str()).await?;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            found.retain(|address| reach.may_dial(*address, &allowed));
            if found.is_empty() {
                return Err(AddressNotAllowed.into());
            }
            // The port is the connector's business; it fills in the one of the URL.
            let dialled: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(dialled)
        })
    }
}

#[cfg(test)]
mod tests;

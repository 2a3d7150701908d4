//! A connection: to one server, or to all nodes of a cluster.

use std::time::Duration;

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cmd,
};
use tokio::time::timeout;

use crate::{SharedError, Target};

/// For each step of a connection: to a server that was named, and then to the cluster that it is in.
const CONNECT: Duration = Duration::from_millis(500);
/// For each other node of a cluster. Less than the whole step, which waits for all of them: one that hangs must not keep it
/// from its end.
const NODE: Duration = Duration::from_millis(250);
/// The longest that any answer may take; whoever asks may wait less.
pub(crate) const ANSWER: Duration = Duration::from_secs(1);
/// How many commands may wait to be written before callers wait for a place.
const QUEUE: usize = 1_024;

/// Shared by all callers: each clone writes to the same connections, and answers come in order.
#[derive(Clone)]
pub(crate) enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects to the server, or to the cluster that it turns out to be in.
    pub(crate) async fn connect(target: &Target) -> Result<Self, SharedError> {
        if target.has_tls() && rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may do the same just now; theirs is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let nodes = target.nodes();
        let asked = nodes.iter().map(|node| Box::pin(ask(node)));
        let ((node, server, is_cluster), _) = select_ok(asked).await?;
        match (is_cluster, nodes.len()) {
            (true, _) => cluster(node).await.map(Self::Cluster),
            (false, 1) => Ok(Self::Server(server)),
            (false, _) => Err(SharedError::NoCluster),
        }
    }
}

/// A server, a connection to it, and whether it is a node of a cluster.
async fn ask(node: &ConnectionInfo) -> Result<(&ConnectionInfo, MultiplexedConnection, bool), SharedError> {
    // Times are bounded here and by whoever asks.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    let asked = async {
        let mut link = Client::open(node.clone())?.get_multiplexed_async_connection_with_config(&config).await?;
        let info: String = cmd("INFO").arg("cluster").query_async(&mut link).await?;
        Ok((node, link, info.lines().any(|line| line.trim_end() == "cluster_enabled:1")))
    };
    timeout(CONNECT, asked).await.map_err(|_| SharedError::Late(CONNECT))?
}

/// The cluster of a node that has just answered. It tells of the others; of those that were named, one may hang.
async fn cluster(node: &ConnectionInfo) -> Result<ClusterConnection, SharedError> {
    // A node that moves or fails is tried again at once; what lasts longer is for the circuit.
    let client = ClusterClientBuilder::new([node.clone()])
        .tcp_settings(node.tcp_settings().clone())
        .connection_timeout(NODE)
        .response_timeout(ANSWER)
        .retries(3)
        .min_retry_wait(5)
        .max_retry_wait(20)
        .build()?;
    let connected = timeout(CONNECT, client.get_async_connection()).await;
    Ok(connected.map_err(|_| SharedError::Late(CONNECT))??)
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(link) => link.req_packed_command(cmd),
            Self::Cluster(link) => link.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(link) => link.req_packed_commands(pipeline, offset, count),
            Self::Cluster(link) => link.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(link) => link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

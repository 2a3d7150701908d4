//! Keeps the private PostgreSQL running: one that ends under a running server is started again, so that both planes
//! recover without a restart of the server.

use std::{sync::Arc, time::Duration};

use statuspulse_embedded::{Cluster, EmbeddedError};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

/// How often it is looked whether PostgreSQL runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The task that looks after a private PostgreSQL. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    ending: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the task.
    pub(super) fn start(cluster: Arc<Cluster>) -> Self {
        let (ending, ended) = oneshot::channel();
        Self { ending, task: tokio::spawn(keep_running(cluster, ended)) }
    }

    /// Ends the task and waits until a start of PostgreSQL that is under way has come to its end.
    pub(super) async fn end(self) {
        drop(self.ending);
        // One that panicked has ended, too.
        let _ = self.task.await;
    }
}

async fn keep_running(cluster: Arc<Cluster>, mut ended: oneshot::Receiver<()>) {
    // Said once, and not every second.
    let mut told = None;
    loop {
        tokio::select! {
            _ = &mut ended => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let looked_at = Arc::clone(&cluster);
        let (before, looked) = match spawn_blocking(move || (looked_at.server_pid(), looked_at.ensure_running())).await
        {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "nobody looks after the private postgresql any more");
                return;
            }
        };
        tell(&cluster, before, looked, &mut told);
    }
}

fn tell(cluster: &Cluster, before: Option<u32>, looked: Result<(), EmbeddedError>, told: &mut Option<String>) {
    match looked {
        Ok(()) if before.is_some() && told.is_none() => {}
        Ok(()) => {
            *told = None;
            tracing::warn!(pid = cluster.server_pid(), "the private postgresql had ended and was started again");
        }
        Err(error) => {
            let text = error.to_string();
            if told.as_ref() != Some(&text) {
                tracing::error!(%error, "the private postgresql has ended and can't be started again yet");
                *told = Some(text);
            }
        }
    }
}

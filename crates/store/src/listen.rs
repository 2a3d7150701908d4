//! The hint that something has changed: `LISTEN` on a connection of its own, since a pooled one can't hold it.

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::{error::StoreError, pool::describe};

/// Channel of the change feed's hints.
pub const CHANNEL: &str = "key_feed";

/// A listening connection. Dropping it closes it.
#[derive(Debug)]
pub struct Listener {
    // Held because the server hangs up when the client goes.
    _client: Client,
    hints: mpsc::Receiver<()>,
}

impl Listener {
    /// Connects and listens.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database can't be reached.
    pub async fn connect(database: &Config) -> Result<Self, StoreError> {
        let unavailable = |error: tokio_postgres::Error| StoreError::Unavailable(describe(&error));
        let (client, mut connection) = database.connect(NoTls).await.map_err(unavailable)?;
        // One waiting hint says everything: whoever takes it reads all that is new.
        let (sender, hints) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    Ok(AsyncMessage::Notification(_)) => {
                        let _ = sender.try_send(());
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(unavailable)?;
        Ok(Self { _client: client, hints })
    }

    /// Waits for the next hint; `false` when the connection is gone.
    pub async fn hint(&mut self) -> bool {
        self.hints.recv().await.is_some()
    }
}

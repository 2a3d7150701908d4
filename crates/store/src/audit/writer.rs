//! The tailer's own connection: one transaction takes events out of the outbox, copies records into the table, and notes how
//! far the spool has come. So a crash repeats nothing and skips nothing.

use std::{collections::HashMap, error::Error as _, time::Duration};

use chrono::{DateTime, Utc};
use statuspulse_audit::{Digest, Entry, Record};
use tokio_postgres::{Client, Config, NoTls, Transaction, error::SqlState, types::ToSql};
use uuid::Uuid;

use super::copy::copy;
use crate::{error::StoreError, pool};

/// How long the server may take to accept a connection and answer its first statement.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long a transaction may take: a server that hangs must not hold the tailer for ever.
const LONGEST_TURN: Duration = Duration::from_secs(30);

/// Why a turn has failed.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The database is away or slow: the same turn may work later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A day has no partition: the same turn works once it has one.
    #[error("a day has no partition: {0}")]
    NoPartition(String),
    /// A row is to blame.
    #[error("the database refused a row: {0}")]
    Refused(String),
    /// A turn whose answer was lost, or one of the process before, has been there already: read head and offsets again.
    #[error("another turn has moved the stream or the spool")]
    Overtaken,
}

impl From<tokio_postgres::Error> for TurnError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = pool::describe(&error);
        let Some(refusal) = error.as_db_error() else {
            // What can't be written in the protocol is the row's fault; everything else is the connection's.
            let of_the_row = !error.is_closed() && error.source().is_some_and(|cause| !cause.is::<std::io::Error>());
            return if of_the_row && text.contains("serializing") {
                Self::Refused(text)
            } else {
                Self::Unavailable(text)
            };
        };
        let code = refusal.code();
        if *code == SqlState::UNIQUE_VIOLATION {
            return Self::Overtaken;
        }
        if *code == SqlState::CHECK_VIOLATION && refusal.message().starts_with("no partition") {
            return Self::NoPartition(text);
        }
        // Data exceptions, integrity constraints, and a row beyond a limit of the program.
        if ["22", "23", "54"].iter().any(|class| code.code().starts_with(class)) {
            return Self::Refused(text);
        }
        Self::Unavailable(text)
    }
}

/// A row of the outbox.
#[derive(Debug)]
pub struct Waiting {
    /// Its number there.
    pub id: i64,
    /// The event, as text.
    pub event: String,
}

/// The connection.
#[derive(Debug)]
pub struct Writer {
    client: Client,
    spool: Uuid,
}

/// The head of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Last number.
    pub sequence: i64,
    /// Its link.
    pub hash: Digest,
}

impl Writer {
    /// Connects. `spool` is the identity of the spool whose offsets it keeps.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database can't be reached in time.
    pub async fn connect(database: &Config, spool: Uuid) -> Result<Self, StoreError> {
        let connecting = async {
            let (client, connection) = database.connect(NoTls).await?;
            tokio::spawn(async move {
                // Its end shows in the next statement.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "the connection of the audit trail's tailer has ended");
                }
            });
            client
                .batch_execute("SET statement_timeout = 20000; SET lock_timeout = 5000; SET synchronous_commit = on")
                .await?;
            client.batch_execute(pool::ENTER_ROLE).await?;
            Ok::<_, tokio_postgres::Error>(client)
        };
        let unavailable = |text: String| StoreError::Unavailable(text);
        match tokio::time::timeout(FIRST_ANSWER, connecting).await {
            Ok(connected) => {
                let client = connected.map_err(|error| unavailable(pool::describe(&error)))?;
                Ok(Self { client, spool })
            }
            Err(_) => Err(unavailable(format!("no answer within {} s", FIRST_ANSWER.as_secs()))),
        }
    }

    /// How far each file of the spool has come.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn offsets(&self) -> Result<HashMap<String, u64>, TurnError> {
        let rows =
            self.client.query("SELECT file, \"offset\" FROM audit_spool WHERE instance = $1", &[&self.spool]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs())).collect())
    }

    /// The head of a stream; none when nothing was written to it. Asked when the answer to a commit was lost.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn head(&self, stream: Uuid) -> Result<Option<Head>, TurnError> {
        let row =
            self.client.query_opt("SELECT sequence, hash FROM audit_streams WHERE stream = $1", &[&stream]).await?;
        let Some(row) = row else { return Ok(None) };
        let hash: Vec<u8> = row.get(1);
        let hash = Digest::from_slice(&hash).ok_or_else(|| TurnError::Unavailable("a head has no digest".into()))?;
        Ok(Some(Head { sequence: row.get(0), hash }))
    }

    /// Whether events of the outbox wait that were there when it had this number at most.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn waits_up_to(&self, id: i64) -> Result<bool, TurnError> {
        let row = self.client.query_one("SELECT EXISTS (SELECT FROM audit_outbox WHERE id <= $1)", &[&id]).await?;
        Ok(row.get(0))
    }

    /// The highest number that the outbox holds; 0 when it is empty.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn newest_waiting(&self) -> Result<i64, TurnError> {
        Ok(self.client.query_one("SELECT coalesce(max(id), 0) FROM audit_outbox", &[]).await?.get(0))
    }

    /// Forgets the offsets of files that are gone.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn forget(&self, files: &[String]) -> Result<(), TurnError> {
        let statement = "DELETE FROM audit_spool WHERE instance = $1 AND file = ANY($2)";
        self.client.execute(statement, &[&self.spool, &files]).await?;
        Ok(())
    }

    /// Begins a turn.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn begin(&mut self) -> Result<Turn<'_>, TurnError> {
        Ok(Turn { transaction: self.client.transaction().await?, spool: self.spool })
    }

    /// Bounds a turn: one that takes longer counts as an outage, and its connection is thrown away.
    ///
    /// # Errors
    /// Those of the turn.
    pub async fn in_time<T>(turn: impl Future<Output = Result<T, TurnError>>) -> Result<T, TurnError> {
        let late = |_| Err(TurnError::Unavailable(format!("no answer within {} s", LONGEST_TURN.as_secs())));
        tokio::time::timeout(LONGEST_TURN, turn).await.unwrap_or_else(late)
    }
}

/// One transaction of the tailer. Dropped without [`Turn::commit`], it has done nothing.
pub struct Turn<'a> {
    transaction: Transaction<'a>,
    spool: Uuid,
}

impl Turn<'_> {
    /// Takes events out of the outbox, oldest first; those that another instance has in hand are passed over.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn take(&self, limit: i64) -> Result<Vec<Waiting>, TurnError> {
        let rows = self
            .transaction
            .query(
                "WITH mine AS (SELECT id FROM audit_outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
                 DELETE FROM audit_outbox o USING mine WHERE o.id = mine.id RETURNING o.id, o.event::text",
                &[&limit],
            )
            .await?;
        let mut taken: Vec<Waiting> = rows.iter().map(|row| Waiting { id: row.get(0), event: row.get(1) }).collect();
        taken.sort_by_key(|waiting| waiting.id);
        Ok(taken)
    }

    /// Writes records, the head of their stream, and how far the spool's files have come: each from where to where. Head and
    /// offsets come first and are compared with what this process knows, so that a turn of a process that was killed in the
    /// middle of its commit, or one whose answer was lost, is never repeated.
    ///
    /// # Errors
    /// See [`TurnError`].
    pub async fn write(
        &self,
        instance: Uuid,
        before: i64,
        records: &[Record],
        offsets: &HashMap<String, (u64, u64)>,
        now: DateTime<Utc>,
    ) -> Result<(), TurnError> {
        // Always in the same order.
        let mut moved: Vec<_> = offsets.iter().collect();
        moved.sort();
        for (file, (from, to)) in moved {
            let statement = "INSERT INTO audit_spool (instance, file, \"offset\", updated_at) VALUES ($1, $2, $4, $5)
                 ON CONFLICT (instance, file)
                     DO UPDATE SET \"offset\" = excluded.\"offset\", updated_at = excluded.updated_at
                     WHERE audit_spool.\"offset\" = $3";
            let values: [&(dyn ToSql + Sync); 5] = [&self.spool, file, &from.cast_signed(), &to.cast_signed(), &now];
            if self.transaction.execute(statement, &values).await? != 1 {
                return Err(TurnError::Overtaken);
            }
        }
        let Some(last) = records.last() else { return Ok(()) };
        let earliest = records.iter().map(|record| record.entry.occurred_at).min();
        let statement = "INSERT INTO audit_streams
                 (stream, instance, sequence, hash, uncovered_since, started_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6)
             ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash,
                 uncovered_since = least(audit_streams.uncovered_since, excluded.uncovered_since),
                 updated_at = excluded.updated_at
             WHERE audit_streams.sequence = $7";
        let values: [&(dyn ToSql + Sync); 7] =
            [&last.stream, &instance, &last.sequence, &last.hash.as_slice(), &earliest, &now, &before];
        if self.transaction.execute(statement, &values).await? != 1 {
            return Err(TurnError::Overtaken);
        }
        Ok(copy(&self.transaction, records).await?)
    }

    /// Puts an event aside that the table refuses.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn put_aside(
        &self,
        (stream, sequence): (Uuid, i64),
        source: &str,
        event: &[u8],
        error: &str,
        now: DateTime<Utc>,
    ) -> Result<(), TurnError> {
        self.transaction
            .execute(
                "INSERT INTO audit_quarantine (stream, sequence, source, bytes, error, quarantined_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                &[&stream, &sequence, &source, &event, &error, &now],
            )
            .await?;
        Ok(())
    }

    /// Commits.
    ///
    /// # Errors
    /// When the database can't be reached: then it may have been done or not, and [`Writer::head`] tells.
    pub async fn commit(self) -> Result<(), TurnError> {
        Ok(self.transaction.commit().await?)
    }
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Turn")
    }
}

/// Events as the spool and the outbox hold them.
///
/// # Errors
/// When the bytes are none.
pub fn read_entry(bytes: &[u8]) -> Result<Entry, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

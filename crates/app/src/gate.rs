//! The hashing gate: password and key hashing takes tens of milliseconds of a core and, for passwords, 19 MiB. A bounded
//! number runs at once, off the request threads, and a bounded number waits; beyond that the answer is "try again".

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::AppError;

const QUEUE: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub struct HashGate {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    hashes: AtomicUsize,
}

impl HashGate {
    /// A gate for a machine with that many cores: one stays free for everything else.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            waiting: AtomicUsize::new(0),
            hashes: AtomicUsize::new(0),
        }
    }

    /// Runs a slow computation, waiting for a place in the queue.
    ///
    /// # Errors
    /// [`AppError::TooMany`] with status 503's meaning when the queue is full.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
        let full = || AppError::Unavailable { cause: "the hashing queue is full".into() };
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(full());
        }
        let _place = Place(&self.waiting);
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| full())?;
        self.blocking(permit, work).await
    }

    /// Runs a slow computation in a place that was taken before.
    ///
    /// # Errors
    /// [`AppError::Internal`] when it panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AppError> {
        self.hashes.fetch_add(1, Ordering::Relaxed);
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(AppError::internal)
    }

    /// How many slow computations were started, for metrics and tests.
    #[must_use]
    pub fn hashes(&self) -> usize {
        self.hashes.load(Ordering::Relaxed)
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

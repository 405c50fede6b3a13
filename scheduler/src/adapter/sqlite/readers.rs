//! The threads that read, each with a connection of its own: one long read does not hold up the short ones.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::port::store::StoreError;

/// Reads at the same time. More than the cores of a small machine: some wait for the disk, and a count over very many jobs
/// takes one of them for a while.
const READERS: usize = 4;

type Reading = Box<dyn FnOnce(&Connection) + Send>;

/// The reading threads' way in.
pub(super) struct Readers(mpsc::Sender<Reading>);

impl Readers {
    /// Starts the threads on connections that `open` makes; they end once the [`Readers`] are gone.
    pub(super) fn start(
        open: impl Fn() -> Result<Connection, StoreError>,
    ) -> Result<(Self, Vec<JoinHandle<()>>), StoreError> {
        let (sender, works) = mpsc::channel();
        let works = Arc::new(Mutex::new(works));
        let mut threads = Vec::new();
        for _ in 0..READERS {
            let (connection, works) = (open()?, works.clone());
            let thread = std::thread::Builder::new()
                .name("sqlite-read".to_string())
                .spawn(move || serve(&connection, &works))
                .map_err(|error| StoreError::Unavailable(error.to_string()))?;
            threads.push(thread);
        }
        Ok((Self(sender), threads))
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::Unavailable("the database threads have ended".to_string());
        let work: Reading = Box::new(move |connection| {
            // Whoever asked may have gone meanwhile; the work is done all the same.
            let _ = answer.send(work(connection));
        });
        self.0.send(work).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn serve(connection: &Connection, works: &Mutex<mpsc::Receiver<Reading>>) {
    loop {
        // Whoever waits for work holds the lock; the others wait for the lock.
        let work = works.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = work else { return };
        work(connection);
    }
}

//! The thread that writes. It takes all writes that wait, runs each in a savepoint of one transaction, commits once and then
//! answers all: a commit costs an fsync, and many writers share it.
//!
//! A write that fails is undone alone and hears its own error. Where one takes the whole transaction with it (a full disk does),
//! the others are run anew, each by itself. Nobody hears of success before the commit.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::explain;
use crate::port::store::StoreError;

/// Writes in one transaction at most: enough to make the fsync cheap, few enough that the first does not wait long for the last.
const GROUP_MAX: usize = 256;

/// How long readers may hold up the emptying of the log.
const EMPTY_LOG_WAIT: Duration = Duration::from_secs(2);

/// The writing thread's way in.
pub(super) struct Writer(mpsc::Sender<Order>);

/// What the thread is asked for.
enum Order {
    /// A write.
    Write(Box<dyn Work>),
    /// An empty log, once everything before is in the file.
    EmptyLog(oneshot::Sender<Result<(), StoreError>>),
}

/// A write that somebody waits for.
trait Work: Send {
    /// Does it; whether it went well.
    fn run(&mut self, db: &Transaction<'_>) -> bool;
    /// Tells how it ended; `fault` is what befell the whole transaction.
    fn answer(self: Box<Self>, fault: Option<StoreError>);
}

struct Asked<T, F> {
    work: F,
    ended: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work for Asked<T, F>
where
    T: Send,
    F: Fn(&Transaction<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Transaction<'_>) -> bool {
        let ended = (self.work)(db);
        self.ended.insert(ended).is_ok()
    }

    fn answer(self: Box<Self>, fault: Option<StoreError>) {
        let gone = || StoreError::Unavailable("the write was not run".to_string());
        let told = match (self.ended, fault) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(fault)) => Err(fault),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(gone()),
        };
        // Whoever asked may have gone meanwhile; the write is done all the same.
        let _ = self.answer.send(told);
    }
}

/// Why a transaction was not committed.
enum Fault {
    /// One of its writes ended it: none has happened.
    Undone,
    /// It could not be begun or committed.
    Whole(StoreError),
}

impl Writer {
    /// Starts the thread, which owns `connection` until the [`Writer`] is gone.
    pub(super) fn start(mut connection: Connection) -> Result<(Self, JoinHandle<()>), StoreError> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("sqlite-write".to_string())
            .spawn(move || serve(&mut connection, &receiver))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok((Self(sender), thread))
    }

    /// Runs `work` in a transaction: all of it is durable when this answers, or nothing. It may run more than once, and only its
    /// last run counts.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let asked = Box::new(Asked { work, ended: None, answer });
        self.0.send(Order::Write(asked)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Brings the whole log into the file and cuts it to nothing: pages of before are in neither.
    pub(super) async fn empty_log(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Order::EmptyLog(answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the database thread has ended".to_string())
}

fn serve(connection: &mut Connection, orders: &mpsc::Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let (mut group, mut emptied) = (Vec::new(), Vec::new());
        for order in std::iter::once(first).chain(orders.try_iter()).take(GROUP_MAX) {
            match order {
                Order::Write(work) => group.push(work),
                Order::EmptyLog(answer) => emptied.push(answer),
            }
        }
        commit(connection, group);
        if !emptied.is_empty() {
            let ended = empty_log(connection);
            for answer in emptied {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(ended.clone());
            }
        }
    }
}

fn empty_log(connection: &Connection) -> Result<(), StoreError> {
    // Readers are waited for, and all writers wait meanwhile: not for long.
    connection.busy_timeout(EMPTY_LOG_WAIT).map_err(explain)?;
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy = connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(explain);
    connection.busy_timeout(super::schema::BUSY_WAIT).map_err(explain)?;
    let busy = busy?;
    match busy {
        0 => Ok(()),
        _ => Err(StoreError::Unavailable("the log is being read; it was not emptied".to_string())),
    }
}

fn commit(connection: &mut Connection, mut group: Vec<Box<dyn Work>>) {
    if group.is_empty() {
        return;
    }
    match together(connection, &mut group) {
        Ok(()) => group.into_iter().for_each(|work| work.answer(None)),
        Err(Fault::Undone) if group.len() > 1 => {
            group.into_iter().for_each(|work| commit(connection, vec![work]));
        }
        Err(Fault::Undone) => {
            let fault = || StoreError::Unavailable("the transaction was rolled back".to_string());
            group.into_iter().for_each(|work| work.answer(Some(fault())));
        }
        Err(Fault::Whole(fault)) => {
            group.into_iter().for_each(|work| work.answer(Some(fault.clone())));
        }
    }
}

/// Runs all in one transaction and commits it.
fn together(connection: &mut Connection, group: &mut [Box<dyn Work>]) -> Result<(), Fault> {
    let whole = |error| Fault::Whole(explain(error));
    let db = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(whole)?;
    for work in group {
        db.execute_batch("SAVEPOINT one").map_err(whole)?;
        let went_well = work.run(&db);
        if db.is_autocommit() {
            return Err(Fault::Undone);
        }
        let sql = if went_well { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
        db.execute_batch(sql).map_err(whole)?;
    }
    db.commit().map_err(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write of `value`, or a failure of its own, or one that ends the whole transaction.
    struct Step(i64, &'static str, mpsc::Sender<(i64, bool)>, bool);

    impl Work for Step {
        fn run(&mut self, db: &Transaction<'_>) -> bool {
            db.execute("INSERT INTO t VALUES (?1)", [self.0]).unwrap();
            if self.1 == "ends all" {
                db.execute_batch("ROLLBACK").unwrap();
            }
            self.3 = self.1 == "good";
            self.3
        }

        fn answer(self: Box<Self>, fault: Option<StoreError>) {
            self.2.send((self.0, self.3 && fault.is_none())).unwrap();
        }
    }

    fn values_after(steps: &[&'static str]) -> (Vec<i64>, Vec<(i64, bool)>) {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (v INTEGER)").unwrap();
        let (sender, answers) = mpsc::channel();
        let group = (0..).zip(steps).map(|(number, kind)| {
            Box::new(Step(number, kind, sender.clone(), false)) as Box<dyn Work>
        });
        commit(&mut connection, group.collect());
        drop(sender);
        let mut statement = connection.prepare("SELECT v FROM t ORDER BY v").unwrap();
        let values = statement.query_map([], |row| row.get(0)).unwrap();
        (values.map(Result::unwrap).collect(), answers.iter().collect())
    }

    #[test]
    fn a_write_that_fails_is_undone_alone() {
        let (values, answers) = values_after(&["good", "fails", "good"]);
        assert_eq!(values, [0, 2]);
        assert_eq!(answers, [(0, true), (1, false), (2, true)]);
    }

    #[test]
    fn a_write_that_ends_the_transaction_takes_no_other_with_it() {
        let (values, answers) = values_after(&["good", "ends all", "good", "fails"]);
        assert_eq!(values, [0, 2]);
        assert_eq!(answers, [(0, true), (1, false), (2, true), (3, false)]);
    }
}

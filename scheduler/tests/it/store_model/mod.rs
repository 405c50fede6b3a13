//! Every store beside the one in memory, which is the contract in its plainest form: whatever is done, in whatever order, both answer
//! the same and hold the same.
//!
//! A failure is shrunk to the shortest sequence that shows it. `PROPTEST_CASES` sets how many sequences are tried.

mod compare;
mod operation;
mod pair;

use std::any::Any;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use proptest::prelude::ProptestConfig;
use proptest::strategy::{BoxedStrategy, Just, Strategy};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tempfile::TempDir;
use trainyard_scheduler::adapter::redis::{RedisOptions, RedisStore};
use trainyard_scheduler::adapter::sqlite::SqliteStore;
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::port::store::Store;

use operation::{Made, Operation};
use pair::Pair;

use crate::redis::server::{Server, named};

/// A way to open an empty store; what it is kept in lives as long as the first part.
trait Open {
    async fn open() -> (Box<dyn Any>, Arc<dyn Store>);
}

#[derive(Debug)]
struct Sqlite;

impl Open for Sqlite {
    async fn open() -> (Box<dyn Any>, Arc<dyn Store>) {
        let dir = TempDir::new().unwrap();
        let store = SqliteStore::open(&dir.path().join("record.db"), Arc::new(SystemClock));
        (Box::new(dir), Arc::new(store.unwrap()))
    }
}

#[derive(Debug)]
struct Redis;

/// The server of all cases, while the test holds it: each has a namespace of its own there.
static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static OPENED: AtomicU32 = AtomicU32::new(0);

impl Open for Redis {
    async fn open() -> (Box<dyn Any>, Arc<dyn Store>) {
        let server = SERVER.lock().unwrap().upgrade().unwrap();
        let namespace = format!("case{}", OPENED.fetch_add(1, Ordering::SeqCst));
        let options = RedisOptions { allow_volatile: true, ..named(&namespace) };
        let store = RedisStore::open(&server.url(), &options).await.unwrap();
        (Box::new(server), Arc::new(store))
    }
}

/// Which operations make sense: those on what was made, and on the next one.
struct Sequence;

impl ReferenceStateMachine for Sequence {
    type State = Made;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Made> {
        Just(Made::default()).boxed()
    }

    fn transitions(made: &Made) -> BoxedStrategy<Operation> {
        operation::any(made)
    }

    fn preconditions(made: &Made, operation: &Operation) -> bool {
        made.allows(operation)
    }

    fn apply(made: Made, operation: &Operation) -> Made {
        made.after(operation)
    }
}

struct Beside<O>(PhantomData<O>);

impl<O: Open> StateMachineTest for Beside<O> {
    type SystemUnderTest = Pair;
    type Reference = Sequence;

    fn init_test(_: &Made) -> Pair {
        Pair::new(O::open)
    }

    fn apply(mut pair: Pair, _: &Made, operation: Operation) -> Pair {
        pair.take(&operation);
        pair
    }

    fn check_invariants(pair: &Pair, _: &Made) {
        pair.compare();
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_what_memory_does(sequential 1..40 => Beside<Sqlite>);
}

prop_state_machine! {
    // Fewer: everything that is read goes through a socket.
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    fn redis_beside_memory(sequential 1..40 => Beside<Redis>);
}

#[test]
fn redis_does_what_memory_does() {
    let server = Arc::new(Server::with(&[]));
    *SERVER.lock().unwrap() = Arc::downgrade(&server);
    redis_beside_memory();
}

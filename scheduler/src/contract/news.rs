//! What every [`Store`] that processes share tells each of them of the others.

use std::sync::Arc;
use std::time::Duration;

use super::sample;
use crate::port::news::{News, Word};
use crate::port::store::Store;

/// Only a hang guard.
const SOON: Duration = Duration::from_secs(60);

/// Holds a shared store to its word. `open` gives the same record each time, as another process opens it.
///
/// # Panics
/// Where the contract does not hold.
pub async fn holds(open: impl AsyncFn() -> Arc<dyn Store>) {
    let (one, two) = (open().await, open().await);
    let mut heard = listening(one.as_ref(), two.as_ref()).await;
    let mut own = listening(two.as_ref(), one.as_ref()).await;

    let tenant = sample::tenant();
    let job = sample::made(two.as_ref(), sample::job(&tenant)).await;
    let same = sample::next(&job);
    let ended = sample::ended(&same.job);
    two.commit(same).await.unwrap();
    two.commit(ended).await.unwrap();
    for moved in [true, false, true] {
        let expected = Word::Changed { job: job.id.clone(), moved };
        assert_eq!(next(&mut heard).await, expected, "in the order of the changes");
    }
    // Only what another process does is told: the first word after our own changes is of the other's.
    let foreign = sample::made(one.as_ref(), sample::job(&tenant)).await;
    let expected = Word::Changed { job: foreign.id.clone(), moved: true };
    assert_eq!(next(&mut own).await, expected);
    // A change that is refused is none.
    let stale = sample::next(&foreign);
    two.commit(stale.clone()).await.unwrap();
    two.commit(stale).await.expect_err("the revision is taken");
    let last = sample::made(two.as_ref(), sample::job(&tenant)).await;
    for (job, moved) in [(foreign.id, false), (last.id, true)] {
        assert_eq!(next(&mut heard).await, Word::Changed { job, moved });
    }
}

/// What `one` hears, once it surely hears `two`: listening may begin some time after opening.
async fn listening(one: &dyn Store, two: &dyn Store) -> News {
    let mut news = one.news().expect("a shared store has news");
    loop {
        let probe = sample::made(two, sample::job(&sample::tenant())).await;
        let told = async {
            loop {
                match news.next().await {
                    Word::Changed { job, .. } if job == probe.id => return,
                    _ => {}
                }
            }
        };
        if tokio::time::timeout(Duration::from_millis(200), told).await.is_ok() {
            return news;
        }
    }
}

async fn next(news: &mut News) -> Word {
    tokio::time::timeout(SOON, news.next()).await.expect("word of another process")
}

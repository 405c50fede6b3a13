//! The issuer's keys as they are known here: fetched when a key is missing, at most once a minute and never twice at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::jwks::{self, JwksSource, Key};

/// Between two fetches: a flood of unknown key ids costs the issuer one request a minute.
const FETCH_APART: Duration = Duration::from_secs(60);
/// After this long a set is fetched anew although nothing is missing, so that keys that were withdrawn stop working.
const STALE_AFTER: Duration = Duration::from_secs(600);

pub(super) struct Keys {
    source: Arc<dyn JwksSource>,
    /// `None` until a set could be fetched.
    known: RwLock<Option<Known>>,
    /// Held by whoever fetches; when that was last tried.
    turn: Arc<Mutex<Option<Instant>>>,
}

struct Known {
    keys: HashMap<String, Arc<Key>>,
    since: Instant,
}

/// No set could be fetched so far: nothing can be told of any token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeverFetched;

impl Keys {
    pub(super) fn new(source: Arc<dyn JwksSource>) -> Self {
        Self { source, known: RwLock::default(), turn: Arc::default() }
    }

    /// The key of that id; `None` where the issuer has none.
    pub(super) async fn find(self: &Arc<Self>, id: &str) -> Result<Option<Arc<Key>>, NeverFetched> {
        let (found, stale) = self.look(id);
        match found {
            // One request fetches; the others go on with what is known.
            Some(key) if !stale => return Ok(Some(key)),
            Some(key) => match self.turn.clone().try_lock_owned() {
                Ok(turn) => self.fetch(turn).await,
                Err(_) => return Ok(Some(key)),
            },
            None => {
                let turn = self.turn.clone().lock_owned().await;
                // It may have come while this one waited.
                if let Some(key) = self.look(id).0 {
                    return Ok(Some(key));
                }
                self.fetch(turn).await;
            }
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| known.keys.get(id).cloned()).ok_or(NeverFetched)
    }

    /// Fetches the set unless that was tried a moment ago. What is known stays where it cannot be had.
    async fn fetch(self: &Arc<Self>, turn: OwnedMutexGuard<Option<Instant>>) {
        if turn.is_some_and(|tried| tried.elapsed() < FETCH_APART) {
            return;
        }
        // On its own feet: a client that goes away must not take the fetch of this minute with it.
        let this = self.clone();
        let fetch = tokio::spawn(async move {
            let mut turn = turn;
            *turn = Some(Instant::now());
            if let Err(reason) = this.load().await {
                tracing::warn!(reason, "the issuer's keys could not be fetched");
            }
        });
        if fetch.await.is_err() {
            tracing::error!("the fetch of the issuer's keys ended in panic");
        }
    }

    /// Fetches the set now.
    pub(super) async fn load(&self) -> Result<(), String> {
        let keys = jwks::read(&self.source.fetch().await?)?;
        let keys = keys.into_iter().map(|(id, key)| (id, Arc::new(key))).collect();
        let known = Known { keys, since: Instant::now() };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }

    fn look(&self, id: &str) -> (Option<Arc<Key>>, bool) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.as_ref().and_then(|known| known.keys.get(id).cloned());
        (found, known.as_ref().is_some_and(|known| known.since.elapsed() >= STALE_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use async_trait::async_trait;
    use futures::future::join_all;
    use serde_json::json;

    use super::*;

    /// An issuer that counts; `None` is one that does not answer.
    #[derive(Default)]
    struct Issuer {
        ids: StdMutex<Option<Vec<&'static str>>>,
        fetches: StdMutex<u32>,
    }

    #[async_trait]
    impl JwksSource for Issuer {
        async fn fetch(&self) -> Result<Vec<u8>, String> {
            *self.fetches.lock().unwrap() += 1;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let ids = self.ids.lock().unwrap().clone().ok_or("no answer")?;
            let key = |id| json!({"kty": "RSA", "kid": id, "n": "AQAB", "e": "AQAB"});
            let keys: Vec<_> = ids.into_iter().map(key).collect();
            Ok(json!({"keys": keys}).to_string().into_bytes())
        }
    }

    impl Issuer {
        fn has(&self, ids: Option<Vec<&'static str>>) {
            *self.ids.lock().unwrap() = ids;
        }

        fn fetches(&self) -> u32 {
            *self.fetches.lock().unwrap()
        }
    }

    async fn is_known(keys: &Arc<Keys>, id: &str) -> bool {
        keys.find(id).await.unwrap().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_key_is_fetched_once_a_minute_by_one_of_all_who_ask() {
        let issuer = Arc::new(Issuer::default());
        issuer.has(Some(vec!["a"]));
        let keys = Arc::new(Keys::new(issuer.clone()));
        let all = join_all((0..50).map(|_| is_known(&keys, "a"))).await;
        assert!(all.into_iter().all(|known| known));
        assert_eq!(issuer.fetches(), 1);
        for _ in 0..100 {
            assert!(!is_known(&keys, "../../x").await && is_known(&keys, "a").await);
        }
        assert_eq!(issuer.fetches(), 1, "not again within the minute");
        tokio::time::advance(FETCH_APART).await;
        issuer.has(Some(vec!["b"]));
        assert!(is_known(&keys, "a").await, "nothing is missing");
        assert!(is_known(&keys, "b").await, "the issuer has a new key");
        assert!(!is_known(&keys, "a").await, "and the old one no more");
        assert_eq!(issuer.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn old_keys_serve_while_the_issuer_is_away_and_are_looked_at_again_in_time() {
        let issuer = Arc::new(Issuer::default());
        let keys = Arc::new(Keys::new(issuer.clone()));
        assert_eq!(keys.find("a").await.err(), Some(NeverFetched));
        issuer.has(Some(vec!["a"]));
        assert_eq!(keys.find("a").await.err(), Some(NeverFetched), "not again within the minute");
        tokio::time::advance(FETCH_APART).await;
        assert!(is_known(&keys, "a").await);
        issuer.has(None);
        tokio::time::advance(STALE_AFTER).await;
        assert!(is_known(&keys, "a").await && !is_known(&keys, "b").await);
        assert_eq!(issuer.fetches(), 3, "one that failed, for both");
        tokio::time::advance(FETCH_APART).await;
        issuer.has(Some(vec!["b"]));
        assert!(!is_known(&keys, "a").await, "withdrawn, and seen without a missing key");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_away_does_not_take_the_fetch_with_it() {
        let issuer = Arc::new(Issuer::default());
        issuer.has(Some(vec!["a"]));
        let keys = Arc::new(Keys::new(issuer.clone()));
        let gone = tokio::time::timeout(Duration::from_secs(1), keys.find("a")).await;
        assert!(gone.is_err());
        assert!(is_known(&keys, "a").await);
        assert_eq!(issuer.fetches(), 1);
    }
}

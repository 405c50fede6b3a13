//! Lists that are longer than what one call looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, stream};
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::port::store::{JobFilter, Store};

use super::server::Server;

/// More than one call walks.
const EACH: usize = 1100;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_take_several_calls() {
    let server = Server::durable();
    let store = Arc::new(server.store("lists").await);
    let tenant = sample::tenant();
    // Jobs of one team, one of both, jobs of the other: neither list is short, and they have one job in common.
    let make = async |pairs: &'static [(&str, &str)]| {
        let job = sample::with_metadata(&tenant, pairs);
        let mut commit = sample::new(job.clone());
        commit.model = Some(sample::model(&job, &format!("ft:{}", job.id)));
        store.commit(commit).await.unwrap();
        job
    };
    let many = async |pairs: &'static [(&str, &str)]| {
        stream::iter(0..EACH).map(|_| make(pairs)).buffer_unordered(50).collect::<Vec<_>>().await
    };
    many(&[("a", "1")]).await;
    let both = make(&[("a", "1"), ("b", "1")]).await;
    many(&[("b", "1")]).await;

    let pairs = [("a", "1"), ("b", "1")].map(|(key, value)| (key.to_string(), value.to_string()));
    let filter = JobFilter { metadata: BTreeMap::from(pairs), ..JobFilter::default() };
    for order in [Order::Asc, Order::Desc] {
        let page = PageRequest { after: None, limit: 20, order };
        assert_eq!(store.jobs(&tenant, &filter, &page).await.unwrap(), (vec![both.clone()], false));
        let after = PageRequest { after: Some(both.id.to_string()), ..page };
        assert_eq!(store.jobs(&tenant, &filter, &after).await.unwrap(), (vec![], false));
    }
    let all = PageRequest { after: None, limit: 5000, order: Order::Desc };
    let (jobs, more) = store.jobs(&tenant, &JobFilter::default(), &all).await.unwrap();
    assert_eq!((jobs.len(), more), (2 * EACH + 1, false));
    let models = store.models(&tenant).await.unwrap();
    let names: Vec<_> = models.iter().map(|model| model.job.clone()).collect();
    let expected: Vec<_> = jobs.iter().map(|job| job.id.clone()).collect();
    assert_eq!(names, expected, "all of them, newest first");
}

//! Everything that can be read, from both.

use std::fmt::Debug;

use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::JobId;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_scheduler::port::store::{JobFilter, Slice, Store, StoreError};

use super::pair::{KIND, id, tenant};

/// More than any sequence makes, but few enough that each is asked for.
const NUMBERS: std::ops::Range<u8> = 0..12;

macro_rules! same {
    ($a:expr, $b:expr, $method:ident($($argument:expr),*)) => {
        assert_eq!(
            format!("{:?}", $b.$method($($argument),*).await),
            format!("{:?}", $a.$method($($argument),*).await),
            concat!(stringify!($method), "; right: the store in memory")
        )
    };
}

pub(super) async fn all(reference: &dyn Store, store: &dyn Store) {
    let (a, b) = (reference, store);
    for number in 0..2 {
        let tenant = tenant(number);
        same!(a, b, audit(&tenant, 0, 1000));
        same!(a, b, audit(&tenant, 2, 2));
        same!(a, b, usage(&tenant, 0, 1));
        same!(a, b, usage(&tenant, 1, 9));
        same!(a, b, stored_bytes(&tenant));
        same!(a, b, models(&tenant));
        same!(a, b, live_count(&tenant));
        for other in NUMBERS {
            same!(a, b, file(&tenant, &id("file-", other)));
            same!(a, b, file_in_use(&tenant, &id("file-", other)));
            same!(a, b, model(&tenant, &format!("ft:{other}")));
            same!(a, b, job(&tenant, &id("ftjob-", other)));
            same!(a, b, idempotency(&tenant, &format!("key {other}\n")));
        }
        for purpose in [None, Some(Purpose::FineTune), Some(Purpose::FineTuneResults)] {
            pages(
                async |page| {
                    (a.files(&tenant, purpose, page).await, b.files(&tenant, purpose, page).await)
                },
                |file| file.id.to_string(),
            )
            .await;
        }
        for value in [None, Some("0"), Some("1")] {
            let metadata = value.map(|value| ("team".to_string(), value.to_string()));
            let filter =
                JobFilter { metadata: metadata.into_iter().collect(), ..JobFilter::default() };
            pages(
                async |page| {
                    (a.jobs(&tenant, &filter, page).await, b.jobs(&tenant, &filter, page).await)
                },
                |job| job.id.to_string(),
            )
            .await;
        }
        for file in 0..3 {
            let metadata = [("team".to_string(), "1".to_string())].into_iter().take(file).collect();
            let filter =
                JobFilter { metadata, reads: Some(id("file-", file)), ..JobFilter::default() };
            pages(
                async |page| {
                    (a.jobs(&tenant, &filter, page).await, b.jobs(&tenant, &filter, page).await)
                },
                |job| job.id.to_string(),
            )
            .await;
        }
        same!(a, b, files_of_content(&tenant, &"cd".repeat(32)));
        let scope = tenant.as_str();
        pages(
            async |page| {
                (a.documents(KIND, scope, page).await, b.documents(KIND, scope, page).await)
            },
            |document| document.id.clone(),
        )
        .await;
    }
    for number in NUMBERS {
        let job: JobId = id("ftjob-", number);
        same!(a, b, job_of_any_tenant(&job));
        same!(a, b, all_checkpoints(&job));
        same!(a, b, document(KIND, &format!("document {number}")));
        pages(
            async |page| (a.events(&job, page).await, b.events(&job, page).await),
            |event| event.id.to_string(),
        )
        .await;
        pages(
            async |page| (a.checkpoints(&job, page).await, b.checkpoints(&job, page).await),
            |checkpoint| checkpoint.id.to_string(),
        )
        .await;
    }
    same!(a, b, document_count(KIND));
    same!(a, b, validating_jobs());
    same!(a, b, queued_jobs());
    same!(a, b, busy_jobs());
    same!(a, b, job_counts());
    same!(a, b, outbox());
    same!(a, b, expired_files(5, 2));
    same!(a, b, expired_files(5, 100));
}

/// Walks a list in both orders with pages of two, and asks for a page after what is not there.
async fn pages<T: Debug>(
    ask: impl AsyncFn(&PageRequest) -> (Result<Slice<T>, StoreError>, Result<Slice<T>, StoreError>),
    id: impl Fn(&T) -> String,
) {
    for order in [Order::Asc, Order::Desc] {
        let mut page = PageRequest { after: None, limit: 2, order };
        loop {
            let (reference, other) = ask(&page).await;
            assert_eq!(
                format!("{other:?}"),
                format!("{reference:?}"),
                "{page:?}; right: the store in memory"
            );
            let (items, more) = reference.unwrap();
            if !more {
                break;
            }
            page.after = items.last().map(&id);
        }
        page.after = Some("nothing".to_string());
        let (reference, other) = ask(&page).await;
        assert_eq!(format!("{other:?}"), format!("{reference:?}"), "{page:?}");
    }
}

//! Requests under an idempotency key: reserved before they run, answered once.
//!
//! The first request puts a record `in_progress`, runs, and puts the answer in its place. Its process says every while that it
//! is at work; where it has said nothing for a minute, it has died, and a repeat takes its place. Each write names the revision
//! before it, so who was taken over writes nothing.

use trainyard_openapi::error::{ApiError, ErrorCode};

use super::Scheduler;
use super::documents::json;
use crate::error::Result;
use crate::port::document::Change;
use crate::port::store::StoreError;
use crate::request::{Answer, KEPT_MS, RequestRecord, RequestState};
use crate::tenant::TenantContext;

/// After how long a silent process counts as dead, in milliseconds.
pub(super) const SILENT_MS: i64 = 60_000;

/// What became of a request that was to be reserved.
#[derive(Debug)]
pub enum Reserved {
    /// It is the first: run it.
    Run(Reservation),
    /// It was answered before.
    Answered(Answer),
}

/// The right to run a request.
#[derive(Debug)]
pub struct Reservation {
    record: RequestRecord,
    rev: u64,
}

impl Scheduler {
    /// Reserves a request under its key. `request_sha256` is of all that is known before it runs.
    ///
    /// # Errors
    /// `idempotency_in_progress`; `idempotency_key_reused` where the key came with another request.
    pub async fn reserve(
        &self,
        ctx: &TenantContext,
        key: &str,
        request_sha256: &str,
    ) -> Result<Reserved> {
        let in_progress = || {
            let text = "a request with this Idempotency-Key is being worked on; ask again later";
            ApiError::new(ErrorCode::IdempotencyInProgress, text)
        };
        let id = RequestRecord::id_of(ctx.tenant(), key);
        let now_ms = self.store().now_ms().await?;
        let mut rev = 0;
        if let Some((there, there_rev)) = self.document::<RequestRecord>(&id).await? {
            rev = there_rev;
            let forgotten = there.created_at_ms + KEPT_MS <= now_ms;
            if !forgotten && there.request_sha256 != request_sha256 {
                return Err(reused().into());
            }
            match there.state {
                RequestState::Answered(answer) if !forgotten => {
                    return Ok(Reserved::Answered(answer));
                }
                RequestState::InProgress { seen_at_ms } if seen_at_ms + SILENT_MS > now_ms => {
                    return Err(in_progress().into());
                }
                _ => {}
            }
        }
        let record = RequestRecord {
            tenant: ctx.tenant().clone(),
            key: key.to_string(),
            request_sha256: request_sha256.to_string(),
            state: RequestState::InProgress { seen_at_ms: now_ms },
            created_at_ms: now_ms,
        };
        rev += 1;
        match self.store().apply(&Change::none().put(&record, rev).map_err(json)?).await {
            Ok(()) => Ok(Reserved::Run(Reservation { record, rev })),
            // Another one came in beside this and was faster.
            Err(StoreError::Conflict) => Err(in_progress().into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that the request is still being worked on.
    ///
    /// # Errors
    /// Where it was taken over, or the store does not answer.
    pub async fn still_running(&self, reservation: &mut Reservation) -> Result<()> {
        let seen_at_ms = self.store().now_ms().await?;
        let mut record = reservation.record.clone();
        record.state = RequestState::InProgress { seen_at_ms };
        let change = Change::none().put(&record, reservation.rev + 1).map_err(json)?;
        self.store().apply(&change).await?;
        reservation.record = record;
        reservation.rev += 1;
        Ok(())
    }

    /// Keeps the answer for repeats.
    ///
    /// # Errors
    /// Where it was taken over, or the store does not answer.
    pub async fn keep_answer(&self, reservation: Reservation, answer: Answer) -> Result<()> {
        let Reservation { mut record, rev } = reservation;
        record.state = RequestState::Answered(answer);
        Ok(self.store().apply(&Change::none().put(&record, rev + 1).map_err(json)?).await?)
    }

    /// Frees the key: the request did nothing that must not be done again.
    ///
    /// # Errors
    /// Where it was taken over, or the store does not answer.
    pub async fn free_key(&self, reservation: Reservation) -> Result<()> {
        let Reservation { record, rev } = reservation;
        Ok(self.store().apply(&Change::none().delete(&record, rev)).await?)
    }
}

/// The refusal of a key that came with another request.
fn reused() -> ApiError {
    let text = "this Idempotency-Key was used with another request; use a new key";
    ApiError::new(ErrorCode::IdempotencyMismatch, text)
}

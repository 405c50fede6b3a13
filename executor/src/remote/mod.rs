//! The control plane of another process, over HTTP.
//!
//! Whatever is no definite answer is [`LeaseError::Unavailable`], and every call may be repeated, so each goes to the next address where
//! one gives none. Tokens of claims are held here and are shown to nobody else.

mod endpoints;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::extension::{PrivacySpent, Progress};
use trainyard_openapi::id::{ExecutorId, Nonce};
use trainyard_openapi::job::JobError;
use trainyard_scheduler::port::control_plane::{
    CheckpointPointer, Claim, Completion, ControlPlane, Directive, LeaseError, LeaseId, NewEvent,
    Presence, ReleaseReason, ReservedSteps,
};
use trainyard_scheduler::port::lease_call::{
    CLAIM, CheckpointCall, ClaimCall, Claimed, Directed, DirectiveCall, EXECUTOR, FailCall,
    HeartbeatCall, LEASE, ReleaseCall, ReportCall, ReserveCall, SettleCall, Settled, WAIT_MS_MAX,
    executor_path, lease_path,
};
use trainyard_scheduler::port::queue::Ticket;

use endpoints::Endpoints;

/// From the look-up of a name to an open connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A whole call; one that may wait for something new has this much more than its wait.
const CALL_MAX: Duration = Duration::from_secs(10);
/// A call whose answer takes counting: what a file has spent, over the mechanisms of all its jobs.
const COUNT_MAX: Duration = Duration::from_secs(60);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nowhere to ask.
    #[error("a control plane needs at least one address")]
    NoAddress,
    /// An address that cannot be one.
    #[error("the control plane's address '{0}' is no http:// or https:// URL of a host alone")]
    Address(String),
    /// The certificate authority.
    #[error("the certificates for the control plane cannot be used")]
    Certificates(#[source] reqwest::Error),
    /// A file of certificates without any.
    #[error(
        "the certificates for the control plane hold none: a PEM file with '-----BEGIN CERTIFICATE-----' is needed"
    )]
    NoCertificate,
    /// The HTTP client.
    #[error("the client of the control plane could not start")]
    Client(#[source] reqwest::Error),
}

/// A control plane that one or more processes answer for.
pub struct RemoteControlPlane {
    endpoints: Endpoints,
    executor_token: String,
    /// By nonce, which no two claims share.
    lease_tokens: Mutex<HashMap<Nonce, String>>,
}

impl fmt::Debug for RemoteControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteControlPlane")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl RemoteControlPlane {
    /// A control plane at `addresses`, all of one record, such as `http://api-0:8421`. `ca_pem` has certificates that it may show
    /// beside those that the system trusts.
    ///
    /// # Errors
    /// Addresses or certificates that cannot be used.
    pub fn new(
        addresses: Vec<Url>,
        executor_token: String,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, RemoteError> {
        let endpoints = Endpoints::new(addresses, CONNECT_MAX, ca_pem)?;
        Ok(Self { endpoints, executor_token, lease_tokens: Mutex::default() })
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<Nonce, String>> {
        self.lease_tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call about a lease.
    async fn speak<A: DeserializeOwned>(
        &self,
        lease: &LeaseId,
        name: &str,
        call: &(impl Serialize + Sync),
        limit: Duration,
    ) -> Result<A, LeaseError> {
        // A lease that was not claimed here, or that has ended here.
        let token = self.tokens().get(&lease.nonce).cloned().ok_or(LeaseError::Fenced)?;
        let (path, template) = (lease_path(lease, name), format!("{LEASE}/{name}"));
        let answer = self.endpoints.post(&path, &template, &token, call, limit).await;
        if let Err(LeaseError::Fenced) = answer {
            self.tokens().remove(&lease.nonce);
        }
        answer
    }

    /// A call after which nothing more is said about the lease.
    async fn end(
        &self,
        lease: &LeaseId,
        name: &str,
        call: &(impl Serialize + Sync),
    ) -> Result<(), LeaseError> {
        self.speak::<()>(lease, name, call, CALL_MAX).await?;
        self.tokens().remove(&lease.nonce);
        Ok(())
    }
}

#[async_trait]
impl ControlPlane for RemoteControlPlane {
    async fn enlist(&self, executor: &ExecutorId, presence: &Presence) -> Result<(), LeaseError> {
        let (path, token) = (executor_path(executor), &self.executor_token);
        self.endpoints.post(&path, EXECUTOR, token, presence, CALL_MAX).await
    }

    async fn claim(
        &self,
        ticket: &Ticket,
        executor: &ExecutorId,
        nonce: &Nonce,
    ) -> Result<Claim, LeaseError> {
        let (ticket, executor, nonce) = (ticket.clone(), executor.clone(), nonce.clone());
        let call = ClaimCall { ticket, executor, nonce };
        let answer = self.endpoints.post(CLAIM, CLAIM, &self.executor_token, &call, CALL_MAX).await;
        let Claimed { claim, token } = answer?;
        self.tokens().insert(claim.lease.nonce.clone(), token);
        Ok(claim)
    }

    async fn heartbeat(
        &self,
        lease: &LeaseId,
        progress: &Progress,
    ) -> Result<Directive, LeaseError> {
        let call = HeartbeatCall { progress: progress.clone() };
        let Directed { directive } = self.speak(lease, "heartbeat", &call, CALL_MAX).await?;
        Ok(directive)
    }

    async fn directive(&self, lease: &LeaseId, wait: Duration) -> Result<Directive, LeaseError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(WAIT_MS_MAX);
        let call = DirectiveCall { wait_ms };
        let limit = Duration::from_millis(wait_ms) + CALL_MAX;
        let Directed { directive } = self.speak(lease, "directive", &call, limit).await?;
        Ok(directive)
    }

    async fn report(
        &self,
        lease: &LeaseId,
        progress: &Progress,
        first: u64,
        events: Vec<NewEvent>,
    ) -> Result<(), LeaseError> {
        let call = ReportCall { progress: progress.clone(), first, events };
        self.speak(lease, "report", &call, CALL_MAX).await
    }

    async fn checkpoint(
        &self,
        lease: &LeaseId,
        pointer: &CheckpointPointer,
        metrics: &CheckpointMetrics,
    ) -> Result<(), LeaseError> {
        let call = CheckpointCall { pointer: pointer.clone(), metrics: metrics.clone() };
        self.speak(lease, "checkpoint", &call, CALL_MAX).await
    }

    async fn reserve_steps(
        &self,
        lease: &LeaseId,
        from: u64,
        until: u64,
    ) -> Result<ReservedSteps, LeaseError> {
        self.speak(lease, "reserve", &ReserveCall { from, until }, COUNT_MAX).await
    }

    async fn settle_steps(&self, lease: &LeaseId, step: u64) -> Result<PrivacySpent, LeaseError> {
        let call = SettleCall { step };
        let Settled { spent } = self.speak(lease, "settle", &call, COUNT_MAX).await?;
        Ok(spent)
    }

    async fn complete(&self, lease: &LeaseId, completion: &Completion) -> Result<(), LeaseError> {
        self.end(lease, "complete", completion).await
    }

    async fn fail(
        &self,
        lease: &LeaseId,
        error: &JobError,
        retryable: bool,
    ) -> Result<(), LeaseError> {
        self.end(lease, "fail", &FailCall { error: error.clone(), retryable }).await
    }

    async fn release(&self, lease: &LeaseId, reason: ReleaseReason) -> Result<(), LeaseError> {
        self.end(lease, "release", &ReleaseCall { reason }).await
    }
}

//! Which executor is asking, and for which claim. A handler takes one of these: there is no other way to a lease.

use std::fmt;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, FromRequest, HttpRequest};
use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use trainyard_openapi::body;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::ExecutorId;
use trainyard_scheduler::Scheduler;
use trainyard_scheduler::port::control_plane::LeaseId;

use crate::error::{Failure, LeaseFailure};

/// The fewest characters of the executors' token: it is no word that somebody thinks up.
const TOKEN_CHARS_MIN: usize = 32;
/// The most: it has to fit a header.
const TOKEN_CHARS_MAX: usize = 512;

/// The secret that all executors share. Only its hash is held.
#[derive(Clone)]
pub struct ExecutorToken([u8; 32]);

/// A text that cannot be the executors' token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token has {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} printable ASCII characters without spaces; this one has {characters}{more}"
)]
pub struct WeakToken {
    characters: usize,
    more: &'static str,
}

impl FromStr for ExecutorToken {
    type Err = WeakToken;

    fn from_str(text: &str) -> Result<Self, WeakToken> {
        let (characters, plain) =
            (text.chars().count(), text.bytes().all(|byte| byte.is_ascii_graphic()));
        if plain && (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&characters) {
            return Ok(Self(Sha256::digest(text).into()));
        }
        Err(WeakToken { characters, more: if plain { "" } else { ", some of which are others" } })
    }
}

impl fmt::Debug for ExecutorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExecutorToken")
    }
}

impl ExecutorToken {
    fn is(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        self.0.ct_eq(&hash).into()
    }
}

/// A call of an executor that showed the shared token.
pub(super) struct Known<T>(pub(super) T);

/// A call about a claim by whoever was given it.
pub(super) struct Leased<T> {
    pub(super) lease: LeaseId,
    pub(super) call: T,
}

impl<T: DeserializeOwned> FromRequest for Known<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let token = request.app_data::<Data<ExecutorToken>>();
            let good = token.zip(bearer(&request)).is_some_and(|(token, shown)| token.is(shown));
            if !good {
                tracing::warn!(peer = ?request.peer_addr(), "an executor without the right token was refused");
                let text = "this needs the executors' token, as 'Authorization: Bearer TOKEN'";
                return Err(Failure::from(ApiError::new(ErrorCode::InvalidApiKey, text)).into());
            }
            Ok(Self(read(&request, payload).await?))
        })
    }
}

impl<T: DeserializeOwned> FromRequest for Leased<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            // The body of whoever has no business here is not read.
            let lease = identify(&request).await?;
            Ok(Self { call: read(&request, payload).await?, lease })
        })
    }
}

/// The lease that the path names, if the token is that lease's. Whatever is wrong, the answer is the same.
async fn identify(request: &HttpRequest) -> Result<LeaseId, LeaseFailure> {
    let scheduler = request.app_data::<Data<Scheduler>>().ok_or(LeaseFailure::Unknown)?;
    let (lease, token) = lease_of(request).zip(bearer(request)).ok_or(LeaseFailure::Unknown)?;
    let good = scheduler.is_lease_token(&lease, token).await;
    if !good.map_err(|error| LeaseFailure::Lease(error.into()))? {
        let (job, epoch) = (&lease.job, lease.epoch);
        tracing::warn!(job_id = %job, epoch, peer = ?request.peer_addr(), "a call about a lease without its token was refused");
        return Err(LeaseFailure::Unknown);
    }
    tracing::Span::current().record("job_id", lease.job.as_str());
    Ok(lease)
}

fn lease_of(request: &HttpRequest) -> Option<LeaseId> {
    let path = request.match_info();
    Some(LeaseId {
        job: path.get("job")?.parse().ok()?,
        epoch: path.get("epoch")?.parse().ok()?,
        nonce: path.get("nonce")?.parse().ok()?,
    })
}

/// The executor that the path names.
pub(super) fn executor_of(text: &str) -> Result<ExecutorId, Failure> {
    let wrong = |error: trainyard_openapi::id::InvalidId| {
        ApiError::field(ErrorCode::InvalidValue, "executor", error.to_string())
    };
    Ok(text.parse().map_err(wrong)?)
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    mut payload: Payload,
) -> Result<T, Error> {
    let bytes = Bytes::from_request(request, &mut payload).await?;
    Ok(body::parse(&bytes).map_err(Failure::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_is_not_shown() {
        let text = "0123456789abcdef0123456789abcdef";
        let token: ExecutorToken = text.parse().unwrap();
        assert!(token.is(text) && !token.is(&text[1..]) && !token.is(""));
        assert_eq!(format!("{token:?}"), "ExecutorToken");
        for (wrong, said) in [(&text[1..], "31"), ("", "0"), (&format!("{text} x"), "34, some")] {
            let error = wrong.parse::<ExecutorToken>().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}

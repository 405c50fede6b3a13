//! What a server answers, or what stands in its way, in the words of the port: what is wrong and what to do.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::config::NO_CREDENTIALS;
use crate::port::objects::ObjectError;

/// Said of an answer that cannot be read.
const NO_ANSWER: &str = "the answer is cut, or not that of an S3 server (check --s3-endpoint)";

/// Explains the end of a request about `key`.
pub(super) fn explain<E>(key: &str, error: &SdkError<E>) -> ObjectError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
    match error {
        SdkError::ServiceError(_) if status != 0 => answered(
            key,
            status,
            error.code().unwrap_or_default(),
            error.message().unwrap_or_default(),
        ),
        SdkError::TimeoutError(_) => ObjectError::Unavailable("no answer in time".to_string()),
        _ if is_for_want_of_credentials(error) => {
            ObjectError::Denied(format!("{}; {NO_CREDENTIALS}", innermost(error)))
        }
        SdkError::ResponseError(_) => {
            ObjectError::Unavailable(format!("{NO_ANSWER}: {}", chain(error)))
        }
        _ => ObjectError::Unavailable(chain(error)),
    }
}

/// Codes are those of S3's reference and what Ceph and MinIO have beside them. Answers to HEAD carry none: their status has to do.
fn answered(key: &str, status: u16, code: &str, message: &str) -> ObjectError {
    let said = match (code, message) {
        ("", _) => format!("status {status}"),
        (code, "") => code.to_string(),
        (code, message) => format!("{code}: {message}"),
    };
    let denied = |advice: &str| ObjectError::Denied(format!("{advice} ({said})"));
    let other = |advice: &str| ObjectError::Other(format!("{advice} ({said})"));
    match (status, code) {
        // Ceph has no code of its own for it.
        (_, code) if code.starts_with("KMS") || message.contains("kms-keyid") => {
            denied("the KMS key cannot be used: check --s3-sse-kms-key-id and the key's policy")
        }
        (_, "NoSuchBucket") => {
            other("the bucket does not exist: make it, or name another in the URL")
        }
        (_, "RequestTimeTooSkewed" | "RequestExpired") => denied(
            "this machine's clock and the server's differ by more than 15 minutes: set the clocks",
        ),
        (_, "InvalidAccessKeyId") => {
            denied("the server does not know the access key id: check it, and the endpoint")
        }
        (_, "SignatureDoesNotMatch") => {
            denied("the secret access key does not belong to the access key id")
        }
        (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            denied("the session's credentials are not valid any more: renew them")
        }
        (301 | 307, _)
        | (
            _,
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException",
        ) => {
            other("the bucket is in another region: set --s3-region to the one that is named here")
        }
        (507, _)
        | (_, "QuotaExceeded" | "XMinioStorageFull" | "StorageFull" | "InsufficientStorage") => {
            ObjectError::NoSpace
        }
        (200..=299, "") => ObjectError::Unavailable(format!("{NO_ANSWER}: {said}")),
        (412, _) | (_, "PreconditionFailed") => ObjectError::Exists(key.to_string()),
        (404, _) => ObjectError::NotFound(key.to_string()),
        (409 | 429 | 500 | 502 | 503 | 504, _) | (_, "SlowDown" | "RequestTimeout") => {
            ObjectError::Unavailable(said)
        }
        (401 | 403, _) => denied(&format!(
            "no permission for '{key}': the credentials need to list the bucket and to read, write and delete below its prefix"
        )),
        _ => ObjectError::Other(format!("'{key}': {said}")),
    }
}

fn is_for_want_of_credentials(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(|source| source.is::<CredentialsError>())
}

/// Every cause, the first first; those that only repeat the next are left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in sources(error).map(ToString::to_string) {
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// The first line of the last cause; more lines are a provider each, and the log has them.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = sources(error).last().map(ToString::to_string).unwrap_or_default();
    last.lines().next().unwrap_or_default().trim_end_matches([':', '.']).to_string()
}

fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_what_the_port_knows() {
        let of = |status, code| answered("files/a", status, code, "");
        for (status, code) in
            [(503, "SlowDown"), (500, ""), (503, ""), (429, ""), (400, "RequestTimeout")]
        {
            assert!(matches!(of(status, code), ObjectError::Unavailable(_)), "{status} {code}");
        }
        for (status, code) in [
            (403, "AccessDenied"),
            (403, ""),
            (403, "RequestTimeTooSkewed"),
            (400, "ExpiredToken"),
            (400, "KMS.DisabledException"),
        ] {
            assert!(matches!(of(status, code), ObjectError::Denied(_)), "{status} {code}");
        }
        for (status, code) in [(507, "XMinioStorageFull"), (403, "QuotaExceeded")] {
            assert!(matches!(of(status, code), ObjectError::NoSpace), "{status} {code}");
        }
        assert!(matches!(of(404, "NoSuchKey"), ObjectError::NotFound(_)));
        assert!(matches!(of(412, ""), ObjectError::Exists(_)));
        let region = of(400, "AuthorizationHeaderMalformed").to_string();
        assert!(region.contains("--s3-region"), "{region}");
    }
}

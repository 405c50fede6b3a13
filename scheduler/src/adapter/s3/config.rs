//! Where the bucket is and how it is reached.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::tls;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;

use crate::clock::{Clock, SystemClock};
use crate::port::objects::check_key;

/// Bytes of the prefix: with the longest key it stays below S3's 1024.
const PREFIX_BYTES_MAX: usize = 1024 - 1 - crate::port::objects::KEY_BYTES_MAX;
/// The region that servers beside AWS take where none is set.
const REGION: &str = "us-east-1";
/// Until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// From the beginning of a request to the first byte of its answer; a part of an upload has to go through in it.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Tries where nothing else is said.
const TRIES: u32 = 6;
/// The longest pause before the next try.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The same while the server starts: a wrong setting shall be told soon.
const TRIES_AT_START: u32 = 2;

/// How the store of an `s3:` URL is reached. The default is AWS, without credentials.
#[derive(Clone)]
pub struct S3Options {
    /// The server's URL; AWS in `region` where there is none.
    pub endpoint: Option<String>,
    /// The same as clients reach it, for links; `endpoint` where it is not said.
    pub public_endpoint: Option<String>,
    /// The region that requests are signed for; `us-east-1` where an endpoint is given and no region.
    pub region: Option<String>,
    /// Whether the bucket is in the path (`endpoint/bucket`) and not in the host's name. True with an endpoint where it is not said.
    pub path_style: Option<bool>,
    /// The KMS key that objects are encrypted with; as the bucket has it where there is none.
    pub sse_kms_key_id: Option<String>,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Tries of a request that the server puts off or does not answer, 6 by default: with the pauses between them a store may be gone
    /// for some twenty seconds.
    pub tries: u32,
    /// Who asks.
    pub credentials: Option<SharedCredentialsProvider>,
    /// The clock that requests are signed by.
    pub clock: Arc<dyn Clock>,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            public_endpoint: None,
            region: None,
            path_style: None,
            sse_kms_key_id: None,
            ca_pem: None,
            tries: TRIES,
            credentials: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl S3Options {
    /// The same with an access key.
    #[must_use]
    pub fn with_key(self, id: &str, secret: &str) -> Self {
        self.with_credentials(Credentials::new(id, secret, None, None, "settings"))
    }

    /// The same with credentials that `provider` finds, and renews where they end.
    #[must_use]
    pub fn with_credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        self.credentials = Some(SharedCredentialsProvider::new(provider));
        self
    }

    /// The clients of this store.
    pub(super) fn clients(&self) -> Result<Clients, String> {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.signing_region()?))
            .credentials_provider(self.credentials.clone().ok_or(NO_CREDENTIALS)?)
            .http_client(self.http_client()?)
            .time_source(Time(self.clock.clone()))
            .force_path_style(self.path_style.unwrap_or(self.endpoint.is_some()))
            // Sent where the store keeps them, which is tried at the start; many refuse requests that carry them.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_MAX)
                    .read_timeout(ANSWER_MAX)
                    .build(),
            );
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(checked(endpoint)?);
        }
        let retry =
            |tries| RetryConfig::standard().with_max_attempts(tries).with_max_backoff(PAUSE_MAX);
        let client = |tries| Client::from_conf(config.clone().retry_config(retry(tries)).build());
        let all = client(self.tries);
        let public = match &self.public_endpoint {
            Some(endpoint) => {
                Client::from_conf(config.clone().endpoint_url(checked(endpoint)?).build())
            }
            None => all.clone(),
        };
        Ok(Clients { all, starting: client(TRIES_AT_START.min(self.tries)), public })
    }

    fn http_client(&self) -> Result<SharedHttpClient, String> {
        let plain = self.endpoint.as_ref().is_some_and(|url| url.starts_with("http:"));
        if plain && self.ca_pem.is_some() {
            return Err("a CA file is of use with an https:// endpoint alone".to_string());
        }
        if plain {
            return Ok(aws_smithy_http_client::Builder::new().build_http());
        }
        https_client(self.ca_pem.as_deref())
    }

    fn signing_region(&self) -> Result<String, String> {
        match (&self.region, &self.endpoint) {
            (Some(region), _) => Ok(region.clone()),
            (None, Some(_)) => Ok(REGION.to_string()),
            (None, None) => {
                Err("no region: set --s3-region or AWS_REGION, or --s3-endpoint for a server beside AWS".to_string())
            }
        }
    }
}

/// Clients of one store.
pub(super) struct Clients {
    /// For all requests.
    pub(super) all: Client,
    /// For the start: it gives up earlier.
    pub(super) starting: Client,
    /// Signs links and sends nothing.
    pub(super) public: Client,
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, path_style, .. } = self;
        write!(f, "S3Options({endpoint:?}, {region:?}, path_style: {path_style:?})")
    }
}

/// What to do where no credentials are found.
pub(super) const NO_CREDENTIALS: &str = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --s3-access-key-id and --s3-secret-access-key-file, or run where AWS gives a role";

/// A bucket and what all keys in it begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// The bucket.
    pub(super) bucket: String,
    /// Empty, or ends with `/`.
    pub(super) prefix: String,
}

impl Location {
    /// Reads `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let expected = "expected s3://BUCKET or s3://BUCKET/PREFIX";
        let rest = url.strip_prefix("s3://").ok_or(expected)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let letter = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
        };
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(letter) {
            let rule = "a bucket's name has 3 to 63 of a-z, 0-9, '.' and '-'";
            return Err(format!("'{bucket}' names no bucket: {rule}; {expected}"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if prefix.is_empty() {
            return Ok(Self { bucket: bucket.to_string(), prefix: String::new() });
        }
        if check_key(prefix).is_err() || prefix.len() + 1 > PREFIX_BYTES_MAX {
            let rule = format!(
                "parts of A-Z, a-z, 0-9, '.', '_' and '-' between single '/', none beginning with a dot, at most {} bytes",
                PREFIX_BYTES_MAX - 1
            );
            return Err(format!("'{prefix}' cannot be a prefix: {rule}"));
        }
        Ok(Self { bucket: bucket.to_string(), prefix: format!("{prefix}/") })
    }
}

/// An endpoint that is a URL of a host and nothing more.
fn checked(endpoint: &str) -> Result<String, String> {
    let expected = "expected http(s)://HOST[:PORT]";
    let refused = |why: &str| Err(format!("the endpoint '{endpoint}' {why}; {expected}"));
    let url = match Url::parse(endpoint) {
        Ok(url) => url,
        Err(error) => return refused(&format!("is no URL ({error})")),
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return refused("is no URL of a web server");
    }
    if !url.username().is_empty() || url.password().is_some() {
        // It is not shown: it is a secret.
        return Err(format!(
            "the endpoint carries credentials, which have settings of their own; {expected}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refused("has a query or a fragment");
    }
    Ok(endpoint.to_string())
}

/// The client of `https`, whose server may show one of these certificates too.
fn https_client(ca_pem: Option<&[u8]>) -> Result<SharedHttpClient, String> {
    let mut trust = tls::TrustStore::default();
    if let Some(pem) = ca_pem {
        check_certificates(pem).map_err(|why| format!("the CA file cannot be used: {why}"))?;
        trust = trust.with_pem_certificate(pem);
    }
    let context = tls::TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|error| error.to_string())?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .tls_context(context)
        .build_https())
}

/// The client ends the process where it is given others.
fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("it is no PEM: {error}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate in PEM".to_string()) } else { Ok(()) }
}

/// The project's clock, as the SDK asks for it.
struct Time(Arc<dyn Clock>);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        now(self.0.as_ref())
    }
}

/// The time as the SDK counts it.
pub(super) fn now(clock: &dyn Clock) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(clock.now_ms()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_bucket_and_a_prefix() {
        let parsed = |url: &str| Location::parse(url).map(|at| (at.bucket, at.prefix));
        let of = |bucket: &str, prefix: &str| Ok((bucket.to_string(), prefix.to_string()));
        assert_eq!(parsed("s3://training"), of("training", ""));
        assert_eq!(parsed("s3://training/"), of("training", ""));
        assert_eq!(parsed("s3://my.bucket-1/prod/eu/"), of("my.bucket-1", "prod/eu/"));
        for wrong in [
            "s3:",
            "s3:bucket",
            "s3://",
            "s3:///a",
            "s3://ab",
            "s3://Bucket",
            "s3://user@bucket",
            "s3://bucket:80",
            "s3://bucket//a",
            "s3://bucket/../a",
            "s3://bucket/a?versionId=1",
            "s3://bucket/a#b",
            "s3://bucket/a%2fb",
            "s3://bucket/.hidden",
        ] {
            assert!(Location::parse(wrong).is_err(), "{wrong}");
        }
        let long = |count: usize| format!("s3://bucket/{}", ["a"; 112][..count].join("/"));
        assert!(Location::parse(&long(112)).is_err() && Location::parse(&long(111)).is_ok());
    }

    #[test]
    fn endpoints_are_a_host() {
        assert!(
            checked("http://127.0.0.1:9000").is_ok() && checked("https://s3.example.org/").is_ok()
        );
        for wrong in [
            "127.0.0.1:9000",
            "s3.example.org",
            "ftp://h",
            "http://id:secret@h",
            "http://h/?x=1",
            "",
        ] {
            let error = checked(wrong).unwrap_err();
            assert!(error.contains("expected http(s)://HOST[:PORT]"), "{error}");
        }
    }
}

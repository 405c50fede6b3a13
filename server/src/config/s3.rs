//! Settings of an S3 store: how `objects = "s3://BUCKET/PREFIX"` is reached.

use std::path::PathBuf;

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use trainyard_scheduler::adapter::s3::S3Options;

use super::layer::settings;
use super::{ConfigError, content};

settings! {
    /// How the store of an `s3:` URL is reached.
    S3 from S3Layer, "S3";
    fixed {}
    derived {
        /// URL of the S3 server.
        s3_endpoint: String = "AWS in the region", "TRAINYARD_S3_ENDPOINT";
        /// URL of the S3 server as clients reach it, for links.
        s3_public_endpoint: String = "s3_endpoint", "TRAINYARD_S3_PUBLIC_ENDPOINT";
        /// Region of the bucket.
        s3_region: String = "AWS_REGION; us-east-1 with an endpoint", "TRAINYARD_S3_REGION";
        /// Put the bucket into the path of the URL and not into the host's name.
        s3_path_style: bool = "true with an endpoint, false without", "TRAINYARD_S3_PATH_STYLE";
        /// KMS key that objects are encrypted with.
        s3_sse_kms_key_id: String = "as the bucket has it", "TRAINYARD_S3_SSE_KMS_KEY_ID";
        /// Access key id.
        s3_access_key_id: String = "AWS' own chain: AWS_ACCESS_KEY_ID, AWS_PROFILE, web identity, the machine's role", "TRAINYARD_S3_ACCESS_KEY_ID";
        /// File that holds the secret access key and nothing else.
        s3_secret_access_key_file: PathBuf = "with the access key id, from the same place", "TRAINYARD_S3_SECRET_ACCESS_KEY_FILE";
        /// File with certificates in PEM that the S3 server may show, beside those that the system trusts.
        s3_ca_file: PathBuf = "none", "TRAINYARD_S3_CA_FILE";
    }
}

impl S3 {
    /// Rules across these settings.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |reason: &str| Err(ConfigError::Conflict(reason.to_string()));
        match (&self.s3_access_key_id, &self.s3_secret_access_key_file) {
            (Some(_), None) => refuse(
                "'s3_access_key_id' is set, and 's3_secret_access_key_file' is not: set both or none",
            ),
            (None, Some(_)) => refuse(
                "'s3_secret_access_key_file' is set, and 's3_access_key_id' is not: set both or none",
            ),
            _ => Ok(()),
        }
    }

    /// The same as the store wants it, for objects at `url`. Credentials and region come from where AWS' own programs look for
    /// them, unless they are set here.
    pub(crate) async fn options(&self, url: &str) -> Result<S3Options, ConfigError> {
        if !url.starts_with("s3:") {
            if let Some(name) = self.first_set() {
                let reason = format!(
                    "'{name}' is set, and objects are in '{url}': it is of use with s3://BUCKET/PREFIX alone"
                );
                return Err(ConfigError::Conflict(reason));
            }
            return Ok(S3Options::default());
        }
        let Self {
            s3_endpoint,
            s3_public_endpoint,
            s3_region,
            s3_path_style,
            s3_sse_kms_key_id,
            s3_ca_file,
            ..
        } = self;
        let region = s3_region.clone().or_else(region_of_environment);
        let options = S3Options {
            endpoint: s3_endpoint.clone(),
            public_endpoint: s3_public_endpoint.clone(),
            region: region.clone(),
            path_style: *s3_path_style,
            sse_kms_key_id: s3_sse_kms_key_id.clone(),
            ca_pem: s3_ca_file.as_deref().map(content).transpose()?,
            ..S3Options::default()
        };
        match (&self.s3_access_key_id, &self.s3_secret_access_key_file) {
            (Some(id), Some(file)) => {
                let secret = content(file)?;
                Ok(options.with_key(id, String::from_utf8_lossy(&secret).trim()))
            }
            _ => {
                let chain = DefaultCredentialsChain::builder().region(region.map(Region::new));
                let chain = chain.build().await;
                Ok(options.with_credentials(chain))
            }
        }
    }

    fn first_set(&self) -> Option<&'static str> {
        let Self {
            s3_endpoint,
            s3_public_endpoint,
            s3_region,
            s3_path_style,
            s3_sse_kms_key_id,
            s3_access_key_id,
            s3_secret_access_key_file,
            s3_ca_file,
        } = self;
        let set = [
            ("s3_endpoint", s3_endpoint.is_some()),
            ("s3_public_endpoint", s3_public_endpoint.is_some()),
            ("s3_region", s3_region.is_some()),
            ("s3_path_style", s3_path_style.is_some()),
            ("s3_sse_kms_key_id", s3_sse_kms_key_id.is_some()),
            ("s3_access_key_id", s3_access_key_id.is_some()),
            ("s3_secret_access_key_file", s3_secret_access_key_file.is_some()),
            ("s3_ca_file", s3_ca_file.is_some()),
        ];
        set.iter().find(|(_, set)| *set).map(|(name, _)| *name)
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate is the one that reads the environment")]
fn region_of_environment() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

//! Links: a GET that is signed beforehand, so that a client needs no credentials (Signature Version 4 in the query).

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use trainyard_openapi::link::attachment;

use super::S3Objects;
use super::config::now;
use super::error::explain;
use crate::port::objects::ObjectError;

impl S3Objects {
    /// A URL for GET of the object, good for `life` from now on.
    pub(super) async fn signed_get(
        &self,
        key: &str,
        filename: &str,
        life: Duration,
    ) -> Result<String, ObjectError> {
        let config = PresigningConfig::builder()
            .start_time(now(self.clock.as_ref()))
            .expires_in(life)
            .build()
            .map_err(|error| ObjectError::Other(error.to_string()))?;
        let request = self.public.get_object().bucket(&self.at.bucket).key(self.name(key));
        let request = request
            .response_content_type("application/octet-stream")
            .response_content_disposition(attachment(filename));
        let signed = request.presigned(config).await.map_err(|error| explain(key, &error))?;
        Ok(signed.uri().to_string())
    }
}

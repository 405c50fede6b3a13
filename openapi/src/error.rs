//! Every error that a client can see: one table of code, type and HTTP status, and OpenAI's body around it.
//!
//! To add one, add a line to `error_codes!`; nothing else in the project names an HTTP status of an error.

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $kind:literal, $status:literal;)*) => {
        /// What went wrong, in a form that programs can use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// Every code, for documentation and for tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The value of `error.code`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The value of `error.type`.
            pub const fn kind(self) -> &'static str {
                match self { $(Self::$name => $kind),* }
            }

            /// The HTTP status that carries it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }
        }
    };
}

error_codes! {
    /// The body is not JSON, or not of the shape that the operation takes.
    InvalidBody = "invalid_body", "invalid_request_error", 400;
    /// A field is missing.
    MissingField = "missing_required_parameter", "invalid_request_error", 400;
    /// A key that the operation does not know.
    UnknownParameter = "unknown_parameter", "invalid_request_error", 400;
    /// A value of the wrong type or outside its limits.
    InvalidValue = "invalid_value", "invalid_request_error", 400;
    /// A setting that the contract names and that this version does not carry out.
    NotAvailable = "not_available", "invalid_request_error", 400;
    /// The file does not fit what the job asks of it.
    InvalidFile = "invalid_file", "invalid_request_error", 400;
    /// The file has a purpose that cannot be trained on.
    InvalidPurpose = "invalid_file_purpose", "invalid_request_error", 400;
    /// The job does not fit what is left of its training file's privacy budget.
    PrivacyBudgetExceeded = "privacy_budget_exceeded", "invalid_request_error", 400;
    /// The cursor names nothing in this list.
    InvalidCursor = "invalid_cursor", "invalid_request_error", 400;
    /// No credential, or one that is not known.
    InvalidApiKey = "invalid_api_key", "invalid_request_error", 401;
    /// The key is known and may not do this.
    InsufficientScope = "insufficient_scope", "permission_error", 403;
    /// The tenant's keys do not work at present.
    TenantSuspended = "tenant_suspended", "permission_error", 403;
    /// No such thing for this tenant.
    NotFound = "not_found", "invalid_request_error", 404;
    /// No such file for this tenant.
    FileNotFound = "file_not_found", "invalid_request_error", 404;
    /// No such model for this tenant.
    ModelNotFound = "model_not_found", "invalid_request_error", 404;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", "invalid_request_error", 405;
    /// The body did not come, or came too slowly; nothing was done.
    RequestTimeout = "request_timeout", "invalid_request_error", 408;
    /// The job's state does not allow it.
    InvalidState = "invalid_state", "invalid_request_error", 409;
    /// The same idempotency key is being worked on.
    IdempotencyInProgress = "idempotency_in_progress", "invalid_request_error", 409;
    /// The first answer under this idempotency key is not kept, as it held a secret or was too large.
    IdempotencyWithheld = "idempotency_answer_withheld", "invalid_request_error", 409;
    /// The thing is in use.
    InUse = "in_use", "invalid_request_error", 409;
    /// The body is larger than the limit.
    TooLarge = "request_too_large", "invalid_request_error", 413;
    /// The content type or encoding is not one that the operation takes.
    UnsupportedMediaType = "unsupported_media_type", "invalid_request_error", 415;
    /// The same idempotency key came with another body.
    IdempotencyMismatch = "idempotency_key_reused", "invalid_request_error", 422;
    /// Too many requests, or a quota is used up.
    RateLimited = "rate_limit_exceeded", "rate_limit_error", 429;
    /// A quota of the tenant is used up.
    QuotaExceeded = "quota_exceeded", "insufficient_quota", 429;
    /// A fault of the server; the log has the rest under the request id.
    Internal = "internal_error", "server_error", 500;
    /// The store did not answer, or the server is stopping; the same request may be repeated.
    Unavailable = "service_unavailable", "server_error", 503;
}

impl ErrorCode {
    /// Whether the same request may succeed when repeated; sent as `x-should-retry`, which OpenAI's clients obey.
    pub const fn should_retry(self) -> bool {
        matches!(
            self,
            Self::RequestTimeout | Self::RateLimited | Self::Unavailable | Self::Internal
        )
    }
}

/// The body of every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// OpenAI's four keys; all are always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// A sentence for people, naming the field, the limit and the value seen.
    pub message: String,
    /// The class of the error, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault, as a path such as `method.supervised.hyperparameters.batch_size`.
    #[schema(required = true)]
    pub param: Option<String>,
    /// The machine-readable code.
    #[schema(required = true)]
    pub code: Option<String>,
}

/// A refusal on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What went wrong.
    pub code: ErrorCode,
    /// The field at fault.
    pub param: Option<String>,
    /// A sentence for people.
    pub message: String,
}

impl ApiError {
    /// An error that no single field is to blame for.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, param: None, message: message.into() }
    }

    /// An error of the field `param`.
    pub fn field(code: ErrorCode, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, param: Some(param.into()), message: message.into() }
    }

    /// The body that a client gets.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: self.message.clone(),
                kind: self.code.kind().to_string(),
                param: self.param.clone(),
                code: Some(self.code.as_str().to_string()),
            },
        }
    }
}

//! Bearer tokens of an OpenID Connect issuer: JSON Web Tokens (RFC 7519) that its key set checks.
//!
//! A token is believed where the issuer's key signed it by an algorithm of the allow-list, and `iss` and `aud` are the
//! configured ones. Who it acts for is then the scheduler's to say, as is the time.

mod algorithm;
mod jwks;
mod keys;

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::tenant::Scope;
use trainyard_scheduler::Token;

pub use algorithm::Algorithms;
pub use jwks::{JWKS_BYTES_MAX, JwksSource};
use keys::{Keys, NeverFetched};

/// Bytes of a token: what common proxies take in one header.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What tokens have to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// The `iss` of every token.
    pub issuer: String,
    /// What `aud` has to hold.
    pub audience: String,
    /// The claim with the id of the tenant, a text.
    pub tenant_claim: String,
    /// The claim with the scopes: words in one text, or a list of texts.
    pub scopes_claim: String,
    /// The algorithms that are taken.
    pub algorithms: Algorithms,
    /// Whether the scope `admin` in a token makes an operator of this server. Where it does not, the word means nothing.
    pub admin: bool,
}

/// Checks tokens. Clones are the same one, with the same keys.
#[derive(Clone)]
pub struct Oidc {
    settings: Arc<OidcSettings>,
    keys: Arc<Keys>,
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Oidc").field(&self.settings).finish()
    }
}

impl Oidc {
    /// Checks tokens with the keys of `source`. Nothing is fetched yet.
    pub fn new(settings: OidcSettings, source: Arc<dyn JwksSource>) -> Self {
        Self { settings: Arc::new(settings), keys: Arc::new(Keys::new(source)) }
    }

    /// Fetches the keys now, so that the first token finds them.
    ///
    /// # Errors
    /// Why they cannot be had. Tokens are tried all the same: the keys are fetched again when one comes.
    pub async fn load(&self) -> Result<(), String> {
        self.keys.load().await
    }

    /// What a token says, where the issuer made it for this server.
    ///
    /// # Errors
    /// `invalid_api_key`; `service_unavailable` where no key set could be fetched so far.
    pub(super) async fn verify(&self, token: &str) -> Result<Token, ApiError> {
        if token.len() > TOKEN_BYTES_MAX {
            let text = format!("it has {} bytes; the limit is {TOKEN_BYTES_MAX}", token.len());
            return Err(refused(&text));
        }
        let header = decode_header(token).map_err(|_| refused("its head cannot be read"))?;
        if !self.settings.algorithms.take(header.alg) {
            return Err(refused("it is signed by an algorithm that is not taken here"));
        }
        // RFC 7515, 4.1.11: what must be understood and is not is a reason to refuse.
        if header.crit.is_some() {
            return Err(refused("its head has 'crit', and no extension is known here"));
        }
        let id = header.kid.ok_or_else(|| refused("its head names no key ('kid')"))?;
        let key = self.keys.find(&id).await.map_err(|NeverFetched| {
            let text =
                "the keys of the token's issuer cannot be fetched at present; repeat the request";
            ApiError::new(ErrorCode::Unavailable, text)
        })?;
        let key = key.filter(|key| key.signs(header.alg));
        let key = key.ok_or_else(|| refused("its key is none of the issuer's"))?;
        let claims =
            decode::<Map<String, Value>>(token, &key.decoding, &self.validation(header.alg));
        let claims = claims.map_err(|error| refused(&reason(error.kind())))?.claims;
        self.read(&claims)
    }

    /// Issuer and audience are the library's to check; the time is the scheduler's, whose clock is the store's.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }

    fn read(&self, claims: &Map<String, Value>) -> Result<Token, ApiError> {
        let OidcSettings { tenant_claim, scopes_claim, admin, .. } = self.settings.as_ref();
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let subject = text("sub");
        if !Token::is_subject(subject) {
            return Err(refused("its 'sub' is empty, too long, or not printable"));
        }
        let mut scopes = scopes(claims.get(scopes_claim)).ok_or_else(|| {
            refused(&format!("its '{scopes_claim}' is neither a text nor a list of texts"))
        })?;
        scopes.retain(|scope| *admin || *scope != Scope::Admin);
        let expires_at_ms = time(claims, "exp")?.ok_or_else(|| refused("it has no 'exp'"))?;
        Ok(Token {
            subject: subject.to_string(),
            tenant: text(tenant_claim).to_string(),
            scopes,
            not_before_ms: time(claims, "nbf")?,
            expires_at_ms,
        })
    }
}

/// The scopes that there are. A token may name others: they are for other servers.
fn scopes(claim: Option<&Value>) -> Option<Vec<Scope>> {
    let words: Vec<&str> = match claim {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>()?,
        Some(_) => return None,
    };
    Some(words.into_iter().filter_map(Scope::of).collect())
}

/// A time in milliseconds; the claim has seconds, which may be broken (RFC 7519, section 2).
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, ApiError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let seconds =
                value.as_f64().ok_or_else(|| refused(&format!("its '{name}' is no number")))?;
            Ok(Some((seconds * 1000.0) as i64))
        }
    }
}

fn reason(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::InvalidSignature => "its signature is wrong".to_string(),
        ErrorKind::InvalidIssuer => "its issuer ('iss') is another".to_string(),
        ErrorKind::InvalidAudience => "it is for somebody else ('aud')".to_string(),
        ErrorKind::MissingRequiredClaim(name) => format!("it has no '{name}'"),
        _ => "it cannot be read".to_string(),
    }
}

fn refused(why: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidApiKey, format!("the token is not good here: {why}"))
}

//! Signing: Standard Webhooks' `v1`, HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use trainyard_openapi::limits::{WEBHOOK_SECRET_BYTES_MAX, WEBHOOK_SECRET_BYTES_MIN};
use trainyard_openapi::webhook::SigningSecret;

const PREFIX: &str = "whsec_";
/// Bytes of a secret that the server makes: as many as the hash has.
const BYTES: usize = 32;

/// A new random secret.
///
/// # Errors
/// Where the system gives no random bytes.
pub fn generate() -> Result<SigningSecret, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(SigningSecret(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

/// The bytes of a secret that a client brings.
///
/// # Errors
/// A sentence that says what is wrong, without the secret.
pub fn decode(secret: &SigningSecret) -> Result<Vec<u8>, String> {
    let Some(text) = secret.0.strip_prefix(PREFIX) else {
        return Err(format!("must be '{PREFIX}' and base64"));
    };
    let bytes =
        STANDARD.decode(text).map_err(|_| format!("must be '{PREFIX}' and base64 with padding"))?;
    let (min, max) = (WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRET_BYTES_MAX);
    if (min..=max).contains(&bytes.len()) {
        return Ok(bytes);
    }
    Err(format!("must hold {min} to {max} bytes, not {}", bytes.len()))
}

/// One signature of the header `webhook-signature`.
///
/// # Errors
/// As [`decode`].
pub fn sign(
    secret: &SigningSecret,
    id: &str,
    timestamp: i64,
    body: &str,
) -> Result<String, String> {
    let key = decode(secret)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_has_the_published_signature() {
        // The example of the Standard Webhooks specification and its libraries' tests.
        let secret = SigningSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_string());
        let body = r#"{"test": 2432232314}"#;
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_have_a_form_and_are_not_shown() {
        let secret = generate().unwrap();
        assert_eq!(decode(&secret).unwrap().len(), BYTES);
        assert_ne!(secret, generate().unwrap());
        assert_eq!(format!("{secret:?}"), "SigningSecret");
        let of =
            |bytes: usize| SigningSecret(format!("{PREFIX}{}", STANDARD.encode(vec![7; bytes])));
        assert!(decode(&of(24)).is_ok() && decode(&of(64)).is_ok());
        assert!(decode(&of(23)).unwrap_err().contains("not 23"));
        assert!(decode(&of(65)).unwrap_err().contains("not 65"));
        for wrong in ["", "abc", "whsec_???", "whsec_"] {
            assert!(decode(&SigningSecret(wrong.to_string())).is_err(), "{wrong}");
        }
    }
}

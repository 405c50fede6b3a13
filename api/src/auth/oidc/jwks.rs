//! The issuer's public keys: where they come from, and which of its keys are of use.

use std::collections::HashMap;

use async_trait::async_trait;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Bytes of a key set: a hundred keys with their certificates.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
/// Keys of a set; issuers have two or three.
const KEYS_MAX: usize = 100;

/// Where the issuer's key set is read.
///
/// Contract: [`JwksSource::fetch`] ends within seconds, reads at most [`JWKS_BYTES_MAX`] bytes, and follows no redirect. It is
/// called at most once a minute and never twice at once.
#[async_trait]
pub trait JwksSource: Send + Sync {
    /// The key set as it is now: JSON as in RFC 7517, section 5.
    ///
    /// # Errors
    /// Why it cannot be had, for the log.
    async fn fetch(&self) -> Result<Vec<u8>, String>;
}

/// A key and what may be signed with it.
pub(super) struct Key {
    pub(super) decoding: DecodingKey,
    algorithms: Vec<Algorithm>,
}

impl Key {
    /// Whether a signature by `algorithm` can be this key's. What the token's head says is not enough.
    pub(super) fn signs(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set by their ids. A key of a kind that is not known here does not spoil the others.
pub(super) fn read(bytes: &[u8]) -> Result<HashMap<String, Key>, String> {
    if bytes.len() > JWKS_BYTES_MAX {
        return Err(format!("the key set is larger than {JWKS_BYTES_MAX} bytes"));
    }
    let set: Set = serde_json::from_slice(bytes)
        .map_err(|error| format!("the key set cannot be read: {error}"))?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("the key set has {} keys; the limit is {KEYS_MAX}", set.keys.len()));
    }
    let keys: HashMap<String, Key> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() {
        let text = "has no key with a 'kid' that signs by a public-key algorithm";
        return Err(format!("the key set of {} keys {text}", set.keys.len()));
    }
    Ok(keys)
}

fn key(value: &Value) -> Option<(String, Key)> {
    let jwk = Jwk::deserialize(value).ok()?;
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
        return None;
    }
    let of_kind: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        // Shared secrets above all.
        _ => return None,
    };
    let named = |algorithm: &&Algorithm| {
        common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(**algorithm))
    };
    let algorithms: Vec<Algorithm> = of_kind.iter().filter(named).copied().collect();
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    let id = common.key_id.clone().filter(|_| !algorithms.is_empty())?;
    Some((id, Key { decoding, algorithms }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_of_other_kinds_are_left_out_and_spoil_nothing() {
        let rsa = json!({"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"});
        let set = json!({"keys": [
            rsa,
            {"kty": "RSA", "kid": "ps", "alg": "PS256", "use": "sig", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "for-encryption", "use": "enc", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "damaged", "n": "!", "e": "AQAB"},
            {"kty": "EC", "kid": "p256", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
            {"kty": "EC", "kid": "mismatch", "alg": "RS256", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
            {"kty": "oct", "kid": "secret", "k": "AQAB"},
            {"kty": "new", "kid": "unheard-of"},
            7,
        ]});
        let keys = read(set.to_string().as_bytes()).unwrap();
        let mut names: Vec<&str> = keys.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["p256", "ps", "rsa"]);
        assert!(keys["rsa"].signs(Algorithm::RS256) && !keys["rsa"].signs(Algorithm::HS256));
        assert!(keys["ps"].signs(Algorithm::PS256) && !keys["ps"].signs(Algorithm::RS256));
        assert!(keys["p256"].signs(Algorithm::ES256) && !keys["p256"].signs(Algorithm::ES384));
        for (set, why) in [
            (json!({"keys": []}).to_string(), "of 0 keys"),
            (json!({"keys": vec![rsa; 101]}).to_string(), "has 101 keys"),
            (json!({"key": []}).to_string(), "cannot be read"),
            (" ".repeat(JWKS_BYTES_MAX + 1), "larger than"),
        ] {
            let refused = read(set.as_bytes()).err().unwrap();
            assert!(refused.contains(why), "{refused}");
        }
    }
}

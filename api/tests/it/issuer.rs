//! An OpenID Connect issuer: real keys, real signatures, a key set that a test can change.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{encoding::AsDer, hmac};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use trainyard_api::{Algorithms, ApiOptions, JwksSource, Limits, Oidc, OidcSettings};

use crate::server::{Server, unlimited};

pub(crate) const ISSUER: &str = "https://issuer.example.org/realms/one";
pub(crate) const AUDIENCE: &str = "trainyard";
const EC: &str = "ec-1";
const RSA: &str = "rsa-1";

pub(crate) struct Issuer {
    rsa: RsaKey,
    ec: EcdsaKeyPair,
    /// What the set's address answers; `None` is nothing.
    pub(crate) set: Mutex<Option<Value>>,
    fetches: AtomicU32,
}

/// The address of its key set.
struct Address(Arc<Issuer>);

#[async_trait::async_trait]
impl JwksSource for Address {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        self.0.fetches.fetch_add(1, Ordering::SeqCst);
        let set = self.0.set.lock().unwrap().clone();
        set.map(|set| set.to_string().into_bytes()).ok_or_else(|| "no answer".to_string())
    }
}

impl Issuer {
    pub(crate) fn new() -> Arc<Self> {
        let issuer = Self {
            rsa: RsaKey::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            set: Mutex::default(),
            fetches: AtomicU32::new(0),
        };
        *issuer.set.lock().unwrap() =
            Some(json!({"keys": [issuer.rsa_jwk(RSA), issuer.ec_jwk(EC)]}));
        Arc::new(issuer)
    }

    /// A server that takes its tokens.
    pub(crate) async fn server(self: &Arc<Self>, admin: bool) -> Server {
        let limits = Limits::new(unlimited());
        let tokens = Some(self.oidc(admin));
        Server::with(ApiOptions { limits, tokens, ..ApiOptions::default() }).await
    }

    pub(crate) fn oidc(self: &Arc<Self>, admin: bool) -> Oidc {
        let settings = OidcSettings {
            issuer: ISSUER.to_string(),
            audience: AUDIENCE.to_string(),
            tenant_claim: "tenant".to_string(),
            scopes_claim: "scope".to_string(),
            algorithms: Algorithms::default(),
            admin,
        };
        Oidc::new(settings, Arc::new(Address(self.clone())))
    }

    pub(crate) fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(crate) fn rsa_jwk(&self, id: &str) -> Value {
        let key = self.rsa.public_key();
        let (n, e) = (key.modulus(), key.exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": base64(n), "e": base64(e)})
    }

    pub(crate) fn ec_jwk(&self, id: &str) -> Value {
        // 4, then both coordinates (SEC 1, 2.3.3).
        let point = self.ec.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"kty": "EC", "kid": id, "crv": "P-256", "x": base64(x), "y": base64(y)})
    }

    /// A token with the algorithm that `header` names, signed by the key of that algorithm.
    pub(crate) fn signed(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                let rng = SystemRandom::new();
                self.rsa.sign(&RSA_PKCS1_SHA256, &rng, text.as_bytes(), &mut signature).unwrap();
                signature
            }
            "ES256" => {
                self.ec.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
            }
            // With what everybody knows: the public key, as DER.
            "HS256" => {
                let public: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().unwrap();
                let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_ref());
                hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{text}.{}", base64(signature))
    }

    /// A good token of the EC key, for `tenant` with `scope`.
    pub(crate) fn token(&self, tenant: &str, scope: &str) -> String {
        self.signed(&json!({"alg": "ES256", "kid": EC}), &claims(tenant, scope))
    }

    /// The same of the RSA key.
    pub(crate) fn rsa_token(&self, tenant: &str, scope: &str) -> String {
        self.signed(&json!({"alg": "RS256", "kid": RSA}), &claims(tenant, scope))
    }
}

/// Claims of a token that holds for an hour.
pub(crate) fn claims(tenant: &str, scope: &str) -> Value {
    let now = now();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 3600, "iat": now,
           "tenant": tenant, "scope": scope})
}

#[expect(clippy::disallowed_methods, reason = "tokens are of today")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

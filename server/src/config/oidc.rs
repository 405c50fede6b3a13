//! Settings of bearer tokens of an OpenID Connect issuer.

use std::path::PathBuf;

use reqwest::Url;
use trainyard_api::{Algorithms, OidcSettings};

use super::ConfigError;
use super::layer::settings;
use crate::client::is_loopback;

settings! {
    /// Bearer tokens.
    Oidc from OidcLayer, "OpenID Connect";
    fixed {
        /// Claim with the id of the tenant that a token acts for.
        oidc_tenant_claim: String = "tenant", "TRAINYARD_OIDC_TENANT_CLAIM";
        /// Claim with the scopes: words in one text, or a list of texts.
        oidc_scopes_claim: String = "scope", "TRAINYARD_OIDC_SCOPES_CLAIM";
        /// Algorithms that tokens may be signed with; none and HS* are refused.
        oidc_algorithms: Algorithms = "RS256,ES256", "TRAINYARD_OIDC_ALGORITHMS";
        /// Let the scope admin in a token make an operator of this server.
        oidc_admin: bool = "false", "TRAINYARD_OIDC_ADMIN";
    }
    derived {
        /// Issuer whose bearer tokens are taken beside API keys, exactly as in their claim iss.
        oidc_issuer: String = "none: tokens are refused", "TRAINYARD_OIDC_ISSUER";
        /// What the claim aud of a token has to hold.
        oidc_audience: String = "none; needed with an issuer", "TRAINYARD_OIDC_AUDIENCE";
        /// Where the issuer's key set is fetched, by https; http on this machine alone.
        oidc_jwks_url: String = "none; this or the file is needed with an issuer", "TRAINYARD_OIDC_JWKS_URL";
        /// File with the issuer's key set; it is read again when a token names a key that is not in it.
        oidc_jwks_file: PathBuf = "none", "TRAINYARD_OIDC_JWKS_FILE";
    }
}

/// Where the key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySet {
    /// Fetched.
    Url(Url),
    /// Read.
    File(PathBuf),
}

impl Oidc {
    /// What tokens have to say and where their keys are; `None` where no issuer is set.
    pub(crate) fn issuer(&self) -> Result<Option<(OidcSettings, KeySet)>, ConfigError> {
        let refuse = |reason: String| Err(ConfigError::Conflict(reason));
        let Some(issuer) = self.oidc_issuer.clone() else {
            let lonely = [
                ("oidc_audience", self.oidc_audience.is_some()),
                ("oidc_jwks_url", self.oidc_jwks_url.is_some()),
                ("oidc_jwks_file", self.oidc_jwks_file.is_some()),
            ];
            return match lonely.iter().find(|(_, given)| *given) {
                Some((name, _)) => refuse(format!("'{name}' is set and 'oidc_issuer' is not")),
                None => Ok(None),
            };
        };
        let keys = match (&self.oidc_jwks_url, &self.oidc_jwks_file) {
            (Some(url), None) => KeySet::Url(address(url)?),
            (None, Some(path)) => KeySet::File(path.clone()),
            _ => {
                return refuse(
                    "'oidc_issuer' needs one of 'oidc_jwks_url' and 'oidc_jwks_file'".to_string(),
                );
            }
        };
        let Some(audience) = self.oidc_audience.clone() else {
            return refuse(
                "'oidc_issuer' needs 'oidc_audience': tokens for others must not be taken"
                    .to_string(),
            );
        };
        let texts = [
            ("oidc_issuer", &issuer),
            ("oidc_audience", &audience),
            ("oidc_tenant_claim", &self.oidc_tenant_claim),
            ("oidc_scopes_claim", &self.oidc_scopes_claim),
        ];
        if let Some((name, _)) = texts.iter().find(|(_, text)| text.trim().is_empty()) {
            return refuse(format!("'{name}' must not be empty"));
        }
        let settings = OidcSettings {
            issuer,
            audience,
            tenant_claim: self.oidc_tenant_claim.clone(),
            scopes_claim: self.oidc_scopes_claim.clone(),
            algorithms: self.oidc_algorithms.clone(),
            admin: self.oidc_admin,
        };
        Ok(Some((settings, keys)))
    }
}

/// Who can change a key set on its way can make tokens.
fn address(text: &str) -> Result<Url, ConfigError> {
    let refuse = |why: &str| ConfigError::Conflict(format!("'oidc_jwks_url' {why}"));
    let url = Url::parse(text).map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must hold no user name or password"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(refuse("must begin with https://; http:// is for this machine alone")),
        _ => Err(refuse("must begin with https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oidc(text: &str) -> Result<Option<(OidcSettings, KeySet)>, String> {
        let layer: OidcLayer = toml::from_str(text).map_err(|error| error.to_string())?;
        let settings = layer.over(OidcLayer::default()).map_err(|error| error.to_string())?;
        settings.issuer().map_err(|error| error.to_string())
    }

    #[test]
    fn an_issuer_is_set_whole_or_not_at_all() {
        assert_eq!(oidc(""), Ok(None));
        let whole = "oidc_issuer = \"https://i\"\noidc_audience = \"a\"\n";
        let (settings, keys) =
            oidc(&format!("{whole}oidc_jwks_file = \"k.json\"")).expect("good").expect("set");
        assert_eq!((settings.tenant_claim.as_str(), settings.admin), ("tenant", false));
        assert_eq!(settings.algorithms, Algorithms::default());
        assert_eq!(keys, KeySet::File("k.json".into()));
        for url in
            ["https://i/keys", "http://127.0.0.1:9/keys", "http://[::1]/k", "http://localhost"]
        {
            assert!(oidc(&format!("{whole}oidc_jwks_url = \"{url}\"")).is_ok(), "{url}");
        }
        for (text, why) in [
            (whole.to_string(), "one of 'oidc_jwks_url'"),
            (format!("{whole}oidc_jwks_url = \"https://i\"\noidc_jwks_file = \"k\""), "one of"),
            (format!("{whole}oidc_jwks_url = \"http://issuer.example.org\""), "https://"),
            (format!("{whole}oidc_jwks_url = \"https://u:p@i\""), "user name"),
            (format!("{whole}oidc_jwks_url = \"file:///k\""), "https://"),
            ("oidc_audience = \"a\"".to_string(), "'oidc_issuer' is not"),
            ("oidc_issuer = \"i\"\noidc_jwks_file = \"k\"".to_string(), "oidc_audience"),
            ("oidc_algorithms = \"RS256,HS256\"".to_string(), "shared secret"),
            ("oidc_algorithms = \"none\"".to_string(), "not signed"),
        ] {
            let refused = oidc(&text).expect_err(&text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}

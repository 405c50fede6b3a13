//! Which algorithms a token may be signed with.

use std::str::FromStr;

use jsonwebtoken::Algorithm;
use serde::Deserialize;

/// Algorithms with a public key. Those with a shared secret cannot be named: whoever can check such a token can make one.
const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The algorithms that are taken, written as `RS256,ES256`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Algorithms(Vec<Algorithm>);

impl Default for Algorithms {
    fn default() -> Self {
        Self(vec![Algorithm::RS256, Algorithm::ES256])
    }
}

impl FromStr for Algorithms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|name| public(name.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Algorithms {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Algorithms {
    /// Whether a token may be signed so.
    pub(super) fn take(&self, algorithm: Algorithm) -> bool {
        self.0.contains(&algorithm)
    }
}

fn public(name: &str) -> Result<Algorithm, String> {
    if name.eq_ignore_ascii_case("none") {
        return Err("'none' is refused: such tokens are not signed".to_string());
    }
    if name.to_ascii_uppercase().starts_with("HS") {
        let text = "is refused: it signs with a shared secret, and only public keys are taken";
        return Err(format!("'{name}' {text}"));
    }
    let found = PUBLIC.into_iter().find(|algorithm| format!("{algorithm:?}") == name);
    found.ok_or_else(|| {
        let all: Vec<String> = PUBLIC.iter().map(|algorithm| format!("{algorithm:?}")).collect();
        format!("'{name}' is no algorithm for tokens (expected some of {})", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_without_a_public_key_cannot_be_named() {
        assert_eq!("RS256,ES256".parse::<Algorithms>().unwrap(), Algorithms::default());
        assert!("RS256, EdDSA".parse::<Algorithms>().unwrap().take(Algorithm::EdDSA));
        for (text, why) in [
            ("none", "not signed"),
            ("RS256,None", "not signed"),
            ("HS256", "shared secret"),
            ("RS256,hs512", "shared secret"),
            ("rs256", "no algorithm"),
            ("", "no algorithm"),
            ("RS256,", "no algorithm"),
        ] {
            let refused = text.parse::<Algorithms>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}

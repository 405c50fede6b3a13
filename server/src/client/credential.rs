//! The API key: which of the sources has it. Its `Debug` shows nothing of it.

use std::fmt;
use std::path::Path;

use super::ClientError;

/// An API key, or none.
#[derive(Clone)]
pub(crate) struct Credential(Option<String>);

impl Credential {
    /// The key from `--api-key-file`, else `--api-key`, else `TRAINYARD_API_KEY`, else `OPENAI_API_KEY`.
    pub(crate) fn find(file: Option<&Path>, flag: Option<&str>) -> Result<Self, ClientError> {
        if let Some(path) = file {
            let what = format!("cannot read the API key file '{}'", path.display());
            let text = std::fs::read_to_string(path).map_err(ClientError::file(what))?;
            return Self::parse(&text, &format!("the file '{}'", path.display()));
        }
        if let Some(text) = flag {
            return Self::parse(text, "--api-key");
        }
        for name in ["TRAINYARD_API_KEY", "OPENAI_API_KEY"] {
            #[expect(clippy::disallowed_methods, reason = "the server crate reads the environment")]
            if let Some(text) = std::env::var(name).ok().filter(|value| !value.is_empty()) {
                return Self::parse(&text, name);
            }
        }
        Ok(Self(None))
    }

    /// The key, for the `Authorization` header alone.
    pub(super) fn secret(&self) -> Option<&str> {
        self.0.as_deref()
    }

    fn parse(text: &str, source: &str) -> Result<Self, ClientError> {
        let key = text.trim();
        // What does not fit a header would fail later with a message that shows it.
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Usage(format!(
                "{source} holds no API key: expected one word of printable ASCII characters"
            )));
        }
        Ok(Self(Some(key.to_string())))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Credential(set)" } else { "Credential(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_key() {
        let credential = Credential::parse("tyk_live_secret\n", "a test").expect("a key");
        assert_eq!(credential.secret(), Some("tyk_live_secret"));
        assert!(!format!("{credential:?}").contains("secret"));
        assert!(Credential::parse("two words", "a test").is_err());
    }
}

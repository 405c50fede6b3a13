//! A bearer token of an identity provider, after its signature, issuer and audience were found good.

use trainyard_openapi::tenant::Scope;

/// How far the clocks of provider and server may differ, in milliseconds.
pub const LEEWAY_MS: i64 = 60_000;
/// Characters of a subject: OpenID Connect Core 1.0, section 2.
pub const SUBJECT_CHARS_MAX: usize = 255;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who: the provider's own name for the user or service.
    pub subject: String,
    /// The tenant that it acts for, as the token has it.
    pub tenant: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it holds, in Unix milliseconds.
    pub not_before_ms: Option<i64>,
    /// Until when it holds, in Unix milliseconds.
    pub expires_at_ms: i64,
}

impl Token {
    /// Whether a subject can stand in the audit log.
    pub fn is_subject(text: &str) -> bool {
        !text.is_empty()
            && text.chars().count() <= SUBJECT_CHARS_MAX
            && !text.chars().any(char::is_control)
    }

    /// Why it does not hold at `now_ms`.
    pub(crate) fn lapse(&self, now_ms: i64) -> Option<&'static str> {
        if now_ms >= self.expires_at_ms.saturating_add(LEEWAY_MS) {
            return Some("the token has expired");
        }
        let early = self.not_before_ms.is_some_and(|from| now_ms < from.saturating_sub(LEEWAY_MS));
        early.then_some("the token does not hold yet ('nbf')")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_allowed_for_on_either_side_and_no_more() {
        let token = Token {
            subject: "a".to_string(),
            tenant: String::new(),
            scopes: Vec::new(),
            not_before_ms: Some(1_000_000),
            expires_at_ms: 2_000_000,
        };
        assert!(token.lapse(939_999).is_some_and(|why| why.contains("nbf")));
        assert_eq!(token.lapse(940_000), None);
        assert_eq!(token.lapse(2_059_999), None);
        assert!(token.lapse(2_060_000).is_some_and(|why| why.contains("expired")));
        let forever = Token { expires_at_ms: i64::MAX, not_before_ms: Some(i64::MIN), ..token };
        assert_eq!(forever.lapse(i64::MAX - 1), None);
    }

    #[test]
    fn subjects_that_would_spoil_a_log_are_none() {
        assert!(Token::is_subject("248289761001") && Token::is_subject(&"é".repeat(255)));
        for wrong in ["", "a\nb", "a\u{1b}[31m", &"a".repeat(256)] {
            assert!(!Token::is_subject(wrong), "{wrong:?}");
        }
    }
}

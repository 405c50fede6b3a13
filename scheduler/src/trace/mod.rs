//! The trace that a request belongs to, as it is handed on.

mod span;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use opentelemetry::trace::SpanKind;
pub use span::{Span, carried, current};

/// Longest value that is looked at, in bytes: later versions may append to the 55 of version 00.
const BYTES_MAX: usize = 256;

/// A `traceparent` (W3C Trace Context, level 1): version, trace id, parent id and flags in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(String);

/// A value that is no `traceparent`: by the specification it is passed over, as if there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent: version-trace-parent-flags in lower-case hexadecimal is expected")]
pub struct NoTraceParent;

impl TraceParent {
    /// As it stands in headers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the whole trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |part: &str, digits: usize| {
            part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let id = |part: &str, digits| hex(part, digits) && part.bytes().any(|b| b != b'0');
        let parts: Vec<&str> = text.splitn(5, '-').collect();
        match parts[..] {
            [version, trace, parent, flags, ref more @ ..]
                if text.len() <= BYTES_MAX
                    && hex(version, 2)
                    && version != "ff"
                    && (version != "00" || more.is_empty())
                    && id(trace, 32)
                    && id(parent, 16)
                    && hex(flags, 2) =>
            {
                // What a later version appends is not ours to hand on.
                Ok(Self(format!("{version}-{trace}-{parent}-{flags}")))
            }
            _ => Err(NoTraceParent),
        }
    }
}

impl TryFrom<String> for TraceParent {
    type Error = NoTraceParent;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_specification_allows_is_taken_and_nothing_else() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace: TraceParent = good.parse().unwrap();
        assert_eq!(trace.as_str(), good);
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let later: TraceParent = format!("cc{}-what-comes", &good[2..]).parse().unwrap();
        assert_eq!(later.as_str(), format!("cc{}", &good[2..]));
        for bad in [
            String::new(),
            "garbage".to_string(),
            format!("ff{}", &good[2..]),
            format!("{good}-more"),
            format!("{good}0"),
            good.to_uppercase(),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            good.replace("b7ad6b7169203331", &"0".repeat(16)),
            good.replace('-', "_"),
            format!(" {good}"),
            format!("01{}-{}", &good[2..], "a".repeat(BYTES_MAX)),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(NoTraceParent), "{bad}");
        }
    }
}

//! Checks a file while it streams by: every line, in memory bounded whatever comes.

use std::collections::BTreeMap;

use super::user::Users;
use super::{LineError, LineKind, parse_line_of};

/// Bytes of a line at most. A million tokens of text fit; a line is held in memory whole to be parsed.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Errors kept with their lines; the rest is counted. Enough to mend a file by, small enough for an event.
pub const ERRORS_KEPT: usize = 50;

/// The checker. Give it the file in pieces of any size, then [`FileValidator::finish`].
#[derive(Debug, Default)]
pub struct FileValidator {
    /// The part of the current line seen so far.
    partial: Vec<u8>,
    /// Whether the current line is over the limit: the rest of it is passed over.
    overlong: bool,
    /// Whose lines they are, where that matters.
    users: Option<Users>,
    report: FileReport,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileReport {
    /// Bytes.
    pub bytes: u64,
    /// Lines, blank ones included.
    pub lines: u64,
    /// Lines that are examples.
    pub examples: u64,
    /// Lines with nothing on them; passed over.
    pub blank_lines: u64,
    /// Users whom the good lines name; `None` where that was not asked for.
    pub users: Option<u64>,
    /// Whether it begins with a byte order mark; passed over.
    pub byte_order_mark: bool,
    /// The first line of each kind.
    pub kinds: BTreeMap<LineKind, u64>,
    /// The first errors, with the numbers of their lines from 1.
    pub errors: Vec<(u64, LineError)>,
    /// Errors in all.
    pub error_count: u64,
}

impl FileValidator {
    /// A checker at the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// A checker of a file whose lines name their users under the key `user_field`, where there is one; it counts them.
    pub fn of_users(user_field: Option<String>) -> Self {
        Self { users: user_field.map(Users::named_by), ..Self::default() }
    }

    /// The next piece of the file.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.report.bytes += bytes.len() as u64;
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// The report, the last line included if it has no newline.
    pub fn finish(mut self) -> FileReport {
        if !self.partial.is_empty() || self.overlong {
            self.end_line();
        }
        let mut report = self.report;
        report.users = self.users.as_ref().map(Users::count);
        if report.examples == 0 && report.error_count == 0 {
            let message = match report.bytes {
                0 => "the file is empty".to_string(),
                bytes => format!(
                    "the file has no examples ({bytes} bytes, {} blank lines)",
                    report.blank_lines
                ),
            };
            report.add(report.lines.max(1), LineError::new("no_examples", "", message));
        }
        if report.kinds.len() > 1 {
            let kinds: Vec<String> = report
                .kinds
                .iter()
                .map(|(kind, line)| format!("{} (first on line {line})", kind.keys()))
                .collect();
            let message = format!(
                "all lines of a file must be of one kind, but there are {}",
                kinds.join(" and ")
            );
            let line = report.kinds.values().max().copied().unwrap_or(1);
            report.add(line, LineError::new("mixed_kinds", "", message));
        }
        report
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.overlong {
            return;
        }
        if self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            self.overlong = true;
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        self.report.lines += 1;
        let number = self.report.lines;
        if std::mem::take(&mut self.overlong) {
            let message = format!("has more than {LINE_BYTES_MAX} bytes");
            self.report.add(number, LineError::new("line_too_long", "", message));
            return;
        }
        let mut bytes = std::mem::take(&mut self.partial);
        if number == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            self.report.byte_order_mark = true;
            bytes.drain(..3);
        }
        self.report.check(number, &bytes, self.users.as_mut());
        bytes.clear();
        self.partial = bytes;
    }
}

impl FileReport {
    /// Whether the file can be trained on.
    pub fn is_valid(&self) -> bool {
        self.error_count == 0
    }

    /// One sentence that names the file, the line and the field of the first error, or `None` where there is none.
    pub fn error_summary(&self, file: &str) -> Option<String> {
        let (line, error) = self.errors.first()?;
        let more = match self.error_count - 1 {
            0 => String::new(),
            1 => " (and 1 more error)".to_string(),
            count => format!(" (and {count} more errors)"),
        };
        Some(format!("{file}: line {line}: {error}{more}"))
    }

    fn check(&mut self, number: u64, bytes: &[u8], users: Option<&mut Users>) {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            self.blank_lines += 1;
            return;
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let byte = error.valid_up_to() + 1;
                let message =
                    format!("is not UTF-8 (byte {byte} of the line); save the file as UTF-8");
                self.add(number, LineError::new("invalid_utf8", "", message));
                return;
            }
        };
        match parse_line_of(text, users.as_deref().map(|users| users.field.as_str())) {
            Ok((line, user)) => {
                self.examples += 1;
                self.kinds.entry(line.kind()).or_insert(number);
                if let (Some(users), Some(user)) = (users, user) {
                    users.add(&user);
                }
            }
            Err(error) => self.add(number, error),
        }
    }

    fn add(&mut self, line: u64, error: LineError) {
        self.error_count += 1;
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push((line, error));
        }
    }
}

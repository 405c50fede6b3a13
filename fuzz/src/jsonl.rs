//! Training files: every kind of line, whole and in pieces.

use trainyard_openapi::line::parse_line;
use trainyard_openapi::line::validator::FileValidator;

/// Reads `bytes` as a training file.
///
/// # Panics
/// Where the report depends on how the file is cut, or its counts do not add up.
pub fn run(bytes: &[u8]) {
    let mut whole = FileValidator::new();
    whole.push(bytes);
    let report = whole.finish();

    let mut cut = FileValidator::new();
    // Pieces of many sizes, the same for the same file.
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = 1 + usize::from(rest[0] % 61);
        let (piece, more) = rest.split_at(size.min(rest.len()));
        cut.push(piece);
        rest = more;
    }
    assert_eq!(cut.finish(), report, "the pieces matter");

    assert_eq!(report.bytes, bytes.len() as u64);
    assert!(report.examples + report.blank_lines <= report.lines);
    assert_eq!(report.is_valid(), report.error_summary("file").is_none());
    for (line, error) in &report.errors {
        assert!(*line >= 1 && *line <= report.lines.max(1), "line {line} of {}", report.lines);
        // A message goes into an event: it may not grow with the line.
        let said = error.to_string();
        assert!(said.len() <= 5_000, "{} bytes: {said}", said.len());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        // The trainer reads the same lines with the same code, and reads what the validator took.
        let lines = text.split('\n').map(|line| line.trim_start_matches('\u{feff}'));
        let read = lines.filter(|line| parse_line(line).is_ok()).count() as u64;
        assert!(read >= report.examples, "{read} of {} examples", report.examples);
    }
}

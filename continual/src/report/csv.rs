//! The matrix as CSV (RFC 4180).

use std::fmt::Write as _;

use crate::matrix::{ForgettingMatrix, Outcome, Scores};

/// The matrix as CSV: a header, the base row with number 0, and a row per stage trained so far.
///
/// `after` names what was trained last before each row, in the order of rows: [`ForgettingMatrix::trained`] but where several stages were
/// trained at once.
///
/// Columns: `row`; `after`, empty in the base row; `outcome`, `kept` or `rejected`, likewise; a column per
/// stage under its name; and `held_out` where the matrix has that. Values are in the measure's own sign, in the fewest digits that give the
/// same double. Lines end with CR LF. A field with a comma, a quotation mark or the end of a line is quoted, and its quotation marks are
/// doubled.
#[must_use]
pub fn csv(matrix: &ForgettingMatrix, after: &[&str]) -> String {
    let mut out = String::from("row,after,outcome");
    for name in matrix.stages() {
        out.push(',');
        out.push_str(&field(name.as_str()));
    }
    if matrix.base().held_out.is_some() {
        out.push_str(",held_out");
    }
    out.push_str("\r\n0,,");
    values(&mut out, matrix.base());
    for (number, (row, name)) in matrix.rows().iter().zip(after).enumerate() {
        let outcome = match row.outcome() {
            Outcome::Kept => "kept",
            Outcome::Rejected => "rejected",
        };
        // Writing to a string does not fail.
        let _ = write!(out, "{},{},{outcome}", number + 1, field(name));
        values(&mut out, row.scores());
    }
    out
}

fn values(out: &mut String, scores: &Scores) {
    for value in scores.stages.iter().chain(scores.held_out.as_ref()) {
        let _ = write!(out, ",{value:?}");
    }
    out.push_str("\r\n");
}

fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

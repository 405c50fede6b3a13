//! A file of lines as rows of tokens.
//!
//! Lines are read in blocks and written as tokens by several threads; their order is the file's, so the same file gives the same
//! rows.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};
use trainyard_openapi::extension::Overlong;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_openapi::line::parse_line_of;
use trainyard_openapi::line::validator::LINE_BYTES_MAX;
use trainyard_openapi::preflight::BadLine;

use crate::data::batch::Batch;
use crate::data::encode::{Example, encode};
use crate::data::packing;
use crate::data::report::DataReport;
use crate::data::tokenizer::ChatTokenizer;
use crate::error::{Result, TrainerError};
use crate::privacy::units::Units;

/// Lines written as tokens at a time: enough to keep the threads busy, few enough to hold.
const BLOCK_LINES: usize = 1024;
/// Bad lines that are kept of a file that is only looked at; the rest is counted.
const BAD_LINES_KEPT: usize = 10_000;

/// How lines become rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetOptions {
    /// Tokens in a row at most.
    pub max_length: usize,
    /// What happens to longer examples.
    pub overlong: Overlong,
    /// Ids must be below it.
    pub vocab_size: i64,
    /// Threads that write tokens.
    pub threads: usize,
    /// The key of each line that names its user, where users are told apart.
    pub user_field: Option<String>,
}

/// Rows of one or, where packed, several examples each.
#[derive(Debug)]
pub struct Dataset {
    examples: Vec<Example>,
    /// Indices of the examples of each row.
    rows: Vec<Vec<usize>>,
    packed: bool,
    max_length: usize,
    /// The examples that each line became.
    lines: Vec<Range<u32>>,
    /// The user of each line by number, in the order of their first lines, where they are told apart.
    users: Option<Vec<u32>>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl Dataset {
    /// Reads `path`; `param` and `name` are what the user calls it in errors. Calls `progress` after each block of lines.
    ///
    /// # Errors
    /// A user error naming file, line and field of the first line that cannot be trained on, or that no row is left.
    pub fn load(
        path: &Path,
        (param, name): (&str, &str),
        tokenizer: &ChatTokenizer,
        options: &DatasetOptions,
        progress: &dyn Fn() -> Result<()>,
    ) -> Result<(Self, DataReport)> {
        let (scanned, mut report) = scan(path, tokenizer, options, progress, &mut |line, bad| {
            Err(refuse(param, name, line, &bad.field, &bad.message))
        })?;
        if scanned.examples.is_empty() {
            let counts: Vec<String> = report
                .to_map()
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .map(|(key, n)| format!("{key} {n}"))
                .collect();
            let message = format!("{name}: no row is left to train on ({})", counts.join(", "));
            return Err(TrainerError::user(
                JobErrorCode::NoExamples,
                Some(param.to_string()),
                message,
            ));
        }
        count(&scanned.examples, &mut report);
        Ok((Self::of(scanned, options), report))
    }

    /// Reads `path` to its end whatever is on its lines: what can be trained on, and what cannot.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn examine(
        path: &Path,
        tokenizer: &ChatTokenizer,
        options: &DatasetOptions,
    ) -> Result<(Self, DataReport, Vec<BadLine>, u64)> {
        let (mut errors, mut error_count) = (Vec::new(), 0);
        let (scanned, mut report) =
            scan(path, tokenizer, options, &|| Ok(()), &mut |line, bad| {
                error_count += 1;
                if errors.len() < BAD_LINES_KEPT {
                    errors.push(BadLine { line, ..bad });
                }
                Ok(())
            })?;
        count(&scanned.examples, &mut report);
        Ok((Self::of(scanned, options), report, errors, error_count))
    }

    fn of(scanned: Scanned, options: &DatasetOptions) -> Self {
        let Scanned { examples, lines, users, sha256 } = scanned;
        let rows = (0..examples.len()).map(|index| vec![index]).collect();
        let max_length = options.max_length;
        Self { examples, rows, packed: false, max_length, lines, users, sha256 }
    }

    /// Puts several examples into a row, best fit first. Each takes `before` places more, for what the model puts before it.
    pub fn pack(&mut self, before: usize, report: &mut DataReport) {
        let lengths: Vec<usize> =
            self.examples.iter().map(|example| before + example.ids.len()).collect();
        self.rows = packing::best_fit_decreasing(&lengths, before + self.max_length);
        self.packed = true;
        report.rows = self.rows.len() as u64;
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none; a loaded dataset has some.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tokens of a row.
    pub fn row_length(&self, row: usize) -> usize {
        self.rows[row].iter().map(|&index| self.examples[index].ids.len()).sum()
    }

    /// Target tokens of a row.
    pub fn row_targets(&self, row: usize) -> usize {
        self.rows[row].iter().map(|&index| self.examples[index].targets()).sum()
    }

    /// Whose the rows are: lines, or users where they are told apart. Only where rows are not packed.
    pub fn units(&self) -> Units {
        Units::new(self.lines.clone(), self.users.as_deref())
    }

    /// The rows as one batch, padded at the end with `pad`.
    pub fn batch(&self, rows: &[usize], pad: u32) -> Batch {
        let rows: Vec<Vec<&Example>> = rows.iter().map(|&row| self.row(row)).collect();
        Batch::new(&rows, pad, self.packed)
    }

    /// The examples of a row.
    pub fn row(&self, row: usize) -> Vec<&Example> {
        self.rows[row].iter().map(|&index| &self.examples[index]).collect()
    }

    /// Whether rows may hold several examples.
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// Lines that became examples or were left out by their length, in the order of the file.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// What became of a line: one example, several where it was split, none where it was left out.
    pub fn line(&self, line: usize) -> &[Example] {
        self.lines
            .get(line)
            .map_or(&[], |range| &self.examples[range.start as usize..range.end as usize])
    }

    /// All of `parts`, one after the other, not packed, as one dataset.
    pub fn joined(parts: &[&Self]) -> Self {
        let mut all = Self {
            examples: Vec::new(),
            rows: Vec::new(),
            packed: false,
            max_length: parts.iter().map(|part| part.max_length).max().unwrap_or(0),
            lines: Vec::new(),
            users: None,
            sha256: String::new(),
        };
        let mut hash = Sha256::new();
        for part in parts {
            let first = all.examples.len() as u32;
            all.examples.extend(part.examples.iter().cloned());
            all.lines.extend(part.lines.iter().map(|line| line.start + first..line.end + first));
            hash.update(part.sha256.as_bytes());
        }
        all.rows = (0..all.examples.len()).map(|index| vec![index]).collect();
        all.sha256 = hex::encode(hash.finalize());
        all
    }
}

struct Scanned {
    examples: Vec<Example>,
    lines: Vec<Range<u32>>,
    users: Option<Vec<u32>>,
    sha256: String,
}

/// Reads a file's lines in order, calling `progress` after each block; `refused` hears of each that cannot be trained on and says whether to go on.
fn scan(
    path: &Path,
    tokenizer: &ChatTokenizer,
    options: &DatasetOptions,
    progress: &dyn Fn() -> Result<()>,
    refused: &mut dyn FnMut(u64, BadLine) -> Result<()>,
) -> Result<(Scanned, DataReport)> {
    let file = File::open(path).map_err(TrainerError::io(path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut hash = Sha256::new();
    let mut report = DataReport::default();
    let mut examples = Vec::new();
    let mut lines = Vec::new();
    let mut users = options.user_field.is_some().then(Vec::new);
    let mut known = HashMap::new();
    let mut number = 0;
    loop {
        let block =
            read_block(&mut reader, &mut hash, &mut number).map_err(TrainerError::io(path))?;
        if block.is_empty() {
            break;
        }
        progress()?;
        for (line, outcome) in encode_block(&block, tokenizer, options) {
            match outcome {
                Outcome::Blank => report.blank_lines += 1,
                Outcome::Example(example, user) => {
                    report.examples += 1;
                    let first = examples.len() as u32;
                    fit(example, options, &mut examples, &mut report);
                    lines.push(first..examples.len() as u32);
                    if let (Some(users), Some(user)) = (&mut users, user) {
                        let next = known.len() as u32;
                        users.push(*known.entry(user).or_insert(next));
                    }
                }
                Outcome::Refused(bad) => refused(line, bad)?,
            }
        }
    }
    let sha256 = hex::encode(hash.finalize());
    Ok((Scanned { examples, lines, users, sha256 }, report))
}

fn count(examples: &[Example], report: &mut DataReport) {
    report.tokens = examples.iter().map(|example| example.ids.len() as u64).sum();
    report.target_tokens = examples.iter().map(|example| example.targets() as u64).sum();
    report.rows = examples.len() as u64;
}

enum Outcome {
    Blank,
    /// An example, and its user where users are told apart.
    Example(Example, Option<String>),
    Refused(BadLine),
}

/// A refusal; the number of its line comes with it.
fn bad(code: &str, field: &str, message: &str) -> Outcome {
    let (code, field, message) = (code.to_string(), field.to_string(), message.to_string());
    Outcome::Refused(BadLine { line: 0, code, field, message })
}

/// The next lines with their numbers, from 1; of one that is too long only the beginning is held, still over the limit.
fn read_block(
    reader: &mut impl BufRead,
    hash: &mut Sha256,
    number: &mut u64,
) -> std::io::Result<Vec<(u64, Vec<u8>)>> {
    let mut block = Vec::new();
    while block.len() < BLOCK_LINES {
        let mut line = Vec::new();
        // One byte above the limit tells a line that is over it from one that just fits.
        let mut limited = std::io::Read::take(&mut *reader, LINE_BYTES_MAX as u64 + 2);
        if limited.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        *number += 1;
        hash.update(&line);
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > LINE_BYTES_MAX {
            pass_over_line(reader, hash)?;
        }
        block.push((*number, line));
    }
    Ok(block)
}

/// Reads to the end of a line that nobody looks at.
fn pass_over_line(reader: &mut impl BufRead, hash: &mut Sha256) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        hash.update(&buffer[..used]);
        reader.consume(used);
        if end.is_some() || used == 0 {
            return Ok(());
        }
    }
}

/// Writes a block's lines as tokens, in order.
fn encode_block(
    block: &[(u64, Vec<u8>)],
    tokenizer: &ChatTokenizer,
    options: &DatasetOptions,
) -> Vec<(u64, Outcome)> {
    let share = block.len().div_ceil(options.threads.max(1));
    let work = |lines: &[(u64, Vec<u8>)]| -> Vec<(u64, Outcome)> {
        lines
            .iter()
            .map(|(number, line)| (*number, encode_line(*number, line, tokenizer, options)))
            .collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            block.chunks(share).map(|lines| scope.spawn(move || work(lines))).collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

fn encode_line(
    number: u64,
    line: &[u8],
    tokenizer: &ChatTokenizer,
    options: &DatasetOptions,
) -> Outcome {
    let line = match number {
        1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
        _ => line,
    };
    if line.len() > LINE_BYTES_MAX {
        return bad("line_too_long", "", &format!("has more than {LINE_BYTES_MAX} bytes"));
    }
    if line.iter().all(u8::is_ascii_whitespace) {
        return Outcome::Blank;
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return bad("invalid_utf8", "", "is not UTF-8");
    };
    match parse_line_of(text, options.user_field.as_deref()) {
        Err(error) => bad(error.code, &error.field, &error.message),
        Ok((line, user)) => match encode(&line, tokenizer, options.vocab_size) {
            Err(error) => bad("not_encodable", &error.field, &error.message),
            Ok(example) => Outcome::Example(example, user),
        },
    }
}

/// Applies the rule for examples that are too long, and keeps what is left of this one.
fn fit(
    mut example: Example,
    options: &DatasetOptions,
    kept: &mut Vec<Example>,
    report: &mut DataReport,
) {
    let max = options.max_length;
    let mut pieces = Vec::new();
    match options.overlong {
        _ if example.ids.len() <= max => pieces.push(example),
        Overlong::Truncate => {
            report.truncated += 1;
            report.truncated_tokens += (example.ids.len() - max) as u64;
            example.ids.truncate(max);
            example.labels.truncate(max);
            pieces.push(example);
        }
        Overlong::Split => {
            report.split += 1;
            for (ids, labels) in example.ids.chunks(max).zip(example.labels.chunks(max)) {
                pieces.push(Example { ids: ids.to_vec(), labels: labels.to_vec() });
            }
        }
        Overlong::Reject => report.rejected += 1,
    }
    for piece in pieces {
        if piece.targets() == 0 {
            report.without_target += 1;
        } else {
            kept.push(piece);
        }
    }
}

fn refuse(param: &str, name: &str, line: u64, field: &str, message: &str) -> TrainerError {
    let place = if field.is_empty() { String::new() } else { format!("{field}: ") };
    TrainerError::user(
        JobErrorCode::InvalidData,
        Some(param.to_string()),
        format!("{name}: line {line}: {place}{message}"),
    )
}

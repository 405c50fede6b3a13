//! Files to rows: nothing is lost without being counted.

use std::path::PathBuf;

use trainyard_openapi::extension::Overlong;
use trainyard_trainer::arch::config::ModelConfig;
use trainyard_trainer::data::{ChatTokenizer, DataReport, Dataset, DatasetOptions};
use trainyard_trainer::error::Result;

use crate::golden;

fn load(text: &str, max_length: usize, overlong: Overlong) -> Result<(Dataset, DataReport)> {
    let file = temporary(text);
    let config = ModelConfig::read(&golden::path("models/llama/config.json")).unwrap();
    let tokenizer = ChatTokenizer::load(&golden::path("chat"), &config).unwrap();
    let options =
        DatasetOptions { max_length, overlong, vocab_size: 400, threads: 2, user_field: None };
    let loaded =
        Dataset::load(&file, ("training_file", "train.jsonl"), &tokenizer, &options, &|| Ok(()));
    std::fs::remove_file(file).unwrap();
    loaded
}

fn temporary(text: &str) -> PathBuf {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).unwrap();
    let path = std::env::temp_dir().join(format!("trainyard-{}.jsonl", hex::encode(random)));
    std::fs::write(&path, text).unwrap();
    path
}

const LINES: &str = "{\"prompt\":\"ab\",\"completion\":\"cd\"}\n\n{\"prompt\":\"abcdefgh\",\"completion\":\"ij\"}\n";

#[test]
fn completions_are_learned_with_their_end() {
    let (dataset, report) = load(LINES, 64, Overlong::Truncate).unwrap();
    assert_eq!((report.examples, report.blank_lines, report.rows), (2, 1, 2));
    let batch = dataset.batch(&[0, 1], 0);
    assert_eq!((batch.rows, batch.cols), (2, batch.input_ids.len() / 2));
    let learned: Vec<i64> =
        batch.labels[..batch.cols].iter().copied().filter(|&label| label != -100).collect();
    assert_eq!(learned.last(), Some(&2), "the end token is learned");
    assert_eq!(batch.target_tokens as u64, report.target_tokens);
    assert_eq!(batch.tokens as u64, report.tokens);
}

#[test]
fn overlong_rows_are_counted() {
    let (_, cut) = load(LINES, 6, Overlong::Truncate).unwrap();
    assert_eq!((cut.truncated, cut.without_target), (1, 1), "the long one keeps its prompt alone");
    let (_, split) = load(LINES, 6, Overlong::Split).unwrap();
    assert_eq!((split.split, split.rows, split.without_target), (1, 2, 1));
    let (_, rejected) = load(LINES, 6, Overlong::Reject).unwrap();
    assert_eq!((rejected.rejected, rejected.rows), (1, 1));
    let error =
        load("{\"prompt\":\"abcdefgh\",\"completion\":\"ij\"}\n", 6, Overlong::Reject).unwrap_err();
    assert!(error.to_string().contains("rejected 1"), "{error}");
}

#[test]
fn packed_rows_hold_everything_once() {
    let text: String =
        (1..40).map(|i| format!("{{\"text\":\"{}\"}}\n", "ab ".repeat(i % 7 + 1))).collect();
    let (mut dataset, mut report) = load(&text, 32, Overlong::Reject).unwrap();
    let (tokens, targets) = (report.tokens, report.target_tokens);
    dataset.pack(0, &mut report);
    assert!(report.rows < 39);
    let all: Vec<usize> = (0..dataset.len()).collect();
    let batch = dataset.batch(&all, 0);
    assert_eq!((batch.tokens as u64, batch.target_tokens as u64), (tokens, targets));
    // A sequence is one example, whose positions are counted, or padding.
    let mut in_examples = 0;
    for bounds in batch.sequences.bounds().windows(2) {
        let own = bounds[0] as usize..bounds[1] as usize;
        if batch.input_ids[own.clone()].iter().any(|&id| id != 0) {
            in_examples += own.len();
            assert!(batch.position_ids[own].iter().copied().eq(0..(bounds[1] - bounds[0]).into()));
        } else {
            assert!(batch.position_ids[own].iter().all(|&position| position == 0));
        }
    }
    assert_eq!(in_examples as u64, tokens);
    for (index, &position) in batch.position_ids.iter().enumerate() {
        if position == 0 {
            assert_eq!(
                batch.labels[index], -100,
                "the first token of an example is predicted by nothing"
            );
        }
    }
}

#[test]
fn errors_name_file_line_and_field() {
    let case = |text: &str, expected: &str| {
        let error = load(text, 64, Overlong::Truncate).unwrap_err();
        assert!(error.is_user() && error.to_string().contains(expected), "{error}");
    };
    case("{\"text\":\"a\"}\n{\"text\":1}\n", "train.jsonl: line 2: text: must be a string");
    case("{\"input_ids\":[1,2,400]}\n", "train.jsonl: line 1: input_ids[2]: token 400 is outside");
    case("", "no row is left");
    case("{\"text\":\"\u{e9}\"}\n\u{0}", "train.jsonl: line 2");
}

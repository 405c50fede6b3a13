//! The tiny model and lines to train it on. The same call gives the same lines.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::built::tests_dir;

/// The name that the tests register the tiny model under.
pub const MODEL: &str = "tiny";

const NUMBERS: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// The directory of the tiny model (`python/gen_tiny_model.py` made it).
pub fn model() -> PathBuf {
    tests_dir().join("fixtures/tiny")
}

/// Puts the tiny model into a server's models directory.
pub fn install_model(models: &Path) {
    let target = models.join(MODEL);
    fs::create_dir_all(&target).expect("a models directory");
    for entry in fs::read_dir(model()).expect("the tiny model") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), target.join(entry.file_name())).expect("copied");
    }
}

/// `count` different chat lines: small sums, answered with a word.
pub fn chat(count: usize) -> String {
    let line = |i: usize| {
        let (a, b) = (i % 10, i / 10 % 10);
        let question = format!("What is the sum of {} and {}?", NUMBERS[a], NUMBERS[b]);
        let sum = a + b;
        let answer =
            if sum < 10 { NUMBERS[sum].to_string() } else { format!("1 {}", NUMBERS[sum - 10]) };
        let turns = json!({"messages": [
            {"role": "system", "content": format!("You answer with one word. {}", i / 100)},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]});
        format!("{turns}\n")
    };
    (0..count).map(line).collect()
}

/// Writes `text` to `name` in `directory`.
pub fn file(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("written");
    path
}

/// A body of `bytes` bytes in lines, made piece by piece as it is sent: it never lies in memory whole.
pub fn stream(bytes: u64) -> reqwest::Body {
    const LINE: &[u8] =
        b"{\"prompt\": \"a line of a large file\", \"completion\": \"of 64 bytes\"}\n";
    let piece = bytes::Bytes::from(LINE.repeat(1024));
    let left = futures::stream::unfold(bytes, move |left| {
        let next = piece.slice(..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let rest = left - next.len() as u64;
        std::future::ready((left > 0).then_some((Ok::<_, std::io::Error>(next), rest)))
    });
    reqwest::Body::wrap_stream(left)
}

//! The fuzz corpus of training files: seeds, and whatever fuzzing found once.

#[expect(unreachable_pub, reason = "it is public where the fuzzer reads it")]
#[path = "../../../fuzz/src/jsonl.rs"]
mod jsonl;

#[test]
fn the_fuzz_corpus_is_read_without_a_crash() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/jsonl");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).expect(folder) {
        let path = entry.expect("an entry").path();
        // The last of these lines is the one that crashed; a passing test shows none of them.
        println!("{}", path.display());
        jsonl::run(&std::fs::read(&path).expect("the file"));
        read += 1;
    }
    assert!(read > 10, "{read} files");
}

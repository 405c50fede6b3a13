//! The fuzz corpora of weights, GGUF files and chat templates: seeds, and whatever fuzzing found once.

#[expect(unreachable_pub, reason = "it is public where the fuzzer reads it")]
#[path = "../../../../fuzz/src/chat_template.rs"]
mod chat_template;
#[expect(unreachable_pub, reason = "it is public where the fuzzer reads it")]
#[path = "../../../../fuzz/src/gguf.rs"]
mod gguf;
#[expect(unreachable_pub, reason = "it is public where the fuzzer reads it")]
#[path = "../../../../fuzz/src/safetensors.rs"]
mod safetensors;

fn each(target: &str, run: fn(&[u8])) {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut read = 0;
    for entry in std::fs::read_dir(&folder).expect(&folder) {
        let path = entry.expect("an entry").path();
        // The last of these lines is the one that crashed; a passing test shows none of them.
        println!("{}", path.display());
        run(&std::fs::read(&path).expect("the file"));
        read += 1;
    }
    assert!(read >= 10, "{read} files in {folder}");
}

#[test]
fn damaged_weights_are_refused_without_a_crash() {
    each("safetensors", safetensors::run);
}

#[test]
fn damaged_gguf_files_are_refused_without_a_crash() {
    each("gguf", gguf::run);
}

#[test]
fn hostile_chat_templates_are_refused_without_a_crash() {
    each("chat_template", chat_template::run);
}

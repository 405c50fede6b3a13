//! `peft` loads the exported adapter and measures the validation loss that the server reported.

use trainyard_tests::Server;

#[test]
fn peft_gives_the_reported_validation_loss() {
    let directory = tempfile::tempdir().expect("a directory");
    Server::start(directory.path()).pytest("test_peft_parity.py");
}

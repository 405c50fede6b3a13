//! The unmodified `openai` package does what it does with OpenAI.

use trainyard_tests::Server;

#[test]
fn the_openai_package_works_unmodified() {
    let directory = tempfile::tempdir().expect("a directory");
    Server::start(directory.path()).pytest("test_openai_client.py");
}

//! The unmodified `openai` package does what it does with OpenAI.

use trainyard_tests::Server;

#[test]
fn the_openai_package_works_unmodified() {
    let directory = tempfile::tempdir().expect("a directory");
    Server::start(directory.path()).pytest("test_openai_client.py");
}

#[test]
fn every_method_of_the_openai_package_works() {
    let directory = tempfile::tempdir().expect("a directory");
    // The test's own endpoint of webhooks is on this machine.
    let local = ["--webhook-allow-insecure", "true", "--webhook-allow-networks", "127.0.0.0/8"];
    Server::start_with(directory.path(), &local).pytest("test_openai_surface.py");
}

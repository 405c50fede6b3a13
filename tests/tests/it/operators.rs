//! What operators do from the command line: tenants, keys, usage, and the audit log, through the server and in its file.

use std::path::Path;

use serde_json::Value;
use trainyard_tests::api::text;
use trainyard_tests::process::{self, Said};
use trainyard_tests::{Server, data};

/// The one JSON object that a command wrote.
fn json(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

fn lines(said: &Said) -> Vec<Value> {
    said.stdout.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect()
}

#[test]
fn an_operator_makes_changes_and_suspends_a_tenant() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    data::file(directory.path(), "train.jsonl", data::chat(4));
    let said = server.cli(&[
        "tenants",
        "create",
        "--name",
        "research",
        "--quota",
        "running_jobs=2",
        "--quota",
        "live_jobs=9",
        "--json",
    ]);
    let tenant = text(&json(&said), "/id");
    let limits = |said: &Said| {
        let quota = &json(said)["quota"];
        (quota["running_jobs"].as_u64(), quota["live_jobs"].as_u64())
    };
    assert_eq!(limits(&said), (Some(2), Some(9)));
    let update = ["tenants", "update", &tenant, "--quota", "running_jobs=none", "--json"];
    assert_eq!(limits(&server.cli(&update)), (None, Some(9)), "what is not named stays");
    assert_eq!(server.cli(&["tenants", "update", &tenant]).code, 2, "nothing to change");
    let misspelt = server.cli(&["tenants", "update", &tenant, "--quota", "runing_jobs=1"]);
    assert!(misspelt.code == 2 && misspelt.stderr.contains("runing_jobs"), "{misspelt:?}");
    let listed = server.cli(&["tenants", "list"]);
    assert!(listed.stdout.contains("research") && listed.stdout.contains(&tenant), "{listed:?}");
    assert_eq!(server.cli(&["tenants", "get", "org-000000000000000000000000"]).code, 5);

    let key = json(&server.cli(&[
        "keys",
        "create",
        &tenant,
        "--name",
        "ci",
        "--scope",
        "files.read",
        "--scope",
        "files.write",
        "--scope",
        "usage.read",
        "--expires-in-days",
        "2",
        "--json",
    ]));
    let (secret, id) = (text(&key, "/key"), text(&key, "/id"));
    let with = |key: &str, args: &[&str]| server.cli(&[args, &["--api-key", key]].concat());
    assert_eq!(with(&secret, &["files", "upload", "train.jsonl"]).code, 0);
    assert_eq!(with(&secret, &["jobs", "list"]).code, 6, "a scope that it has not");
    assert_eq!(with(&secret, &["tenants", "list"]).code, 6, "no operator");
    let usage = json(&with(&secret, &["usage", "--json"]));
    assert!(usage["storage_bytes"].as_u64() > Some(0), "{usage}");
    let usage = with(&secret, &["usage"]);
    assert!(usage.stdout.contains("live_jobs") && !usage.stdout.contains("none"), "{usage:?}");
    let shown = server.cli(&["keys", "get", &tenant, &id]);
    assert!(shown.code == 0 && shown.stdout.contains("files.write"), "{shown:?}");
    assert!(!shown.stdout.contains(&secret), "{shown:?}");

    let rotated =
        json(&server.cli(&["keys", "rotate", &tenant, &id, "--overlap-seconds", "0", "--json"]));
    let (new, new_id) = (text(&rotated, "/key"), text(&rotated, "/id"));
    assert_eq!(with(&secret, &["files", "list"]).code, 6, "the old one has ended");
    assert_eq!(with(&new, &["files", "list"]).code, 0);
    let listed = server.cli(&["keys", "list", &tenant]);
    assert!(listed.stdout.contains(&id) && listed.stdout.contains(&new_id), "{listed:?}");
    assert_eq!(
        json(&server.cli(&["tenants", "suspend", &tenant, "--json"]))["status"],
        "suspended"
    );
    assert_eq!(with(&new, &["files", "list"]).code, 6);
    assert_eq!(json(&server.cli(&["tenants", "activate", &tenant, "--json"]))["status"], "active");
    assert_eq!(with(&new, &["files", "list"]).code, 0);
    assert_eq!(server.cli(&["keys", "revoke", &tenant, &new_id]).code, 0);
    assert_eq!(with(&new, &["files", "list"]).code, 6);
    assert_eq!(server.cli(&["keys", "create", &tenant, "--name", "x", "--scope", "all"]).code, 2);

    let log = server.cli(&["audit", "list", &tenant]);
    for action in ["tenant.created", "key.created", "key.rotated", "key.revoked", "file.created"] {
        assert!(log.stdout.contains(action), "{action}: {log:?}");
    }
}

#[test]
fn an_audit_log_is_verified_through_the_server_and_in_its_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    let tenant = text(&json(&server.cli(&["tenants", "create", "--name", "a", "--json"])), "/id");
    for name in ["one", "two", "three"] {
        assert_eq!(server.cli(&["keys", "create", &tenant, "--name", name]).code, 0);
    }
    let said = server.cli(&["audit", "verify", &tenant, "--json"]);
    let first = json(&said);
    assert_eq!((first["head"]["seq"].as_u64(), first["intact"].as_bool()), (Some(4), Some(true)));
    let head = format!("{}:4", text(&first, "/head/hash"));
    let all = server.cli(&["audit", "verify", "--json"]);
    assert!(all.code == 0 && lines(&all).len() == 2, "{all:?}");
    data::file(directory.path(), "heads.jsonl", &all.stdout);
    // The log goes on; what was noted still holds. Another head does not.
    assert_eq!(server.cli(&["keys", "create", &tenant, "--name", "four"]).code, 0);
    assert_eq!(server.cli(&["audit", "verify", &tenant, "--head", &head]).code, 0);
    assert_eq!(server.cli(&["audit", "verify", "--heads", "heads.jsonl"]).code, 0);
    for (wrong, told) in [
        (format!("{}:4", "0".repeat(64)), "rewritten"),
        (format!("{}:400", "0".repeat(64)), "cut off"),
    ] {
        let said = server.cli(&["audit", "verify", &tenant, "--head", &wrong]);
        assert!(said.code == 7 && said.stdout.contains(told), "{said:?}");
    }
    let offline = |more: &[&str]| {
        process::trainyard(
            directory.path(),
            &[&["audit", "verify", "--data-dir", "data"], more].concat(),
        )
    };
    let beside = offline(&["--heads", "heads.jsonl"]);
    assert!(beside.code == 0 && beside.stdout.contains(&tenant), "beside the server: {beside:?}");
    assert_eq!(server.terminate().0, Some(0));
    let human = offline(&[]);
    assert!(human.code == 0 && human.stdout.matches("intact").count() == 2, "{human:?}");
    // In a backup the database is one file: what is changed in it is what is read.
    let backup = ["backup", "--data-dir", "data", "--out", "copy"];
    assert_eq!(process::trainyard(directory.path(), &backup).code, 0);
    let in_copy = |more: &[&str]| {
        process::trainyard(
            directory.path(),
            &[&["audit", "verify", "--data-dir", "copy"], more].concat(),
        )
    };
    assert_eq!(in_copy(&["--heads", "heads.jsonl"]).code, 0);
    flip(&directory.path().join("copy/trainyard.db"), b"\"name\":\"two\"");
    let broken = in_copy(&["--json"]);
    assert_eq!(broken.code, 7, "{broken:?}");
    let verdict = lines(&broken).into_iter().find(|line| text(line, "/tenant_id") == tenant);
    let verdict = verdict.expect("the tenant's line");
    assert_eq!(verdict["intact"], false, "{verdict}");
    let why = text(&verdict, "/error");
    assert!(why.contains("entry 3 was changed") || why.contains("entry 3:"), "{why}");
    assert_eq!(offline(&["--head", "x"]).code, 2);
    let none = process::trainyard(directory.path(), &["audit", "verify", "--data-dir", "nowhere"]);
    assert_eq!(none.code, 2, "{none:?}");
}

/// Changes a letter wherever `text` stands in the file.
fn flip(path: &Path, text: &[u8]) {
    let mut bytes = std::fs::read(path).expect("the database");
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert!(!places.is_empty(), "nothing to change");
    for at in places {
        bytes[at + text.len() - 2] ^= 1;
    }
    std::fs::write(path, bytes).expect("written");
}

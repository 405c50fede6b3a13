//! A Ceph object gateway of a test's own: a real S3 server in memory, made by `scripts/rgw.sh`.
#![allow(clippy::print_stdout, reason = "a test says what it could not try")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// The access key.
pub const ACCESS_KEY_ID: &str = "testaccess";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "testsecretkey";
/// The bucket that is there.
pub const BUCKET: &str = "training";
/// The script's exit code where programs are missing.
const MISSING: i32 = 3;

/// A running gateway. It ends when this is dropped, or with the test's process, because its input ends then.
#[derive(Debug)]
pub struct Rgw {
    child: Child,
    directory: TempDir,
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// The same over TLS, with the certificate in [`Rgw::certificate`].
    pub tls_endpoint: String,
}

impl Rgw {
    /// Starts one; `None`, with a word about it, where its programs are not installed. In CI they have to be.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/rgw.sh");
        let mut child = Command::new(script)
            .arg(directory.path().join("rgw"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/rgw.sh starts");
        let said = child.stdout.take().expect("its output");
        let lines = BufReader::new(said).lines().map_while(Result::ok);
        let (mut endpoint, mut tls_endpoint) = (String::new(), String::new());
        for line in lines {
            match line.split_once('=') {
                Some(("endpoint", url)) => endpoint = url.to_string(),
                Some(("tls_endpoint", url)) => tls_endpoint = url.to_string(),
                _ if line == "ready" => {
                    return Some(Self { child, directory, endpoint, tls_endpoint });
                }
                _ => {}
            }
        }
        let status = child.wait().expect("its end");
        let missing = status.code() == Some(MISSING);
        assert!(missing, "scripts/rgw.sh ended with {status}; it has said why");
        assert!(std::env::var_os("CI").is_none(), "CI tries S3: run scripts/prerequisites.sh s3");
        println!(
            "not tried: Ceph's packages are not installed; scripts/prerequisites.sh s3 installs them"
        );
        None
    }

    /// The certificate of `tls_endpoint`, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("rgw/tls.pem")
    }

    /// Runs `radosgw-admin` on it.
    pub fn admin(&self, args: &[&str]) -> Output {
        let mut command = Command::new("radosgw-admin");
        command.current_dir(self.directory.path().join("rgw"));
        command.args(["-c", "ceph.conf", "-n", "client.rgw.a"]).args(args);
        command.output().expect("radosgw-admin runs")
    }
}

impl Drop for Rgw {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

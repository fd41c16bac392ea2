//! Keys and certificates made by the command itself, and the members of a secured scope that use them.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(clippy::expect_used, reason = "in tests, a panic is the report")]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Ended, Running, run, start, start_with_log};

/// An authority in `DIR`, with one certificate for each of the names in `DIR/NAME`, and a pre-shared key for `pe-a`.
pub(crate) struct Keys(PathBuf);

impl Keys {
    pub(crate) fn make(test: &str, names: &[&str]) -> Self {
        let keys = Self(directory(test));
        done(&["keygen", "ca", "--out", &keys.path("")]);
        for name in names {
            keys.issue(name, &[]);
        }
        keys.pre_share("pe-a");
        keys.permit(
            "peers = [\"registrar-1\", \"registrar-2\", \"registrar-3\"]\n\
             identities = [{ name = \"pe-a\", pools = [\"echo\"] }, { name = \"pe-b\", pools = [\"*\"] }]\n",
        );
        keys
    }

    pub(crate) fn permit(&self, policy: &str) {
        std::fs::write(self.path("policy.toml"), policy).expect("written");
    }

    pub(crate) fn issue(&self, name: &str, more: &[&str]) {
        let (ca, out) = (self.path(""), self.path(name));
        let base = ["keygen", "cert", "--ca", &ca, "--name", name, "--ip", "127.0.0.1", "--out", &out];
        done(&[&base[..], more].concat());
    }

    /// Makes this the only pre-shared key.
    pub(crate) fn pre_share(&self, identity: &str) {
        let line = done(&["keygen", "psk", "--identity", identity]).stdout;
        std::fs::write(self.path("psk"), line).expect("written");
        std::fs::set_permissions(self.path("psk"), PermissionsExt::from_mode(0o600)).expect("ours");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A registrar of that name, its logs on a pipe.
    pub(crate) fn registrar(&self, name: &str, more: &[&str]) -> Running {
        let (cert, key) = (self.path(&format!("{name}/cert.pem")), self.path(&format!("{name}/key.pem")));
        let (ca, psk, policy) = (self.path("ca.pem"), self.path("psk"), self.path("policy.toml"));
        let base = [
            "registrar",
            "--timers",
            "fast",
            "--asap",
            "tls://127.0.0.1:0",
            "--enrp",
            "tls://127.0.0.1:0",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--tls-ca",
            &ca,
            "--psk-file",
            &psk,
            "--policy",
            &policy,
        ];
        start_with_log(&[&base[..], more].concat())
    }

    /// An echo service that registers by the pre-shared key of `pe-a`.
    pub(crate) fn element(&self, registrar: &str) -> Running {
        self.element_by(start, registrar)
    }

    /// The same, begun in this way.
    pub(crate) fn element_by(&self, start: impl Fn(&[&str]) -> Running, registrar: &str) -> Running {
        let psk = self.path("psk");
        start(&[
            "pe",
            "--echo",
            "--timers",
            "fast",
            "--pool",
            "echo",
            "--registrar",
            registrar,
            "--psk-identity",
            "pe-a",
            "--psk-file",
            &psk,
        ])
    }

    pub(crate) fn certified_element(&self, name: &str, registrar: &str) -> Running {
        let (cert, key) = (self.path(&format!("{name}/cert.pem")), self.path(&format!("{name}/key.pem")));
        let ca = self.path("ca.pem");
        let base = ["pe", "--echo", "--timers", "fast", "--pool", "echo", "--registrar", registrar];
        let base = [&base[..], &["--registrar-name", "registrar-1"]].concat();
        let keys = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key, "--asap", "tls://127.0.0.1:0"];
        start(&[&base[..], &keys].concat())
    }

    pub(crate) fn resolve(&self, registrar: &str) -> Ended {
        resolve(registrar, &["--tls-ca", &self.path("ca.pem")])
    }
}

pub(crate) fn resolve(registrar: &str, more: &[&str]) -> Ended {
    let base = [
        "resolve",
        "--json",
        "--timers",
        "fast",
        "--pool",
        "echo",
        "--patience",
        "1",
        "--registrar",
        registrar,
    ];
    run(&[&base[..], more].concat(), "")
}

/// A directory of this test, empty.
pub(crate) fn directory(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("secure-{test}"));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// Runs a command that succeeds.
pub(crate) fn done(arguments: &[&str]) -> Ended {
    let ended = run(arguments, "");
    assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
    ended
}

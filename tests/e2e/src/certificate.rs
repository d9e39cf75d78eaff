//! A certificate of this machine's own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::Azenha;

/// A certificate of 127.0.0.1 that vouches for itself, and its key.
pub struct Certificate {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes it in the directory of a test.
    pub fn make(azenha: &Azenha, name: &str) -> Result<Self> {
        let (certificate, key) = (azenha.path(&format!("{name}.crt")), azenha.path(&format!("{name}.key")));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=azenha", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(Self { certificate, key })
    }

    /// `tls` in the host's configuration.
    pub fn tls(&self) -> String {
        format!("{{ certificate: {}, key: {} }}", self.certificate.display(), self.key.display())
    }
}

//! The host's certificate.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use azenha_model::http::Tls;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What decrypts connections; none if the host is not the one to do it.
pub fn acceptor(tls: &Tls) -> Result<Option<TlsAcceptor>> {
    let Tls::Here { certificate, key } = tls else { return Ok(None) };
    let chain = chain(certificate).with_context(|| format!("the certificate {}", certificate.display()))?;
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| format!("the private key {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "the file has no certificate");
    Ok(chain)
}

//! Where the host listens, and how what is said there is encrypted.

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Certificate, Running, free_port, get};

use crate::helpers::{TOKENS, ask};

fn spawn(azenha: &Azenha, http: &str, listen: &str) -> Result<Running> {
    let config = azenha.write("host.yaml", &format!("http: {{ {http} }}\n"))?.display().to_string();
    let data = azenha.data().display().to_string();
    azenha.spawn(["run", "--data", &data, "--config", &config, "--listen", listen])
}

fn refused(azenha: &Azenha, http: &str) -> Result<String> {
    let config = azenha.write("host.yaml", &format!("http: {{ {http} }}\n"))?.display().to_string();
    let data = azenha.data().display().to_string();
    let ended = azenha.run(["run", "--data", &data, "--config", &config, "--listen", "0.0.0.0:0"])?;
    ensure!(!ended.status.success(), "it listened: {}", ended.text());
    Ok(ended.stderr)
}

#[test]
fn beyond_this_machine_the_host_listens_only_with_tokens_and_tls() -> Result<()> {
    let azenha = Azenha::empty()?;
    let tls = Certificate::make(&azenha, "host")?.tls();
    for (http, lack) in [
        (String::new(), "no tokens to ask for, and nothing encrypts"),
        (format!("tls: {tls}"), "no tokens to ask for"),
        (TOKENS.to_owned(), "nothing encrypts what is said there"),
    ] {
        let said = refused(&azenha, &http)?;
        assert!(said.contains(lack) && said.contains("behind_proxy"), "{http}: {said}");
    }
    let port = free_port()?;
    let mut host = spawn(&azenha, &format!("{TOKENS}, behind_proxy: true"), &format!("0.0.0.0:{port}"))?;
    host.address = format!("127.0.0.1:{port}");
    host.wait_until("the host is ready", |host| Ok(host.is_ready()))?;
    assert_eq!(ask(&host, "viewer", "GET", "/pipelines", &[], "")?.status, 200);
    assert_eq!(ask(&host, "", "GET", "/pipelines", &[], "")?.status, 401);
    Ok(())
}

#[test]
fn with_a_certificate_of_its_own_the_host_speaks_tls_and_nothing_else() -> Result<()> {
    let azenha = Azenha::empty()?;
    let (own, other) = (Certificate::make(&azenha, "host")?, Certificate::make(&azenha, "other")?);
    let port = free_port()?;
    let mut host = spawn(&azenha, &format!("{TOKENS}, tls: {}", own.tls()), &format!("0.0.0.0:{port}"))?;
    host.address = format!("127.0.0.1:{port}");
    let list = |server: String, trusted: &Certificate| -> Result<(bool, String)> {
        let mut list = azenha.command(["pipeline", "list"])?;
        list.env("AZENHA_SERVER", server).env("AZENHA_TOKEN", "viewer-0123456789abcdef");
        let output = list.env("SSL_CERT_FILE", &trusted.certificate).output()?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let url = format!("https://127.0.0.1:{port}");
    host.wait_until("the host answers", |_| Ok(list(url.clone(), &own)?.0))?;
    let (is_trusted, said) = list(url.clone(), &other)?;
    assert!(!is_trusted && !said.contains("0123456789"), "another certificate vouches for it: {said}");
    assert!(!list(format!("http://127.0.0.1:{port}"), &own)?.0, "it speaks without encryption");
    assert!(get(&host.address, "/livez").is_err());
    assert!(list(url, &own)?.0, "it goes on after those who did not encrypt");
    Ok(())
}

#[test]
fn a_certificate_that_is_none_is_told_before_anything_runs() -> Result<()> {
    let azenha = Azenha::empty()?;
    let (own, other) = (Certificate::make(&azenha, "host")?, Certificate::make(&azenha, "other")?);
    let with = |certificate: &std::path::Path, key: &std::path::Path| {
        refused(
            &azenha,
            &format!("{TOKENS}, tls: {{ certificate: {}, key: {} }}", certificate.display(), key.display()),
        )
    };
    let missing = with(&azenha.path("missing.crt"), &own.key)?;
    assert!(missing.contains("missing.crt"), "{missing}");
    let swapped = with(&own.key, &own.certificate)?;
    assert!(swapped.contains("host.key") && !swapped.contains("BEGIN"), "{swapped}");
    let mixed = with(&own.certificate, &other.key)?;
    assert!(mixed.contains("do not belong together"), "{mixed}");
    assert!(!azenha.path("data").join("log.db").exists(), "something ran");
    Ok(())
}

#[test]
fn a_role_that_is_none_is_refused_where_it_stands() -> Result<()> {
    let azenha = Azenha::empty()?;
    let said = refused(&azenha, "tokens: [{ name: ci, token: ci-0123456789abcdef, role: root }]")?;
    assert!(said.contains("host.yaml:1:") && said.contains("viewer") && !said.contains("0123456789"), "{said}");
    said.contains("deployer").then_some(()).context("the roles are not listed")
}

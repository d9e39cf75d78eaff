//! The least of an HTTP client: one request a connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The version of what was asked for, as HTTP writes it.
    pub etag: Option<String>,
    /// The other headers: names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

/// GET.
pub fn get(address: &str, path: &str) -> Result<Answer> {
    send(address, "GET", path, &[], b"")
}

/// POST with a body.
pub fn post(address: &str, path: &str, content_type: &str, body: &str) -> Result<Answer> {
    send(address, "POST", path, &[("Content-Type", content_type)], body.as_bytes())
}

/// Any request.
pub fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(head.as_bytes())?;
    // A host that refuses does not read the body.
    let sent = stream.write_all(body);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).or_else(|error| sent.and(if bytes.is_empty() { Err(error) } else { Ok(0) }))?;
    let response = String::from_utf8_lossy(&bytes);
    let (head, body) = response.split_once("\r\n\r\n").context("a response without a head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("a response without a status")?;
    let named = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let headers: Vec<(String, String)> = head.lines().skip(1).filter_map(named).collect();
    let etag = headers.iter().find(|(name, _)| name == "etag").map(|(_, value)| value.clone());
    Ok(Answer { status, etag, headers, body: body.to_owned() })
}

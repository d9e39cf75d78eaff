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
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

/// GET.
pub fn get(address: &str, path: &str) -> Result<Answer> {
    request(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// POST with a body.
pub fn post(address: &str, path: &str, content_type: &str, body: &str) -> Result<Answer> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\n");
    request(address, &format!("{head}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"))
}

fn request(address: &str, text: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(text.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let response = String::from_utf8_lossy(&bytes);
    let (head, body) = response.split_once("\r\n\r\n").context("a response without a head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("a response without a status")?;
    Ok(Answer { status, body: body.to_owned() })
}

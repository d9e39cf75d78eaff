//! What brought a customer, and with which device.

use std::borrow::Cow;

/// What the address of a page says of the campaign that led there.
#[derive(Debug, Default)]
pub struct Campaign<'a> {
    pub source: Option<Cow<'a, str>>,
    pub medium: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
}

impl<'a> Campaign<'a> {
    pub fn of_url(url: &'a str) -> Self {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let parameter = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, value)| *name == wanted && !value.is_empty()).map(|(_, value)| decoded(value))
        };
        Self { source: parameter("utm_source"), medium: parameter("utm_medium"), name: parameter("utm_campaign") }
    }
}

/// Text as it was before it became a part of an address.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
        rest = behind;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// By which way a customer came.
pub fn channel(source: &str, medium: Option<&str>) -> &'static str {
    match (source, medium) {
        ("shop", _) => "store",
        ("support", _) => "support",
        (_, Some("cpc" | "ppc" | "paid_search")) => "paid_search",
        (_, Some("paid_social")) => "paid_social",
        (_, Some("social")) => "social",
        (_, Some("email")) => "email",
        (_, Some("affiliate")) => "affiliate",
        (_, Some("referral")) => "referral",
        (_, Some(_)) => "other",
        ("app", None) => "app",
        (_, None) => "direct",
    }
}

/// What a user agent says of itself.
#[derive(Debug, Default)]
pub struct Agent {
    pub browser: Option<&'static str>,
    pub system: Option<&'static str>,
    pub device: Option<&'static str>,
}

/// Browsers say that they are others, too: the first mark that is found tells.
const BROWSERS: [(&str, &str); 7] = [
    ("LojaApp/", "app"),
    ("Edg/", "edge"),
    ("OPR/", "opera"),
    ("SamsungBrowser/", "samsung"),
    ("Firefox/", "firefox"),
    ("Chrome/", "chrome"),
    ("Safari/", "safari"),
];

const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "ios"),
    ("iPad", "ios"),
    ("iOS", "ios"),
    ("Android", "android"),
    ("Windows", "windows"),
    ("Mac OS X", "macos"),
    ("Linux", "linux"),
];

impl Agent {
    pub fn of(text: &str) -> Self {
        let first = |marks: &[(&str, &'static str)]| {
            marks.iter().find(|(mark, _)| text.contains(mark)).map(|(_, meaning)| *meaning)
        };
        let (browser, system) = (first(&BROWSERS), first(&SYSTEMS));
        let device = system.map(|system| match system {
            _ if text.contains("iPad") || text.contains("Tablet") => "tablet",
            "ios" | "android" => "mobile",
            _ => "desktop",
        });
        Self { browser, system, device }
    }
}

//! Where a query is answered.

use std::fmt;

/// A path with parameters: `/interacoes/{cliente}`. A slash at its end means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
}

/// The first segments of the host's own paths.
pub const RESERVED: [&str; 11] = [
    "livez",
    "readyz",
    "metrics",
    "pipelines",
    "plugins",
    "topics",
    "openapi.json",
    "docs",
    "console",
    "audit",
    "whoami",
];

impl Path {
    /// Reads a path as a pipeline's file has it.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let wrong = |problem: &str, help: &str| Err((format!("the path `{text}` {problem}"), help.to_owned()));
        let Some(rest) = text.strip_prefix('/') else {
            return wrong("does not begin with a slash", "write for instance `/orders/{customer}`");
        };
        let mut segments = Vec::new();
        for segment in split(rest) {
            let (name, parameter) = match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => (name, true),
                None => (segment, false),
            };
            let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
            if name.is_empty() || !name.chars().all(is_allowed) || name.chars().all(|letter| letter == '.') {
                return wrong(
                    "has a segment that cannot be one",
                    "write letters, digits and any of `_-.`, or `{parameter}`",
                );
            }
            segments.push(match parameter {
                true => Segment::Parameter(name.to_owned()),
                false => Segment::Literal(name.to_owned()),
            });
        }
        let path = Self { segments };
        match path.segments.first() {
            Some(Segment::Literal(first)) if RESERVED.contains(&first.as_str()) => {
                wrong("is one of the host's own", &format!("begin with another segment than {}", RESERVED.join(", ")))
            }
            Some(Segment::Literal(_)) => match path.repeated() {
                Some(name) => wrong(&format!("has the parameter `{name}` twice"), "give one another name"),
                None => Ok(path),
            },
            _ => wrong("has no fixed first segment", "write for instance `/orders/{customer}`"),
        }
    }

    fn repeated(&self) -> Option<&str> {
        let names: Vec<&str> = self.parameters().collect();
        names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)).map(|(_, name)| *name)
    }

    /// The names of its parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The values of its parameters in the path of a request, as they stand there (in percent-encoding); none if it is
    /// another path.
    pub fn matches<'a>(&self, path: &'a str) -> Option<Vec<&'a str>> {
        let found: Vec<&str> = split(path.strip_prefix('/')?).collect();
        if found.len() != self.segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (segment, found) in self.segments.iter().zip(found) {
            match segment {
                Segment::Literal(literal) if literal == found => {}
                Segment::Parameter(_) if !found.is_empty() => values.push(found),
                _ => return None,
            }
        }
        Some(values)
    }

    /// Whether there are requests that both would answer.
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = |(left, right): (&Segment, &Segment)| match (left, right) {
            (Segment::Literal(left), Segment::Literal(right)) => left == right,
            _ => true,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(meet)
    }
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.strip_suffix('/').unwrap_or(path).split('/')
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(literal) => write!(formatter, "/{literal}"),
            Segment::Parameter(name) => write!(formatter, "/{{{name}}}"),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn a_path_gives_the_values_of_its_parameters() {
        let path = path("/shops/{shop}/orders/{order}");
        assert_eq!(path.to_string(), "/shops/{shop}/orders/{order}");
        assert_eq!(path.matches("/shops/a%20b/orders/7/"), Some(vec!["a%20b", "7"]));
        for other in
            ["/shops/a/orders", "/shops/a/lines/7", "/shops//orders/7", "/shops/a/orders/7/8", "shops/a/orders/7"]
        {
            assert_eq!(path.matches(other), None, "{other}");
        }
    }

    #[test]
    fn paths_overlap_if_one_request_could_mean_both() {
        assert!(path("/a/{x}").overlaps(&path("/a/{y}")));
        assert!(path("/a/{x}").overlaps(&path("/a/b")));
        assert!(path("/a/").overlaps(&path("/a")));
        assert!(!path("/a/{x}").overlaps(&path("/b/{x}")));
        assert!(!path("/a").overlaps(&path("/a/{x}")));
    }

    #[test]
    fn what_is_no_path_is_refused_with_what_would_be_right() {
        for wrong in
            ["orders", "/", "/a//b", "/{x}", "/metrics", "/pipelines/{x}", "/a/{x}/{x}", "/a b", "/a/..", "/a/{}"]
        {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Errors in files that people write: where, what was found, what would be right.

use std::fmt::{self, Write};

/// One error in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the user named it.
    pub file: String,
    /// From 1; 0 if the error has no place in the file.
    pub line: usize,
    /// From 1, in characters; 0 if the error has no place in the file.
    pub column: usize,
    /// What was found and why it is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Says what would be right.
    pub(crate) fn suggest(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, message) = (Escaped(&self.file), Escaped(&self.message));
        match (self.line, self.column) {
            (0, _) => write!(f, "{file}: {message}")?,
            (line, column) => write!(f, "{file}:{line}:{column}: {message}")?,
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {}", Escaped(help))?;
        }
        Ok(())
    }
}

/// A text that quotes what people wrote: its control characters must not steer a terminal, nor begin a line.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            control if control.is_control() => write!(f, "{}", control.escape_default()),
            letter => f.write_char(letter),
        })
    }
}

/// Every error that was found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Diagnostics(
    /// At least one.
    pub Vec<Diagnostic>,
);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

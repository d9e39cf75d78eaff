//! The statement of a query: one `SELECT`, in which `:name` stands for a parameter.
//!
//! Values never become part of the text. The host reads the statement as a table of its own, in a transaction that
//! cannot write; what is checked here is for the author of the file, who learns of a mistake before anything runs.

use crate::names::{listed, unknown};

/// A statement in pieces, between names that are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql(pub Vec<Piece>);

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// SQL.
    Text(String),
    /// The name at this position: of a parameter, or where statements are over tables, of a table.
    Parameter(usize),
}

/// Why a statement cannot be a query's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// What was found.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// Words of statements that change something; nobody needs them in a `SELECT` without quotes.
const CHANGES: [&str; 5] = ["INSERT", "UPDATE", "DELETE", "MERGE", "INTO"];

impl Sql {
    /// Reads a statement with parameters of these names, each of which it must use.
    ///
    /// # Errors
    /// What is wrong with it first.
    pub fn parse(text: &str, parameters: &[&str]) -> Result<Self, SqlError> {
        let statement = Self::read(text, parameters, Naming::Parameters)?;
        let used = |position: usize| statement.0.contains(&Piece::Parameter(position));
        if let Some(unused) = (0..parameters.len()).find(|position| !used(*position)) {
            let name = parameters[unused];
            return Err(error(
                format!("the statement does not use the parameter `{name}`"),
                format!("write `:{name}` where its value belongs, or leave it out of `parameters`"),
            ));
        }
        Ok(statement)
    }

    /// Reads a statement in which `{name}` stands for one of these tables.
    ///
    /// # Errors
    /// What is wrong with it first.
    pub fn over_tables(text: &str, tables: &[&str]) -> Result<Self, SqlError> {
        Self::read(text, tables, Naming::Tables)
    }

    fn read(text: &str, names: &[&str], naming: Naming) -> Result<Self, SqlError> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let mut reader = Reader { text, at: 0, pieces: Vec::new(), depth: 0, words: 0, names, naming };
        while reader.step()? {}
        match reader.depth {
            0 if reader.words > 0 => Ok(Self(reader.pieces)),
            0 => Err(not_select()),
            _ => Err(error("a parenthesis is not closed", "add `)`")),
        }
    }

    /// The statement with its names replaced.
    pub fn with(&self, name: impl Fn(usize) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Parameter(position) => name(*position),
        };
        self.0.iter().map(piece).collect()
    }
}

/// How names stand in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// `:name`, for a value.
    Parameters,
    /// `{name}`, for a table.
    Tables,
}

struct Reader<'a> {
    text: &'a str,
    /// Everything before is read.
    at: usize,
    pieces: Vec<Piece>,
    /// Open parentheses.
    depth: usize,
    words: usize,
    names: &'a [&'a str],
    naming: Naming,
}

impl Reader<'_> {
    /// Reads one token; false at the end.
    fn step(&mut self) -> Result<bool, SqlError> {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(false) };
        match first {
            '\'' | '"' => self.quoted(first)?,
            ':' if rest.starts_with("::") => self.take(2),
            ':' => self.parameter()?,
            '{' if self.naming == Naming::Tables => self.table()?,
            '(' => {
                self.depth += 1;
                self.take(1);
            }
            ')' => {
                self.depth = self
                    .depth
                    .checked_sub(1)
                    .ok_or_else(|| error("a parenthesis is closed that was not opened", "leave out the `)`"))?;
                self.take(1);
            }
            ';' => return Err(error("`;` ends the statement, and more follows", "write one statement")),
            '-' if rest.starts_with("--") => return Err(no_comments()),
            '/' if rest.starts_with("/*") => return Err(no_comments()),
            '?' | '$' | '`' => {
                return Err(error(
                    format!("`{first}` means something else in each database"),
                    "write parameters as `:name`, and names of columns in double quotes",
                ));
            }
            _ if is_word(first) => self.word()?,
            _ => self.take(first.len_utf8()),
        }
        Ok(true)
    }

    /// Adds so many bytes to the text.
    fn take(&mut self, bytes: usize) {
        let taken = &self.text[self.at..self.at + bytes];
        self.at += bytes;
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push_str(taken),
            _ => self.pieces.push(Piece::Text(taken.to_owned())),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<(), SqlError> {
        let inside = &self.text[self.at + 1..];
        let Some(length) = inside.find(quote) else {
            return Err(error(format!("a {quote} is not closed"), format!("add {quote}")));
        };
        if inside[..length].contains('\\') {
            return Err(error("`\\` between quotes means something else in each database", "leave it out"));
        }
        self.take(length + 2);
        Ok(())
    }

    fn parameter(&mut self) -> Result<(), SqlError> {
        let name = word_of(&self.text[self.at + 1..]);
        if name.is_empty() {
            self.take(1);
            return Ok(());
        }
        if self.naming == Naming::Tables {
            return Err(error(format!("`:{name}` would be a parameter, and there is none"), "write the value itself"));
        }
        let Some(position) = self.names.iter().position(|parameter| *parameter == name) else {
            let help = unknown(name, "parameters are", self.names);
            return Err(error(format!("the statement uses a parameter `{name}` that is not declared"), help));
        };
        self.pieces.push(Piece::Parameter(position));
        self.at += 1 + name.len();
        Ok(())
    }

    fn table(&mut self) -> Result<(), SqlError> {
        let Some((name, _)) = self.text[self.at + 1..].split_once('}') else {
            return Err(error("a { is not closed", "add } behind the name of the table"));
        };
        let Some(position) = self.names.iter().position(|table| *table == name) else {
            let help = unknown(name, "it can read", self.names);
            return Err(error(format!("there is no table `{{{name}}}` here"), help));
        };
        self.pieces.push(Piece::Parameter(position));
        self.at += name.len() + 2;
        Ok(())
    }

    fn word(&mut self) -> Result<(), SqlError> {
        let word = word_of(&self.text[self.at..]);
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        if self.words == 0 && !["SELECT", "WITH"].iter().any(|keyword| is(keyword)) {
            return Err(not_select());
        }
        if CHANGES.iter().any(|keyword| is(keyword)) {
            let help = format!("a query only reads; a column that is called so stands in quotes: `\"{word}\"`");
            return Err(error(format!("`{word}` changes something"), help));
        }
        self.words += 1;
        self.take(word.len());
        Ok(())
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn word_of(text: &str) -> &str {
    &text[..text.find(|letter: char| !is_word(letter)).unwrap_or(text.len())]
}

fn error(message: impl Into<String>, help: impl Into<String>) -> SqlError {
    SqlError { message: message.into(), help: help.into() }
}

fn not_select() -> SqlError {
    error("this is not a `SELECT`", format!("begin with one of {}", listed(["SELECT", "WITH"])))
}

fn no_comments() -> SqlError {
    error("comments begin differently in each database", "write it as a comment of the file: `# …` above `sql`")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_outside_of_quotes_and_casts() {
        let sql = Sql::parse("SELECT ':a', \"b:a\", c::text FROM t WHERE d = :a AND e > :b OR :a = 1;", &["a", "b"]);
        let text = |text: &str| Piece::Text(text.to_owned());
        let expected = [
            text("SELECT ':a', \"b:a\", c::text FROM t WHERE d = "),
            Piece::Parameter(0),
            text(" AND e > "),
            Piece::Parameter(1),
            text(" OR "),
            Piece::Parameter(0),
            text(" = 1"),
        ];
        assert_eq!(sql.unwrap().0, expected);
    }

    #[test]
    fn tables_stand_in_braces() {
        let sql = Sql::over_tables("SELECT '{a}', b::text FROM {b} JOIN {a} ON 1 = 1", &["a", "b"]).unwrap();
        let found = sql.with(|position| ["\"x\"", "\"y\""][position].to_owned());
        assert_eq!(found, "SELECT '{a}', b::text FROM \"y\" JOIN \"x\" ON 1 = 1");
        for (wrong, told) in
            [("SELECT * FROM {c}", "{c}"), ("SELECT * FROM {a", "closed"), ("SELECT :a FROM {a}", ":a")]
        {
            let SqlError { message, .. } = Sql::over_tables(wrong, &["a"]).unwrap_err();
            assert!(message.contains(told), "{wrong}: {message}");
        }
    }

    #[test]
    fn what_is_not_one_reading_select_is_refused_and_the_reason_names_it() {
        for (wrong, told) in [
            ("", "SELECT"),
            ("DELETE FROM t", "SELECT"),
            ("SELECT 1; SELECT 2", "one statement"),
            ("SELECT 1) AS x, (SELECT 2", "opened"),
            ("SELECT (1", "closed"),
            ("SELECT 'it", "closed"),
            ("SELECT 'a\\' OR 1'", "\\"),
            ("SELECT 1 -- done", "comments"),
            ("SELECT /* */ 1", "comments"),
            ("SELECT $1", "`:name`"),
            ("SELECT * FROM t WHERE a = ?", "`:name`"),
            ("SELECT * INTO x FROM t", "INTO"),
            ("WITH x AS (delete FROM t RETURNING *) SELECT * FROM x", "delete"),
            ("SELECT * FROM t FOR UPDATE", "UPDATE"),
            ("SELECT :b", "not declared"),
        ] {
            let SqlError { message, help } = Sql::parse(wrong, &[]).unwrap_err();
            assert!(format!("{message}; {help}").contains(told), "{wrong}: {message}; {help}");
        }
        assert!(Sql::parse("SELECT 1", &["a"]).unwrap_err().message.contains("`a`"), "a parameter nobody uses");
    }
}

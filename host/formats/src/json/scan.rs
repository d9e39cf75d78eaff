//! The grammar of JSON: walks over a text and says where and of what kind its values are, without making any.

use super::text::{escape, special};

/// How many arrays and objects may be open at once. It is what serde_json reads, so that a `json` column can be
/// parsed by those who get it.
pub(crate) const MAX_DEPTH: usize = 127;

/// What stands in a record for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Missing,
    Null,
    True,
    False,
    /// A number without point and exponent.
    Integer,
    /// A number with point or exponent.
    Number,
    /// A string without escapes.
    Text,
    /// A string with escapes.
    EscapedText,
    Array,
    Object,
}

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This should stand where the scanner stopped.
    Expected(&'static str),
    TooDeep,
    /// The member of this slot stands twice in its object.
    Duplicate(usize),
    /// The member of this slot has to be an object.
    NotAnObject(usize, Kind),
    /// The record has to be an object.
    RecordNotAnObject(Kind),
}

/// A place in a text.
pub(super) struct Scanner<'a> {
    pub input: &'a [u8],
    pub at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// The byte here. 0, which may stand nowhere in JSON, at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.input.get(self.at).copied().unwrap_or(0)
    }

    /// Goes behind `text` if it stands here.
    #[inline]
    pub fn take(&mut self, text: &[u8]) -> bool {
        let found = self.input.get(self.at..).is_some_and(|rest| rest.starts_with(text));
        if found {
            self.at += text.len();
        }
        found
    }

    #[inline]
    pub fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Enters the array or object here; `outer` are open around it. False if it is empty: then it is closed already.
    #[inline]
    pub fn open(&mut self, close: u8, outer: usize) -> Result<bool, Fault> {
        if outer >= MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.at += 1;
        self.skip_space();
        let empty = self.peek() == close;
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Goes from behind an element to the next one. False if there is none: then the array or object is closed.
    #[inline]
    pub fn goes_on(&mut self, close: u8) -> Result<bool, Fault> {
        self.skip_space();
        let found = self.peek();
        if found == b',' {
            self.at += 1;
            self.skip_space();
            return Ok(true);
        }
        if found == close {
            self.at += 1;
            return Ok(false);
        }
        Err(Fault::Expected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" }))
    }

    /// Goes from behind a member's name to its value.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != b':' {
            return Err(Fault::Expected("`:`"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Goes to the end of the text, where nothing but space may be left.
    #[inline]
    pub fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at < self.input.len() { Err(Fault::Expected("the end")) } else { Ok(()) }
    }

    /// Goes behind the value here; `depth` arrays and objects are open around it.
    #[inline(always)] // most values are strings, for which this is one comparison
    pub fn value(&mut self, depth: usize) -> Result<Kind, Fault> {
        match self.peek() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.literal(b"true", Kind::True, "`true`"),
            b'f' => self.literal(b"false", Kind::False, "`false`"),
            b'n' => self.literal(b"null", Kind::Null, "`null`"),
            _ => Err(Fault::Expected("a value")),
        }
    }

    /// Goes behind the string here.
    #[inline]
    pub fn string(&mut self) -> Result<Kind, Fault> {
        if self.peek() != b'"' {
            return Err(Fault::Expected("`\"`"));
        }
        self.at = special(self.input, self.at + 1);
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(Kind::Text);
        }
        self.string_with_escapes()
    }

    /// Goes behind the string in which the scanner stands at something that is no plain character.
    #[inline(never)]
    fn string_with_escapes(&mut self) -> Result<Kind, Fault> {
        loop {
            match self.input.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Kind::EscapedText);
                }
                Some(b'\\') => {
                    let rest = self.input.get(self.at..).unwrap_or_default();
                    let Some((_, length)) = escape(rest) else {
                        return Err(Fault::Expected("an escape such as `\\n` or `\\u00e9` (or a pair of surrogates)"));
                    };
                    self.at = special(self.input, self.at + length);
                }
                Some(_) => return Err(Fault::Expected("an escape in place of a control character")),
                None => return Err(Fault::Expected("`\"`")),
            }
        }
    }

    /// Goes behind the number here.
    #[inline(never)]
    pub fn number(&mut self) -> Result<Kind, Fault> {
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut kind = Kind::Integer;
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
            kind = Kind::Number;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
            kind = Kind::Number;
        }
        Ok(kind)
    }

    /// Goes behind one or more digits.
    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        if count == 0 { Err(Fault::Expected("a digit")) } else { Ok(()) }
    }

    #[inline(never)]
    fn literal(&mut self, word: &[u8], kind: Kind, expected: &'static str) -> Result<Kind, Fault> {
        if self.take(word) { Ok(kind) } else { Err(Fault::Expected(expected)) }
    }

    #[inline(never)]
    fn object(&mut self, outer: usize) -> Result<Kind, Fault> {
        let mut more = self.open(b'}', outer)?;
        while more {
            self.string()?;
            self.colon()?;
            self.value(outer + 1)?;
            more = self.goes_on(b'}')?;
        }
        Ok(Kind::Object)
    }

    #[inline(never)]
    fn array(&mut self, outer: usize) -> Result<Kind, Fault> {
        let mut more = self.open(b']', outer)?;
        while more {
            self.value(outer + 1)?;
            more = self.goes_on(b']')?;
        }
        Ok(Kind::Array)
    }
}

/// Whether `text` is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.skip_space();
    scanner.value(0).and_then(|_| scanner.end()).is_ok()
}

/// Whether `text` is a JSON number and nothing else.
pub(crate) fn is_number(text: &str) -> bool {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.number().is_ok() && scanner.at == text.len()
}

//! What the state of a table or a relation is kept under: what it holds, and who has been told all of it.

/// What stands between what a state holds and who knows it.
const READ_BY: &str = "; read by ";
/// … and those who are being told.
const TOLD_TO: &str = "; being told to ";
/// … and those who knew it once.
const NO_LONGER: &str = "; no longer by ";

/// The definition of a state. Who begins to read rows that came before is told them first; who stopped cannot come back,
/// because it does not know which rows are gone since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    what: String,
    known: Vec<String>,
    told: Vec<String>,
    gone: Vec<String>,
}

/// Why a state is not that of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It holds something else.
    Other,
    /// This reader had it before, but not all the time.
    Returning(String),
}

impl Definition {
    /// That of a state which begins: its readers will know everything.
    pub fn new(what: String, readers: Vec<String>) -> Self {
        Self { what, known: readers, told: Vec::new(), gone: Vec::new() }
    }

    /// What [`Definition::text`] wrote.
    pub fn read(text: &str) -> Self {
        let split = |text: &'_ str, mark: &str| match text.rsplit_once(mark) {
            Some((before, names)) => {
                let names = names.split(", ").filter(|name| !name.is_empty());
                (before.to_owned(), names.map(str::to_owned).collect())
            }
            None => (text.to_owned(), Vec::new()),
        };
        let (rest, gone) = split(text, NO_LONGER);
        let (rest, told) = split(&rest, TOLD_TO);
        let (what, known) = split(&rest, READ_BY);
        Self { what, known, told, gone }
    }

    /// For the state, for people and for comparing.
    pub fn text(&self) -> String {
        let lists = [(READ_BY, &self.known), (TOLD_TO, &self.told), (NO_LONGER, &self.gone)];
        let lists = lists.into_iter().filter(|(mark, names)| *mark == READ_BY || !names.is_empty());
        lists.fold(self.what.clone(), |text, (mark, names)| text + mark + &names.join(", "))
    }

    /// What this definition is for a state that was kept under another one.
    ///
    /// # Errors
    /// If the state cannot go on under this one.
    pub fn after(self, before: &Self) -> Result<Self, Unfit> {
        if self.what != before.what {
            return Err(Unfit::Other);
        }
        let (known, told): (Vec<String>, Vec<String>) =
            self.known.into_iter().partition(|reader| before.known.contains(reader));
        if let Some(reader) = told.iter().find(|reader| before.gone.contains(reader)) {
            return Err(Unfit::Returning(reader.clone()));
        }
        let is_gone = |reader: &&String| !known.contains(reader) && !told.contains(reader);
        let gone = before.known.iter().chain(&before.told).filter(is_gone).chain(&before.gone).cloned().collect();
        Ok(Self { what: self.what, known, told, gone })
    }

    /// Those who have to be told what the state holds.
    pub fn new_readers(&self) -> &[String] {
        &self.told
    }

    /// Whether all readers of another definition know everything that was kept under this one.
    pub fn is_known_to_all_of(&self, other: &Self) -> bool {
        other.known.iter().all(|reader| self.known.contains(reader))
    }

    /// Notes that all are told.
    pub fn all_told(&mut self) {
        self.known.append(&mut self.told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(readers: &[&str]) -> Definition {
        Definition::new("rows of (a: int64)".to_owned(), readers.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn who_begins_to_read_is_told_until_the_end_and_then_knows() {
        let wanted = of(&["x/0", "y"]);
        let mut now = wanted.clone().after(&of(&["x/0"])).unwrap();
        assert_eq!(now.new_readers(), ["y"]);
        // A crash, and yet another one.
        assert!(!Definition::read(&now.text()).is_known_to_all_of(&wanted));
        now = of(&["x/0", "y", "z"]).after(&Definition::read(&now.text())).unwrap();
        assert_eq!(now.new_readers(), ["y", "z"]);
        now.all_told();
        assert!(now.is_known_to_all_of(&wanted));
        assert_eq!(now, of(&["x/0", "y", "z"]));
    }

    #[test]
    fn who_stopped_to_read_cannot_come_back_even_if_it_was_not_told_all() {
        let telling = of(&["x/0", "y"]).after(&of(&["x/0"])).unwrap();
        let without = of(&[]).after(&telling).unwrap();
        let without = Definition::read(&without.text());
        for reader in ["x/0", "y"] {
            assert_eq!(of(&[reader]).after(&without), Err(Unfit::Returning(reader.to_owned())));
        }
        assert_eq!(of(&["z"]).after(&without).unwrap().new_readers(), ["z"]);
    }

    #[test]
    fn what_nobody_read_is_told_to_the_first_who_does() {
        let before = Definition::read(&of(&[]).text());
        assert_eq!(before, of(&[]));
        assert_eq!(of(&["x"]).after(&before).unwrap().text(), "rows of (a: int64); read by ; being told to x");
    }

    #[test]
    fn a_state_of_something_else_does_not_fit() {
        let other = Definition::new("rows of (b: text)".to_owned(), vec!["x".to_owned()]);
        assert_eq!(of(&["x"]).after(&other), Err(Unfit::Other));
    }

    #[test]
    fn what_was_written_before_readers_were_told_apart_is_read() {
        let read = Definition::read("rows of (a: int64); read by x/0, y");
        assert_eq!(read, of(&["x/0", "y"]));
        assert_eq!(read.text(), "rows of (a: int64); read by x/0, y");
    }
}

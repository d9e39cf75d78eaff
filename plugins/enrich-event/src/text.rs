//! What can be counted in a text, and the form in which it is searched.

/// Counts, without a judgement.
#[derive(Debug)]
pub struct Features {
    /// Characters.
    pub length: i64,
    pub words: i64,
    pub exclamations: i64,
    pub is_question: bool,
}

impl Features {
    pub fn of(text: &str) -> Self {
        Self {
            length: text.chars().count() as i64,
            words: text.split_whitespace().count() as i64,
            exclamations: text.bytes().filter(|byte| *byte == b'!').count() as i64,
            is_question: text.contains('?'),
        }
    }
}

/// The words of texts, behind each other in lower case and without accents, with one blank between them. Whoever searches
/// them, with whatever idea of what parts words, finds the same.
pub fn searchable(texts: &[Option<&str>]) -> String {
    let mut all = String::with_capacity(texts.iter().flatten().map(|text| text.len() + 1).sum());
    for text in texts.iter().flatten() {
        let mut ended = true;
        for letter in text.chars().filter(|letter| !is_accent(*letter)) {
            if !letter.is_alphanumeric() {
                ended = true;
                continue;
            }
            if std::mem::take(&mut ended) && !all.is_empty() {
                all.push(' ');
            }
            match letter {
                'a'..='z' | '0'..='9' => all.push(letter),
                'A'..='Z' => all.push(letter.to_ascii_lowercase()),
                _ => all.extend(letter.to_lowercase().filter(|letter| !is_accent(*letter)).map(without_accent)),
            }
        }
    }
    all
}

/// Whether it is an accent that is a character of its own.
fn is_accent(letter: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&letter)
}

/// The letter below the accents that Portuguese and its neighbours write, and that of ordinal numbers.
fn without_accent(letter: char) -> char {
    match letter {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'ª' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' | 'º' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::searchable;

    #[test]
    fn words_are_letters_and_digits_in_a_row_whatever_stands_between_them() {
        for (text, expected) in [
            ("Não gostei do produto.Quero", "nao gostei do produto quero"),
            ("copo d'água, 1,5 l", "copo d agua 1 5 l"),
            ("na\u{303}o_sei -- (2x)", "nao sei 2x"),
            ("  \u{a0}\n", ""),
        ] {
            assert_eq!(searchable(&[Some(text)]), expected);
        }
        assert_eq!(searchable(&[Some("Bota!"), None, Some("...?"), Some("ok")]), "bota ok");
    }
}

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

/// Texts behind each other in lower case, without accents, with one blank between words.
pub fn searchable(texts: &[Option<&str>]) -> String {
    let mut all = String::with_capacity(texts.iter().flatten().map(|text| text.len() + 1).sum());
    for word in texts.iter().flatten().flat_map(|text| text.split_whitespace()) {
        if !all.is_empty() {
            all.push(' ');
        }
        for letter in word.chars() {
            match letter {
                'a'..='z' | '0'..='9' => all.push(letter),
                'A'..='Z' => all.push(letter.to_ascii_lowercase()),
                _ => all.extend(letter.to_lowercase().map(without_accent)),
            }
        }
    }
    all
}

/// The letter below the accents that Portuguese and its neighbours write.
fn without_accent(letter: char) -> char {
    match letter {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    }
}

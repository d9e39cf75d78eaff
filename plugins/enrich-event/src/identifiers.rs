//! Identifiers in one spelling each, or none where a value is no such identifier.

/// What a person is known by and others should not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identifier {
    Email,
    Phone,
    Document,
    Cookie,
}

impl Identifier {
    /// The column that holds it.
    pub fn column(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Document => "document",
            Self::Cookie => "cookie",
        }
    }

    /// A value in its one spelling; none if it is no such identifier.
    pub fn normal(self, value: &str) -> Option<String> {
        let value = value.trim();
        match self {
            Self::Email => normal_email(value),
            Self::Phone => normal_phone(value),
            Self::Document => normal_cpf(value),
            Self::Cookie => normal_cookie(value),
        }
    }
}

/// Characters that a cookie has at most.
const MOST_COOKIE: usize = 64;

/// In lower case and without the tag behind a plus: `ana+loja@Example.com` is read by Ana like all else.
fn normal_email(email: &str) -> Option<String> {
    let email = email.to_lowercase();
    let (name, domain) = email.rsplit_once('@')?;
    let name = name.split('+').next().filter(|name| !name.is_empty())?;
    let is_domain = domain.contains('.') && domain.split('.').all(|label| !label.is_empty());
    let is_plain = !email.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    (is_domain && is_plain && !name.contains('@')).then(|| format!("{name}@{domain}"))
}

/// With the country before it: Brazil's, unless the number says another one. One digit again and again is what people give
/// who want to give none: behind Brazil's area codes; elsewhere it is not known where a subscriber's digits begin.
fn normal_phone(phone: &str) -> Option<String> {
    let is_spelling = |letter: char| letter.is_ascii_digit() || " ()+-./".contains(letter);
    if !phone.chars().all(is_spelling) {
        return None;
    }
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    if phone.starts_with('+') && !digits.starts_with("55") {
        let is_number = (8..=15).contains(&digits.len()) && !is_one_digit(&digits);
        return is_number.then(|| format!("+{digits}"));
    }
    let national = digits.trim_start_matches('0');
    let national = match national.len() {
        12 | 13 => national.strip_prefix("55")?,
        _ => national,
    };
    let is_number = matches!(national.len(), 10 | 11) && !is_one_digit(&national[2..]);
    is_number.then(|| format!("+55{national}"))
}

/// Whether all digits are the same.
fn is_one_digit(digits: &str) -> bool {
    digits.chars().all(|digit| digits.starts_with(digit))
}

/// The eleven digits of a CPF whose check digits are right.
fn normal_cpf(document: &str) -> Option<String> {
    if !document.chars().all(|letter| letter.is_ascii_digit() || " .-".contains(letter)) {
        return None;
    }
    let cpf: String = document.chars().filter(char::is_ascii_digit).collect();
    let digits: Vec<u32> = cpf.bytes().map(|digit| u32::from(digit - b'0')).collect();
    let check = |before: usize| {
        let weights = (2..=before as u32 + 1).rev();
        let sum: u32 = digits[..before].iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
        sum * 10 % 11 % 10
    };
    let is_right = digits.len() == 11 && check(9) == digits[9] && check(10) == digits[10];
    // Eleven equal digits pass the check and are nobody's.
    (is_right && !is_one_digit(&cpf)).then_some(cpf)
}

/// As it is, if it can stand in a list that commas separate, such as that of a query.
fn normal_cookie(cookie: &str) -> Option<String> {
    let is_usable = !cookie.is_empty() && !cookie.contains(',') && cookie.chars().count() <= MOST_COOKIE;
    is_usable.then(|| cookie.to_owned())
}

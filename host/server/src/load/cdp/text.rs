//! Texts as customers and shops write them, put together from parts of sentences.

use std::fmt::Write;

use fastrand::Rng;

use super::words::{BEGINNINGS, CONTENT, DEMANDS, FAULTS, FEATURES, PRAISES, QUESTIONS, SUBJECTS};
use crate::load::commerce::{PLACES, Product, pick};

/// What a text is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The shop describes what is looked at.
    Description,
    /// Somebody is content.
    Praise,
    /// Somebody is not.
    Complaint,
    /// Somebody wants to know something.
    Question,
    /// Somebody says what is good and what is not.
    Review,
}

impl Occasion {
    /// What is written with an event of this kind.
    pub fn of(kind: &str) -> Self {
        match kind {
            "praise" => Self::Praise,
            "complaint" => Self::Complaint,
            "question" => Self::Question,
            "review" => Self::Review,
            _ => Self::Description,
        }
    }
}

/// Writes a text about a product. It holds nothing that JSON would escape.
pub fn write(text: &mut String, occasion: Occasion, product: &Product, random: &mut Rng) {
    let mut writer = Writer { text, product: product.name.to_lowercase(), random };
    match occasion {
        Occasion::Description => writer.description(&product.name, product.category),
        Occasion::Praise => writer.experience(&[&PRAISES, &PRAISES], &[&CONTENT]),
        Occasion::Complaint => writer.experience(&[&FAULTS, &FAULTS, &FAULTS], &[&DEMANDS, &DEMANDS]),
        Occasion::Question => writer.experience(&[], &[&QUESTIONS, &QUESTIONS]),
        Occasion::Review if writer.random.u8(0..3) == 0 => writer.experience(&[&PRAISES, &FAULTS], &[&DEMANDS]),
        Occasion::Review => writer.experience(&[&PRAISES, &PRAISES, &PRAISES], &[&CONTENT]),
    }
}

struct Writer<'a> {
    text: &'a mut String,
    product: String,
    random: &'a mut Rng,
}

impl Writer<'_> {
    fn description(&mut self, name: &str, category: &str) {
        let _ = write!(self.text, "{name}, da nossa linha de {}: ", category.to_lowercase());
        for separator in [", ", ", ", " e ", "."] {
            let feature = pick(&FEATURES, self.random);
            self.phrase(feature);
            self.text.push_str(separator);
        }
    }

    /// How somebody came to it, what there is to say about parts of it, and what follows.
    fn experience(&mut self, judgements: &[&[&str]], conclusions: &[&[&str]]) {
        let beginning = pick(&BEGINNINGS, self.random);
        self.phrase(beginning);
        self.text.push('.');
        for judgement in judgements {
            self.text.push(' ');
            self.text.push_str(pick(&SUBJECTS, self.random));
            self.text.push(' ');
            let judgement = pick(judgement, self.random);
            self.phrase(judgement);
            self.text.push('.');
        }
        for conclusion in conclusions {
            self.text.push(' ');
            let conclusion = pick(conclusion, self.random);
            self.phrase(conclusion);
        }
    }

    /// Writes a phrase, with something in the place of each of its gaps.
    fn phrase(&mut self, phrase: &str) {
        let mut rest = phrase;
        while let Some((before, gap)) = rest.split_once('{') {
            self.text.push_str(before);
            match gap.as_bytes().first() {
                Some(b'p') => self.text.push_str(&self.product),
                Some(b'c') => self.text.push_str(PLACES[self.random.usize(0..PLACES.len())].0),
                _ => {
                    let _ = write!(self.text, "{}", self.random.u8(2..=12));
                }
            }
            rest = gap.get(2..).unwrap_or_default();
        }
        self.text.push_str(rest);
    }
}

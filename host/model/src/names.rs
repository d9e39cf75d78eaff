//! Names that people get wrong, and the ones that they meant.

/// `` `a`, `b`, `c` ``
pub(crate) fn listed<Name: AsRef<str>>(names: impl IntoIterator<Item = Name>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}

/// What to say of a name that is unknown: the nearest one, and all there are.
/// `intro` begins the list: `columns are`.
pub(crate) fn unknown<Name: AsRef<str>>(name: &str, intro: &str, known: &[Name]) -> String {
    let all = match known {
        [] => "there are none".to_owned(),
        _ => format!("{intro} {}", listed(known)),
    };
    match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`? {all}"),
        None => all,
    }
}

/// The known name that is at most a third of its letters away.
pub(crate) fn nearest<'a, Name: AsRef<str>>(name: &str, known: &'a [Name]) -> Option<&'a str> {
    let distances = known.iter().map(AsRef::as_ref).map(|other| (distance(name, other), other));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    let letters = name.chars().count().max(nearest.chars().count());
    (distance * 3 <= letters).then_some(nearest)
}

/// Letters to insert, delete or replace until `left` is `right`; the case of letters does not count.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed_and_all_are_listed() {
        let known = ["campaignId", "userId", "timestamp"];
        let help = unknown("campaignid", "columns are", &known);
        assert_eq!(help, "did you mean `campaignId`? columns are `campaignId`, `userId`, `timestamp`");
    }

    #[test]
    fn nothing_is_proposed_that_is_far_away() {
        assert_eq!(unknown("zebra", "columns are", &["campaignId"]), "columns are `campaignId`");
        assert_eq!(unknown("zebra", "columns are", &[] as &[&str]), "there are none");
    }

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}

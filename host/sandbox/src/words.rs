//! What plugins say to people. Logs, terminals and dead letters take it only without control characters, which
//! could forge lines or steer a terminal, and only up to a length.

/// Bytes of a message that are kept.
pub const MESSAGE: usize = 2048;

/// Bytes of a name or a path in a message that are kept.
pub const NAME: usize = 256;

/// `text` with its control characters escaped (newlines too), cut to `limit` bytes and then marked with `…`.
pub fn shown(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let end = shown.len();
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
        if shown.len() > limit {
            shown.truncate(end);
            shown.push('…');
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        assert_eq!(shown("a\nb\r\x1b[2J\0\t\x7f\u{9b}", 99), r"a\nb\r\u{1b}[2J\u{0}\t\u{7f}\u{9b}");
        assert_eq!(shown(r#"é "quoted" \ 日本"#, 99), r#"é "quoted" \ 日本"#);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shown(&"é".repeat(9), 5), "éé…");
        assert_eq!(shown("short", 5), "short");
    }

    #[test]
    fn an_escape_is_kept_whole_or_not_at_all_and_counts_in_full() {
        assert_eq!(shown(&"\x1b".repeat(9), 13), r"\u{1b}\u{1b}…");
    }
}

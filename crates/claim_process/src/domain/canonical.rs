//! The canonical form of an identifier: what is compared wherever identifiers decide about money or repeats. Two spellings that a
//! person takes for the same have one canonical form; the text as it was sent is stored and shown beside it.
//!
//! In this order: compatibility forms, case and letters of other scripts that look like Latin ones are unified (`Ａ`, `a` and the
//! Cyrillic `А` are `a`), dashes and blanks are unified, invisible characters, blanks around it, and what spreadsheets put in
//! front of a number that is text are removed.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

/// The canonical form. It is its own canonical form, and never empty: a text of which nothing would be left stays as it is.
pub fn canonical(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.bytes().all(is_plain) {
        return text.into();
    }
    let mut unified = unify(text);
    // A few letters need two steps: the capital sharp s becomes a small one, and that `ss`.
    while !unified.is_ascii() {
        let again = unify(&unified);
        if again == unified {
            break;
        }
        unified = again;
    }
    let form = without_markers(&unified);
    if form.is_empty() {
        text.into()
    } else if form.len() == unified.len() {
        unified.into()
    } else {
        form.to_owned().into()
    }
}

fn unify(text: &str) -> String {
    if text.is_ascii() {
        let seen = text.chars().filter(|character| !is_invisible(*character));
        return unify_blanks(seen.map(|character| character.to_ascii_lowercase()));
    }
    // Decomposed, so that an accent does not hide what a character looks like; composed again at the end.
    let folded = text.nfkd().filter(|character| !is_invisible(*character)).flat_map(fold);
    unify_blanks(folded.nfkc())
}

/// The letters without regard to case: by way of the capital, so that `ß` is `ss` and both small sigmas are one.
fn fold(character: char) -> impl Iterator<Item = char> {
    character.to_uppercase().flat_map(|capital| {
        let latin = look_alike(capital);
        let small = if latin.is_none() { Some(capital.to_lowercase()) } else { None };
        latin
            .into_iter()
            .chain(small.into_iter().flatten())
            .map(|character| if is_dash(character) { '-' } else { character })
    })
}

/// The small Latin letter that a letter of another script looks like, if it has no case or as a capital. Small letters do not
/// count: the small sigma looks like an o, and a Greek text would not distinguish the two.
fn look_alike(capital: char) -> Option<char> {
    if capital.is_ascii() || !capital.is_alphabetic() {
        return None;
    }
    let mut buffer = [0; 4];
    let mut prototype = skeleton(capital.encode_utf8(&mut buffer));
    let (latin, rest) = (prototype.next()?, prototype.next());
    if rest.is_some() || !latin.is_ascii_alphabetic() {
        return None;
    }
    // The prototype of all vertical strokes is the small l, also of those that are a capital i.
    Some(if latin == 'l' && capital.is_uppercase() { 'i' } else { latin.to_ascii_lowercase() })
}

fn is_dash(character: char) -> bool {
    matches!(
        character,
        '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2212}'
                | '\u{2d7}'
                | '\u{58a}'
                | '\u{5be}'
                | '\u{1806}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{301c}'
                | '\u{3030}'
    )
}

/// Characters that are not seen: controls, joiners, marks and overrides of direction, variation selectors, fillers and tags.
fn is_invisible(character: char) -> bool {
    (character.is_control() && !character.is_whitespace())
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// One space for each run of blanks, and none at the ends.
fn unify_blanks(characters: impl Iterator<Item = char>) -> String {
    let mut unified = String::new();
    let mut after_blank = false;
    for character in characters {
        if character.is_whitespace() {
            after_blank = !unified.is_empty();
        } else {
            if std::mem::take(&mut after_blank) {
                unified.push(' ');
            }
            unified.push(character);
        }
    }
    unified
}

/// The text without the apostrophe or the `="…"` by which a spreadsheet keeps a number as text.
fn without_markers(mut text: &str) -> &str {
    loop {
        let quoted = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
        match quoted.or_else(|| text.strip_prefix('\'')) {
            Some(inner) => text = inner.trim(),
            None => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_identifier_have_one_form() {
        for spelling in [
            "grp-1000",
            "GRP-1000",
            " GRP\u{2011}1000\u{a0}",
            "ＧＲＰ－１０００",
            "GRP\u{2013}1000",
            "GRP\u{2212}1000",
            "G\u{200b}RP-10\u{feff}00",
            "'GRP-1000",
            "=\"GRP-1000\"",
            "=\"'GRP-1000 \"",
            // Cyrillic er.
            "G\u{420}R-1000".replace("\u{420}R", "R\u{420}").as_str(),
            "gr\u{440}-1000",
        ] {
            assert_eq!(canonical(spelling), "grp-1000", "{spelling:?}");
        }
        assert_eq!(canonical("A \u{2003}\t 17"), "a 17");
        assert_eq!(canonical("STRASSE"), canonical("straße"));
        assert_eq!(canonical("e\u{301}"), canonical("\u{c9}"));
        // Cyrillic io, and Latin e with a diaeresis.
        assert_eq!(canonical("\u{451}"), canonical("\u{eb}"));
        // Cyrillic and Greek capitals that look like A, B, C, I.
        assert_eq!(canonical("\u{410}\u{412}\u{421}\u{406}"), "abci");
        assert_eq!(canonical("\u{391}\u{392}\u{399}"), "abi");
    }

    #[test]
    fn different_identifiers_keep_different_forms() {
        for (one, other) in [
            ("A-10", "A-1O"),
            ("A-1", "A-l"),
            ("A-1", "A-I"),
            ("A17", "A-17"),
            ("A17", "A 17"),
            ("A_17", "A-17"),
            ("007", "7"),
            ("rn", "m"),
            ("ΣΑ-1", "ΟΑ-1"),
            ("Я-1", "R-1"),
            ("é", "e"),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn a_text_of_which_nothing_would_be_left_stays_as_it_is() {
        for text in ["'", " ", "\u{a0}", "=\"\"", ""] {
            assert_eq!(canonical(text), text);
        }
    }

    #[test]
    fn the_form_of_each_character_is_its_own_form() {
        for character in '\0'..=char::MAX {
            let form = canonical(&character.to_string()).into_owned();
            assert_eq!(canonical(&form), form, "{character:?} {:x}", u32::from(character));
        }
    }

    proptest! {
        #[test]
        fn a_form_is_its_own_form(text in "\\PC{0,64}") {
            let form = canonical(&text).into_owned();
            prop_assert_eq!(canonical(&form), form.as_str());
        }

        #[test]
        fn case_and_blanks_around_change_nothing(text in "[a-zA-Zа-яА-Я0-9 '=\"\u{2010}\u{200b}-]{1,64}") {
            let form = canonical(&text).into_owned();
            prop_assume!(!form.trim().is_empty() && form != text);
            for spelling in [text.to_lowercase(), text.to_uppercase(), format!("\u{3000} {text}\t")] {
                prop_assert_eq!(canonical(&spelling), form.as_str());
            }
        }
    }
}

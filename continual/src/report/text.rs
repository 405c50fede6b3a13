//! Text for the picture: escaped, cut to its place, and numbers in few digits.

/// `text` with the characters escaped that XML gives a meaning.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// `text` in at most `width` places, cut with an ellipsis. Letters outside ASCII count as two places, since many of them are wide.
pub(super) fn cut(text: &str, width: usize) -> String {
    let places = |character: char| if character.is_ascii() { 1 } else { 2 };
    if text.chars().map(places).sum::<usize>() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |character: &char| {
        let fits = places(*character) <= left;
        left = left.saturating_sub(places(*character));
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// A value in at most nine places: three decimals, or two digits and a power of ten where these would show nothing or too much.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0.000".to_owned()
    } else if (0.0005..9999.5).contains(&size) {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_a_cell() {
        for (value, text) in [
            (0.0, "0.000"),
            (-0.0, "0.000"),
            (0.12345, "0.123"),
            (-9999.4994, "-9999.499"),
            (9999.5, "1.0e4"),
            (-0.0004, "-4.0e-4"),
            (-1.5e-308, "-1.5e-308"),
            (f64::MAX, "1.8e308"),
        ] {
            assert_eq!(number(value), text);
            assert!(number(value).len() <= 9);
        }
    }

    #[test]
    fn long_names_are_cut_and_short_ones_are_not() {
        assert_eq!(cut("contracts", 9), "contracts");
        assert_eq!(cut("contracts", 8), "contrac…");
        assert_eq!(cut("契約書類", 8), "契約書類");
        assert_eq!(cut("契約書類", 6), "契約…");
        assert_eq!(cut("", 3), "");
    }
}

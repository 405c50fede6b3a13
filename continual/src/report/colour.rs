//! The colours of the heat map.

/// Red, green and blue, 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour([f64; 3]);

/// As the base model: nearly white, so that what differs stands out on light and dark pages alike.
const BASE: Colour = Colour([247.0, 247.0, 247.0]);
/// Better: blue. With red the ends of the scale `RdBu` of Brewer's, which people with any of the usual forms of colour blindness can tell apart.
const BETTER: Colour = Colour([33.0, 102.0, 172.0]);
/// Worse: red.
const WORSE: Colour = Colour([178.0, 24.0, 43.0]);

impl Colour {
    /// The colour at `place` from -1, worst, over 0, the base model, to 1, best.
    pub(super) fn diverging(place: f64) -> Self {
        let end = if place < 0.0 { WORSE } else { BETTER };
        let (share, mut mixed) = (place.abs().min(1.0), BASE);
        for (channel, end) in mixed.0.iter_mut().zip(end.0) {
            *channel = (*channel + share * (end - *channel)).round();
        }
        mixed
    }

    /// Whether white text is easier to read on it than black: by the contrast ratios of WCAG 2.2.
    pub(super) fn wants_white(self) -> bool {
        let luminance = self.luminance();
        1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05
    }

    /// Relative luminance, 0 for black to 1 for white (WCAG 2.2).
    fn luminance(self) -> f64 {
        let linear = |channel: f64| {
            let share = channel / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// As `#rrggbb`.
    pub(super) fn hex(self) -> String {
        let [red, green, blue] = self.0.map(|channel| channel as u8);
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_middle_are_those_of_the_scale() {
        for (place, hex) in [
            (-1.0, "#b2182b"),
            (0.0, "#f7f7f7"),
            (1.0, "#2166ac"),
            (0.5, "#8cafd2"),
            (7.0, "#2166ac"),
        ] {
            assert_eq!(Colour::diverging(place).hex(), hex);
        }
    }

    #[test]
    fn text_can_be_read_on_every_colour() {
        for place in -100..=100 {
            let colour = Colour::diverging(f64::from(place) / 100.0);
            let luminance = colour.luminance() + 0.05;
            let contrast = if colour.wants_white() { 1.05 / luminance } else { luminance / 0.05 };
            assert!(contrast >= 4.5, "WCAG AA asks for 4.5, {colour:?} has {contrast}");
        }
    }
}

//! The matrix as a heat map in SVG.

use std::fmt::Write as _;

use super::colour::Colour;
use super::text::{cut, escaped, number};
use crate::matrix::{Direction, ForgettingMatrix, Outcome, Scores};

// All lengths are in pixels at the picture's own size.
const CELL_WIDTH: usize = 84;
const CELL_HEIGHT: usize = 30;
/// Left of the cells, for the names of the rows.
const LEFT: usize = 210;
/// Above the cells, for the title and the names of the columns.
const TOP: usize = 64;
/// Between the stages and the held-out column.
const GAP: usize = 10;
/// Below the cells, for the legend.
const BOTTOM: usize = 56;
const LEGEND_WIDTH: usize = 330;
/// Letters that fit: the text is 12 pixels high and a letter at most some 7.5 wide on average.
const ROW_LETTERS: usize = 16;
const COLUMN_LETTERS: usize = 11;

/// Cells keep their colours on dark pages; the page itself and the text on it turn. Each rule is held to the picture by its class, since a
/// style inside a page is for all of the page.
const STYLE: &str = ".forgetting text{font:12px system-ui,sans-serif}\
    .forgetting .page{fill:#fff}.forgetting .ink{fill:#1b1b1b}.forgetting .pale{fill:#595959}\
    .forgetting .black{fill:#000}.forgetting .white{fill:#fff}\
    @media (prefers-color-scheme:dark){.forgetting .page{fill:#1b1b1b}\
    .forgetting .ink{fill:#f0f0f0}.forgetting .pale{fill:#b8b8b8}}";

/// A picture of the matrix: a row for the base model and one after each stage trained so far, a column per stage, and one for the
/// held-out set where the matrix has that, a little apart. `after` names the rows but that of the base model, as in [`super::csv()`].
///
/// The colour of a cell says how its value differs from the base model's in the same column, whichever way the measure is better: blue is
/// better, red is worse, and the deepest colour is the largest difference in the matrix. The value stands in the cell, with all its digits in its
/// tooltip. Names that do not fit are cut, and whole in their tooltips. The picture is one SVG element without scripts, links or
/// fonts of its own; it can stand in a page or a file.
#[must_use]
pub fn heat_map(matrix: &ForgettingMatrix, after: &[&str]) -> String {
    let columns = matrix.stages().len() + usize::from(matrix.base().held_out.is_some());
    let rows = matrix.rows().len() + 1;
    let width = (LEFT + columns * CELL_WIDTH + 2 * GAP).max(LEFT + LEGEND_WIDTH);
    let height = TOP + rows * CELL_HEIGHT + BOTTOM;
    let direction = match matrix.metric().direction() {
        Direction::HigherIsBetter => "higher is better",
        Direction::LowerIsBetter => "lower is better",
    };
    let title =
        format!("{} on each stage (column) after each stage (row); {direction}", matrix.metric());
    let title = escaped(&title);
    let largest = largest_difference(matrix);
    let mut svg = Svg(String::new());
    svg.push(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         class=\"forgetting\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n"
    ));
    svg.text(8, 20, "ink", "start", &title);
    for (place, name) in matrix.stages().iter().enumerate() {
        svg.label(
            column(place) + CELL_WIDTH / 2,
            TOP - 10,
            "middle",
            name.as_str(),
            COLUMN_LETTERS,
        );
    }
    if matrix.base().held_out.is_some() {
        let x = held_out_column(matrix) + CELL_WIDTH / 2;
        svg.text(x, TOP - 10, "ink", "middle", "held-out");
    }
    svg.text(8, TOP + CELL_HEIGHT * 2 / 3, "ink", "start", "base model");
    svg.cells(matrix, matrix.base(), 0, largest);
    for (place, (row, name)) in matrix.rows().iter().zip(after).enumerate() {
        let y = TOP + (place + 1) * CELL_HEIGHT + CELL_HEIGHT * 2 / 3;
        svg.label(8, y, "start", name, ROW_LETTERS);
        if row.outcome() == Outcome::Rejected {
            svg.text(LEFT - 8, y, "pale", "end", "rejected");
        }
        svg.cells(matrix, row.scores(), place + 1, largest);
    }
    svg.legend(TOP + rows * CELL_HEIGHT + 18, largest);
    svg.push(format_args!("</svg>\n"));
    svg.0
}

/// The left edge of a stage's column.
fn column(place: usize) -> usize {
    LEFT + place * CELL_WIDTH
}

fn held_out_column(matrix: &ForgettingMatrix) -> usize {
    column(matrix.stages().len()) + GAP
}

/// How much better a value is than the base model's, column by column: the stages and then the held-out set.
fn differences(matrix: &ForgettingMatrix, scores: &Scores) -> Vec<f64> {
    let direction = matrix.metric().direction();
    let values = |scores: &Scores| -> Vec<f64> {
        scores.stages.iter().chain(scores.held_out.as_ref()).copied().collect()
    };
    let base = values(matrix.base());
    let differ = |(value, base): (f64, f64)| direction.turned(value) - direction.turned(base);
    values(scores).into_iter().zip(base).map(differ).collect()
}

fn largest_difference(matrix: &ForgettingMatrix) -> f64 {
    let all = matrix.rows().iter().flat_map(|row| differences(matrix, row.scores()));
    all.fold(0.0, |largest: f64, difference| largest.max(difference.abs()))
}

/// A picture under way.
struct Svg(String);

impl Svg {
    fn push(&mut self, part: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(part);
    }

    /// Text that is escaped already.
    fn text(&mut self, x: usize, y: usize, class: &str, anchor: &str, text: &str) {
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>\n"
        ));
    }

    /// A name in at most so many letters, with the whole of it in its tooltip.
    fn label(&mut self, x: usize, y: usize, anchor: &str, name: &str, letters: usize) {
        let text = format!("<title>{}</title>{}", escaped(name), escaped(&cut(name, letters)));
        self.text(x, y, "ink", anchor, &text);
    }

    /// The cells of row `number`, that of the base model being 0.
    fn cells(&mut self, matrix: &ForgettingMatrix, scores: &Scores, number: usize, largest: f64) {
        let y = TOP + number * CELL_HEIGHT;
        let differences = differences(matrix, scores);
        for (place, (value, difference)) in scores.stages.iter().zip(&differences).enumerate() {
            self.cell(column(place), y, *value, *difference, largest);
        }
        if let (Some(value), Some(difference)) = (scores.held_out, differences.last()) {
            self.cell(held_out_column(matrix), y, value, *difference, largest);
        }
    }

    fn cell(&mut self, x: usize, y: usize, value: f64, difference: f64, largest: f64) {
        let place = if largest > 0.0 { difference / largest } else { 0.0 };
        let colour = Colour::diverging(place);
        let class = if colour.wants_white() { "white" } else { "black" };
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{value:?}</title></rect>\n",
            CELL_WIDTH - 1,
            CELL_HEIGHT - 1,
            colour.hex()
        ));
        let text = format!("<title>{value:?}</title>{}", number(value));
        self.text(x + CELL_WIDTH / 2, y + CELL_HEIGHT * 2 / 3, class, "middle", &text);
    }

    fn legend(&mut self, y: usize, largest: f64) {
        let size = number(largest);
        let entries = [
            (-1.0, format!("worse by {size}")),
            (0.0, "as the base model".to_owned()),
            (1.0, format!("better by {size}")),
        ];
        let mut x = 8;
        for (place, text) in entries {
            let fill = Colour::diverging(place).hex();
            self.push(format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{fill}\"/>\n"
            ));
            self.text(x + 20, y + 12, "pale", "start", &text);
            x += 160;
        }
    }
}

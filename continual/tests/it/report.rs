//! The matrix as CSV and as a picture, with names that would break out of either.

use trainyard_continual::StageName;
use trainyard_continual::matrix::{Direction, ForgettingMatrix, Metric, Scores};
use trainyard_continual::report::{csv, heat_map};

use crate::{example, matrix_of};

const NAMES: [&str; 3] =
    ["a, \"b\"", "<script>alert('x')</script> & more", "契約と🚂 contracts of all kinds"];

fn hostile() -> ForgettingMatrix {
    let names = NAMES.iter().map(|name| StageName::try_from(*name).unwrap()).collect();
    let base = Scores { stages: vec![2.0, 2.5, 3.0], held_out: Some(1.5) };
    let mut matrix = ForgettingMatrix::new(Metric::loss(), names, base).unwrap();
    matrix.keep(0, Scores { stages: vec![1.0, 2.6, 1e-5], held_out: Some(1.75) }).unwrap();
    matrix.reject(1).unwrap();
    matrix
}

/// A reader of CSV that follows RFC 4180 and nothing more.
fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (vec![], vec![], String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(!quoted && field.is_empty() && row.is_empty(), "the last line is not ended");
    rows
}

#[test]
fn csv_of_the_example() {
    assert_eq!(
        csv(&example(), &example().trained()),
        "row,after,outcome,a,b,c\r\n0,,,0.1,0.1,0.1\r\n1,a,kept,0.9,0.2,0.1\r\n2,b,kept,0.7,0.85,0.15\r\n3,c,kept,0.6,0.8,0.95\r\n"
    );
}

#[test]
fn csv_reads_back_to_the_same_names_and_bits() {
    let matrix = hostile();
    let rows = parse(&csv(&matrix, &matrix.trained()));
    let header = ["row", "after", "outcome", NAMES[0], NAMES[1], NAMES[2], "held_out"];
    assert_eq!(rows[0], header);
    let labels: Vec<&[String]> = rows[1..].iter().map(|row| &row[..3]).collect();
    assert_eq!(labels, [["0", "", ""], ["1", NAMES[0], "kept"], ["2", NAMES[1], "rejected"]]);
    let all = std::iter::once(matrix.base()).chain(matrix.rows().iter().map(|row| row.scores()));
    for (row, scores) in rows[1..].iter().zip(all) {
        let read: Vec<u64> =
            row[3..].iter().map(|text| text.parse::<f64>().unwrap().to_bits()).collect();
        let values = scores.stages.iter().chain(scores.held_out.as_ref());
        assert_eq!(read, values.map(|value| value.to_bits()).collect::<Vec<_>>());
    }
}

fn texts(document: &roxmltree::Document<'_>) -> Vec<String> {
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    // The text itself comes after the title that has the whole of it.
    texts
        .filter_map(|node| {
            node.children().filter_map(|child| child.text()).next_back().map(str::to_owned)
        })
        .collect()
}

#[test]
fn the_picture_is_valid_xml_whatever_the_names() {
    let svg = heat_map(&hostile(), &hostile().trained());
    let document = roxmltree::Document::parse(&svg).unwrap();
    assert_eq!(document.root_element().tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    let tags: std::collections::BTreeSet<&str> = document
        .descendants()
        .map(|node| node.tag_name().name())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), ["rect", "style", "svg", "text", "title"]);
    // Nothing that acts or fetches: no handler, no link.
    let attributes = document.descendants().flat_map(|node| node.attributes());
    assert!(attributes.clone().all(|attribute| !attribute.name().starts_with("on")));
    assert!(attributes.clone().all(|attribute| !attribute.name().contains("href")));
    let titles: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("title"))
        .filter_map(|node| node.text())
        .collect();
    // Each name whole: above its column, and beside its row for the two that were trained.
    for (name, times) in NAMES.iter().zip([2, 2, 1]) {
        assert_eq!(titles.iter().filter(|title| *title == name).count(), times, "{name}");
    }
    let texts = texts(&document);
    for text in ["base model", "rejected", "held-out", "1.0e-5", "2.600", "契約と🚂 c…"] {
        assert!(texts.iter().any(|found| found == text), "{text:?} is not among {texts:?}");
    }
    assert!(svg.contains("prefers-color-scheme:dark"));
}

/// The fill of each cell, row by row, without the page and the legend.
fn fills(matrix: &ForgettingMatrix) -> Vec<String> {
    let svg = heat_map(matrix, &matrix.trained());
    let document = roxmltree::Document::parse(&svg).unwrap();
    let cells =
        document.descendants().filter(|node| node.has_tag_name("rect") && node.has_children());
    cells.map(|node| node.attribute("fill").unwrap().to_owned()).collect()
}

#[test]
fn colours_diverge_from_the_base_row_whichever_way_is_better() {
    let base = [2.0, 2.0];
    let rows = [vec![1.0, 3.0]];
    let (white, blue, red) = ("#f7f7f7", "#2166ac", "#b2182b");
    assert_eq!(
        fills(&matrix_of(Direction::LowerIsBetter, &base, &rows)),
        [white, white, blue, red]
    );
    assert_eq!(
        fills(&matrix_of(Direction::HigherIsBetter, &base, &rows)),
        [white, white, red, blue]
    );
    // Nothing differs: no division by the largest difference, 0.
    assert_eq!(fills(&matrix_of(Direction::LowerIsBetter, &base, &[base.to_vec()])), [white; 4]);
    assert_eq!(fills(&hostile()).len(), 12);
}

#[test]
fn every_part_is_inside_the_picture_at_any_size() {
    for stages in [1, 2, 9, 26] {
        let rows = vec![vec![0.5; stages]; stages];
        let matrix = matrix_of(Direction::HigherIsBetter, &vec![0.25; stages], &rows);
        let svg = heat_map(&matrix, &matrix.trained());
        let document = roxmltree::Document::parse(&svg).unwrap();
        let number = |node: roxmltree::Node<'_, '_>, name| -> f64 {
            node.attribute(name).map_or(0.0, |text| text.parse().unwrap())
        };
        let root = document.root_element();
        let (width, height) = (number(root, "width"), number(root, "height"));
        for node in document
            .descendants()
            .filter(|node| node.has_tag_name("rect") || node.has_tag_name("text"))
        {
            assert!(number(node, "x") + number(node, "width") <= width, "{node:?}");
            assert!(number(node, "y") + number(node, "height") <= height, "{node:?}");
        }
    }
}

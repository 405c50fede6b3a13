//! Whose the rows are: units, their lines, and the rows that each line became.

use std::ops::Range;

use trainyard_privacy::random::SecureRandom;

/// Rows of each line, and the lines of each unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    /// Rows of each line: several where it was split, none where nothing of it can be trained on.
    lines: Vec<Range<u32>>,
    /// Lines of each user; `None` where each line is a unit.
    users: Option<Vec<Vec<u32>>>,
}

/// A unit that takes part in a step: its rows, each with its weight in the unit's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Row and weight.
    pub rows: Vec<(usize, f32)>,
}

impl Units {
    /// Units of these lines; `users` names the user of each line, by number from 0 without gaps.
    pub fn new(lines: Vec<Range<u32>>, users: Option<&[u32]>) -> Self {
        let users = users.map(|of_lines| {
            let count = of_lines.iter().max().map_or(0, |last| *last as usize + 1);
            let mut lists = vec![Vec::new(); count];
            for (line, user) in of_lines.iter().enumerate() {
                lists[*user as usize].push(line as u32);
            }
            lists
        });
        Self { lines, users }
    }

    /// How many units there are.
    pub fn len(&self) -> usize {
        self.users.as_ref().map_or(self.lines.len(), Vec::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unit with what of it takes part in one step: of a user at most `lines_max` lines, chosen anew each time. A line's loss is the mean
    /// over its own target tokens, which `targets` counts for a row, and a unit's gradient the mean over its lines.
    pub fn draw(
        &self,
        unit: usize,
        lines_max: usize,
        targets: impl Fn(usize) -> usize,
        random: &mut SecureRandom,
    ) -> Drawn {
        let lines: Vec<u32> = match &self.users {
            None => vec![unit as u32],
            Some(users) => {
                let own = &users[unit];
                random.subset(own.len(), lines_max).into_iter().map(|at| own[at]).collect()
            }
        };
        let mut rows = Vec::new();
        for line in &lines {
            let of_line = self.lines[*line as usize].clone().map(|row| row as usize);
            let learned: usize = of_line.clone().map(&targets).sum();
            let weight = 1.0 / (learned.max(1) as f32 * lines.len() as f32);
            rows.extend(of_line.map(|row| (row, weight)));
        }
        Drawn { rows }
    }
}

/// Units whose gradients are computed together, in batches of at most `rows_max` rows: whole units, and more than one only where all
/// their rows fit into one batch. Units of like length come together, so that less of a batch is padding; those without a row come in none.
pub fn group(
    mut drawn: Vec<Drawn>,
    rows_max: usize,
    length: impl Fn(usize) -> usize,
) -> Vec<Vec<Drawn>> {
    let longest = |unit: &Drawn| unit.rows.iter().map(|(row, _)| length(*row)).max().unwrap_or(0);
    drawn.retain(|unit| !unit.rows.is_empty());
    drawn.sort_by_cached_key(longest);
    let (mut groups, mut rows) = (Vec::<Vec<Drawn>>::new(), 0);
    for unit in drawn {
        let more = unit.rows.len();
        match groups.last_mut() {
            Some(group) if rows + more <= rows_max => group.push(unit),
            _ => {
                groups.push(vec![unit]);
                rows = 0;
            }
        }
        rows += more;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(drawn: &Drawn) -> Vec<usize> {
        drawn.rows.iter().map(|(row, _)| *row).collect()
    }

    #[test]
    fn a_unit_is_its_lines_and_each_line_counts_alike() {
        let mut random = SecureRandom::from_system().unwrap();
        let targets = |row: usize| [10, 6, 4, 5][row];
        // Line 1 became two rows and line 2 none.
        let lines = vec![0..1, 1..3, 3..3, 3..4];
        let examples = Units::new(lines.clone(), None);
        assert_eq!(examples.len(), 4);
        let split = examples.draw(1, 1, targets, &mut random);
        assert_eq!(split.rows, [(1, 0.1), (2, 0.1)]);
        assert_eq!(rows_of(&examples.draw(2, 1, targets, &mut random)), Vec::<usize>::new());

        let users = Units::new(lines, Some(&[0, 1, 1, 0]));
        assert_eq!(users.len(), 2);
        let whole = users.draw(0, 5, targets, &mut random);
        assert_eq!(whole.rows, [(0, 0.05), (3, 0.1)]);
        let seen: std::collections::BTreeSet<Vec<usize>> =
            (0..200).map(|_| rows_of(&users.draw(0, 1, targets, &mut random))).collect();
        assert_eq!(seen, [vec![0], vec![3]].into(), "either line, one at a time");
    }

    #[test]
    fn groups_hold_whole_units() {
        let unit = |rows: &[usize]| Drawn { rows: rows.iter().map(|row| (*row, 1.0)).collect() };
        let drawn =
            vec![unit(&[9]), unit(&[]), unit(&[1, 2, 3]), unit(&[4]), unit(&[5]), unit(&[6, 7])];
        let groups = group(drawn, 2, |row| row);
        let rows: Vec<Vec<Vec<usize>>> =
            groups.iter().map(|group| group.iter().map(rows_of).collect()).collect();
        assert_eq!(
            rows,
            [vec![vec![1, 2, 3]], vec![vec![4], vec![5]], vec![vec![6, 7]], vec![vec![9]]]
        );
    }
}

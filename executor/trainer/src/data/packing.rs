//! Several examples in a row, so that little is padding.
//!
//! Best-fit decreasing: the longest example first, each into the fullest row that still has room. Rows keep the order in which they
//! were opened, examples in a row the order of the file, so the result is a function of the lengths alone.

use std::collections::BTreeSet;

/// Packing pays below this share of real tokens in padded batches.
pub const FILL_WORTH_PACKING: f64 = 0.7;

/// Indices of the examples of each row of at most `capacity` tokens. No length may be above it.
pub fn best_fit_decreasing(lengths: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // (room left, row), so that the fullest row with enough room is the first at or above the length.
    let mut open: BTreeSet<(usize, usize)> = BTreeSet::new();
    for index in order {
        let length = lengths[index];
        let best = open.range((length, 0)..).next().copied();
        let (room, row) = match best {
            Some((room, row)) => {
                open.remove(&(room, row));
                (room, row)
            }
            None => {
                rows.push(Vec::new());
                (capacity, rows.len() - 1)
            }
        };
        rows[row].push(index);
        open.insert((room.saturating_sub(length), row));
    }
    for row in &mut rows {
        row.sort_unstable();
    }
    rows
}

/// Share of real tokens where `batches` of rows are padded to their longest.
pub fn fill<'a>(
    batches: impl Iterator<Item = &'a [usize]>,
    length: impl Fn(usize) -> usize,
) -> f64 {
    let (mut real, mut padded) = (0_usize, 0_usize);
    for batch in batches {
        let longest = batch.iter().map(|&row| length(row)).max().unwrap_or(0);
        real += batch.iter().map(|&row| length(row)).sum::<usize>();
        padded += longest * batch.len();
    }
    real as f64 / padded.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_full_and_nothing_is_lost() {
        assert_eq!(
            best_fit_decreasing(&[6, 4, 5, 5, 2, 8], 10),
            [vec![4, 5], vec![0, 1], vec![2, 3]]
        );
        let lengths: Vec<usize> = (0..500).map(|i| 1 + (i * 37) % 64).collect();
        let rows = best_fit_decreasing(&lengths, 64);
        let mut seen: Vec<usize> = rows.iter().flatten().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        assert!(rows.iter().all(|row| row.iter().map(|&i| lengths[i]).sum::<usize>() <= 64));
        let least = lengths.iter().sum::<usize>().div_ceil(64);
        assert!(rows.len() <= least + 2, "{} rows where {least} are the least", rows.len());
    }
}

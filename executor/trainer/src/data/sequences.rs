//! Where the sequences of a batch lie: what attention has to know, without asking a device for it.

use std::ops::Range;

/// Sequences one after another that fill rows of one length. Padding at the end of a packed row is one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    /// Rows.
    pub rows: usize,
    /// Positions of a row.
    pub length: usize,
    /// Where each begins among the positions of all rows, and where the last ends.
    bounds: Vec<i32>,
}

impl Sequences {
    /// One in each row, with the padding at its end: nothing before padding sees it, and its own output is not used.
    pub fn whole(rows: usize, length: usize) -> Self {
        Self::packed(length, std::iter::repeat_n(std::iter::once(length), rows))
    }

    /// Several in a row, whose lengths are given row by row and are together at most `length`.
    pub fn packed<R: Iterator<Item = usize>>(length: usize, rows: impl Iterator<Item = R>) -> Self {
        let (mut bounds, mut count) = (vec![0], 0);
        for (row, lengths) in rows.enumerate() {
            let mut end = row * length;
            for sequence in lengths.filter(|&sequence| sequence > 0) {
                end += sequence;
                bounds.push(end as i32);
            }
            count = row + 1;
            if end < count * length {
                bounds.push((count * length) as i32);
            }
        }
        Self { rows: count, length, bounds }
    }

    /// Where each begins among the positions of all rows, and where the last ends: `cu_seqlens` of `FlashAttention`.
    pub fn bounds(&self) -> &[i32] {
        &self.bounds
    }

    /// Positions of the longest.
    pub fn longest(&self) -> usize {
        self.each().map(|sequence| sequence.len()).max().unwrap_or(0)
    }

    /// Whether a row holds several.
    pub fn are_packed(&self) -> bool {
        self.bounds.len() > self.rows + 1
    }

    /// The first position of its row that each position sees: within its window, itself included, and of its own sequence.
    pub fn first_keys(&self, window: Option<i64>) -> Vec<i32> {
        let mut first = Vec::with_capacity(self.rows * self.length);
        for sequence in self.each() {
            let begin = (sequence.start % self.length.max(1)) as i64;
            for position in begin..begin + sequence.len() as i64 {
                let seen = window.map_or(0, |window| position + 1 - window);
                first.push(seen.max(begin) as i32);
            }
        }
        first
    }

    fn each(&self) -> impl Iterator<Item = Range<usize>> {
        self.bounds.windows(2).map(|bounds| bounds[0] as usize..bounds[1] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_see_their_own_sequence_alone() {
        let rows = [vec![2, 3], vec![4]];
        let packed = Sequences::packed(5, rows.iter().map(|row| row.iter().copied()));
        assert_eq!((packed.rows, packed.length, packed.longest()), (2, 5, 4));
        assert_eq!(packed.bounds(), [0, 2, 5, 9, 10]);
        assert!(packed.are_packed());
        assert_eq!(packed.first_keys(None), [0, 0, 2, 2, 2, 0, 0, 0, 0, 4]);
        assert_eq!(packed.first_keys(Some(2)), [0, 0, 2, 2, 3, 0, 0, 1, 2, 4]);
    }

    #[test]
    fn a_row_of_one_sequence_is_not_packed() {
        let whole = Sequences::whole(2, 3);
        assert_eq!((whole.bounds(), whole.are_packed()), (&[0, 3, 6][..], false));
        assert_eq!(whole.first_keys(Some(1)), [0, 1, 2, 0, 1, 2]);
        assert_eq!(Sequences::whole(0, 0).first_keys(None), [0; 0]);
    }
}

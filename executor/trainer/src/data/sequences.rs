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
    /// Positions of each row, at its end, that are no sequence's but padding known as such.
    padding: Vec<usize>,
}

/// [`Sequences`] with new positions before each, and what became of the positions that there were. Numbers are counted through all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengthened {
    /// Where sequences lie now, each with its new positions.
    pub sequences: Sequences,
    /// The positions that there were, without the padding at the end of packed rows.
    pub from: Vec<i64>,
    /// Where each of them is now.
    pub to: Vec<i64>,
    /// The new ones, those of one sequence after those of another.
    pub new: Vec<i64>,
    /// The row of each sequence.
    pub rows: Vec<i64>,
}

impl Sequences {
    /// One in each row, with the padding at its end: nothing before padding sees it, and its own output is not used.
    pub fn whole(rows: usize, length: usize) -> Self {
        Self::packed(length, std::iter::repeat_n(std::iter::once(length), rows))
    }

    /// Several in a row, whose lengths are given row by row and are together at most `length`.
    pub fn packed<R: Iterator<Item = usize>>(length: usize, rows: impl Iterator<Item = R>) -> Self {
        let (mut bounds, mut padding) = (vec![0], Vec::new());
        for (row, lengths) in rows.enumerate() {
            let (mut end, next) = (row * length, (row + 1) * length);
            for sequence in lengths.filter(|&sequence| sequence > 0) {
                end += sequence;
                bounds.push(end as i32);
            }
            if end < next {
                bounds.push(next as i32);
            }
            padding.push(next.saturating_sub(end));
        }
        Self { rows: padding.len(), length, bounds, padding }
    }

    /// The same with `before` positions before each, in rows as long as the longest then has to be.
    pub fn lengthened(&self, before: usize) -> Lengthened {
        let mut rows = vec![Vec::new(); self.rows];
        for (row, sequence) in self.filled() {
            rows[row].push(before + sequence.len());
        }
        let length = rows.iter().map(|row| row.iter().sum::<usize>()).max().unwrap_or(0);
        let sequences = Self::packed(length, rows.iter().map(|row| row.iter().copied()));
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let (mut new, mut of_rows) = (Vec::new(), Vec::new());
        let numbers = |range: Range<usize>| range.start as i64..range.end as i64;
        for ((row, old), (_, longer)) in self.filled().zip(sequences.filled()) {
            let first = longer.start + before;
            new.extend(numbers(longer.start..first));
            to.extend(numbers(first..longer.end));
            from.extend(numbers(old));
            of_rows.push(row as i64);
        }
        Lengthened { sequences, from, to, new, rows: of_rows }
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

    /// The place of each position in its sequence, from 0; 0 in padding at the end of a packed row.
    pub fn places(&self) -> Vec<i64> {
        let mut places = vec![0; self.rows * self.length];
        for (_, sequence) in self.filled() {
            for (place, position) in sequence.enumerate() {
                places[position] = place as i64;
            }
        }
        places
    }

    /// Those that are not padding, with their rows.
    fn filled(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let of_row = move |sequence: Range<usize>| (sequence.start / self.length.max(1), sequence);
        self.each().map(of_row).filter(move |(row, sequence)| {
            sequence.end + self.padding[*row] <= (row + 1) * self.length
        })
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

    #[test]
    fn longer_sequences_keep_their_order_and_lose_their_padding() {
        let rows = [vec![2, 3], vec![4]];
        let packed = Sequences::packed(5, rows.iter().map(|row| row.iter().copied()));
        let longer = packed.lengthened(2);
        assert_eq!((longer.sequences.rows, longer.sequences.length), (2, 9));
        assert_eq!(longer.sequences.bounds(), [0, 4, 9, 15, 18]);
        let places = longer.sequences.places();
        assert_eq!(places, [0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(longer.from, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(longer.to, [2, 3, 6, 7, 8, 11, 12, 13, 14]);
        assert_eq!(longer.new, [0, 1, 4, 5, 9, 10]);
        assert_eq!(longer.rows, [0, 0, 1]);
        // Nobody knows where the padding of a row of one sequence begins: it stays a part of it.
        let whole = Sequences::whole(2, 3).lengthened(1);
        assert_eq!(whole.sequences, Sequences::whole(2, 4));
        assert_eq!((&whole.to[..], &whole.new[..]), (&[1, 2, 3, 5, 6, 7][..], &[0, 4][..]));
    }
}

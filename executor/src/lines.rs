//! Lines from a program that is not trusted to write sane ones: bounded, and nothing is passed over unseen.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Bytes of a line at most; an event has a few hundred.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole one, without its newline.
    Whole(Vec<u8>),
    /// One over the limit; its content is gone.
    TooLong,
}

/// The next line; `None` at the end.
pub(crate) async fn next_line(
    reader: &mut (impl AsyncBufRead + Unpin),
) -> std::io::Result<Option<Line>> {
    let (mut line, mut too_long, mut any) = (Vec::new(), false, false);
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(any.then(|| finish(line, too_long)));
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        if line.len() + piece.len() > LINE_BYTES_MAX {
            too_long = true;
            line = Vec::new();
        } else if !too_long {
            line.extend_from_slice(piece);
        }
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(finish(line, too_long)));
        }
    }
}

fn finish(line: Vec<u8>, too_long: bool) -> Line {
    if too_long { Line::TooLong } else { Line::Whole(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_lines_are_noticed_and_passed_over() {
        let mut text = b"one\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LINE_BYTES_MAX + 10));
        text.extend(b"\ntwo");
        let mut reader = tokio::io::BufReader::with_capacity(100, text.as_slice());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut reader).await.unwrap() {
            lines.push(line);
        }
        assert_eq!(
            lines,
            [Line::Whole(b"one".to_vec()), Line::TooLong, Line::Whole(b"two".to_vec())]
        );
    }
}

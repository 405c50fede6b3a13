//! Server-sent events: bytes in, events out (WHATWG HTML, 9.2.6). A comment is an event without a name or data: a sign of life.

use std::collections::VecDeque;

/// Bytes of one event: the server's are far smaller.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its kind; empty for a comment.
    pub(crate) name: String,
    /// What it carries.
    pub(crate) data: String,
}

/// Takes a stream apart, whatever pieces it comes in.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    next: Event,
    /// The line before ended with a carriage return, whose line feed does not count.
    returned: bool,
    ready: VecDeque<Event>,
    last_id: Option<String>,
}

impl Parser {
    /// Goes on after the event of that id.
    pub(crate) fn after(last_id: Option<String>) -> Self {
        Self { last_id, ..Self::default() }
    }

    /// The id of the last event that had one.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes a piece of the stream.
    ///
    /// # Errors
    /// Where an event is larger than any that the server sends.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), String> {
        for byte in piece {
            let after_return = std::mem::replace(&mut self.returned, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => self.end_line(),
                other => self.line.push(*other),
            }
            if self.line.len() + self.next.data.len() > EVENT_BYTES_MAX {
                return Err(format!("an event has more than {EVENT_BYTES_MAX} bytes"));
            }
        }
        Ok(())
    }

    /// The next event that is whole.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if line.is_empty() {
            let event = std::mem::take(&mut self.next);
            if event != Event::default() {
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.ready.push_back(Event::default()),
            "event" => self.next.name = value.to_string(),
            "data" => {
                if !self.next.data.is_empty() {
                    self.next.data.push('\n');
                }
                self.next.data.push_str(value);
            }
            "id" => self.last_id = Some(value.to_string()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, piece: usize) -> (Vec<(String, String)>, Option<String>) {
        let mut parser = Parser::after(Some("0".to_string()));
        let mut events = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            parser.push(piece).expect("small events");
            while let Some(event) = parser.next() {
                events.push((event.name, event.data));
            }
        }
        (events, parser.last_id().map(str::to_string))
    }

    #[test]
    fn events_are_the_same_in_whatever_pieces_they_come() {
        let text = "id: 7\nevent: a\ndata: {\"x\":\"é\"}\n\n: still here\n\nevent: b\r\ndata:1\r\ndata: 2\r\n\r\nretry: 5\n\nid: 8\ndata: cut off";
        let pair = |name: &str, data: &str| (name.to_string(), data.to_string());
        let events = vec![pair("a", "{\"x\":\"é\"}"), pair("", ""), pair("b", "1\n2")];
        for piece in 1..text.len() {
            assert_eq!(parsed(text, piece), (events.clone(), Some("8".to_string())), "{piece}");
        }
        assert_eq!(parsed("", 1), (Vec::new(), Some("0".to_string())));
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let refused = (0..3).map(|_| parser.push(&vec![b'x'; EVENT_BYTES_MAX / 2])).last();
        assert!(refused.is_some_and(|refused| refused.is_err()));
    }
}

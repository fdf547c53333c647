//! Where something of ours may be put into an answer that streams: between two events, between two messages.

/// Of a message: a flag and four bytes of length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

#[derive(Debug)]
pub(super) enum Between {
    Events(Events),
    Messages(Messages),
    /// Not to be read; there is no such place.
    Nowhere,
}

/// HTML, section 9.2.5: an empty line ends an event; a line that begins with a colon belongs to none.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Line,
    /// Of an event that has begun.
    fields: bool,
    /// What ended the last line, where a line feed may still belong to it.
    carriage_return: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    Comment,
    Field,
}

#[derive(Debug, Default)]
pub(super) struct Messages {
    length: u32,
    have: usize,
    left: u64,
}

impl Between {
    pub(super) fn is_here(&self) -> bool {
        match self {
            Self::Events(events) => events.is_between(),
            Self::Messages(messages) => messages.is_between(),
            Self::Nowhere => false,
        }
    }

    /// `bytes` pass.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    /// Only those pass that belong to what has begun; how many.
    pub(super) fn finish(&mut self, bytes: &[u8]) -> usize {
        for (length, byte) in bytes.iter().enumerate() {
            if self.is_here() {
                return length;
            }
            self.step(*byte);
        }
        bytes.len()
    }

    fn step(&mut self, byte: u8) {
        match self {
            Self::Events(events) => events.step(byte),
            Self::Messages(messages) => messages.step(byte),
            Self::Nowhere => {}
        }
    }
}

impl Events {
    fn is_between(&self) -> bool {
        self.line == Line::Empty && !self.fields
    }

    fn step(&mut self, byte: u8) {
        let goes_with_it = std::mem::take(&mut self.carriage_return) && byte == b'\n';
        if goes_with_it {
            return;
        }
        if matches!(byte, b'\r' | b'\n') {
            self.carriage_return = byte == b'\r';
            match std::mem::take(&mut self.line) {
                Line::Empty => self.fields = false,
                Line::Comment => {}
                Line::Field => self.fields = true,
            }
        } else if self.line == Line::Empty {
            self.line = match byte {
                b':' => Line::Comment,
                _ => Line::Field,
            };
        }
    }
}

impl Messages {
    fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    fn step(&mut self, byte: u8) {
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        if self.have > 0 {
            self.length = (self.length << 8) | u32::from(byte);
        }
        self.have += 1;
        if self.have == PREFIX {
            self.left = u64::from(self.length);
            self.have = 0;
            self.length = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of each text passes when something is to be put in behind its first bytes; and whether it may be by then.
    #[test]
    fn events_end_with_an_empty_line() {
        let rows = [
            ("data: a\n\ndata: b\n\n", 9, true),
            ("data: a\r\rdata: b\r\r", 9, true),
            // The line feed behind it may never come.
            ("data: a\r\n\r\ndata: b\r\n\r\n", 10, true),
            ("data: a\ndata: b\n\ndata", 17, true),
            // Nobody knows how it goes on.
            ("data: a\n", 8, false),
            ("data: a", 7, false),
            // A comment belongs to no event, and may stand inside of one.
            (": ping\n: ping\n", 7, true),
            ("data: a\n: ping\n\n: ping\n", 16, true),
        ];
        for (text, expected, ends) in rows {
            for cut in 1..expected {
                let mut between = Between::Events(Events::default());
                let (before, after) = text.split_at(cut);
                between.pass(before.as_bytes());
                assert!(!between.is_here(), "{text:?} at {cut}");
                let passed = cut + between.finish(after.as_bytes());
                assert_eq!(
                    (passed, between.is_here()),
                    (expected, ends),
                    "{text:?} at {cut}"
                );
            }
        }
    }

    #[test]
    fn a_stream_begins_between_two_events() {
        assert!(Between::Events(Events::default()).is_here());
        let mut between = Between::Events(Events::default());
        between.pass(b"\n\r\n\r");
        assert!(between.is_here());
        assert_eq!(between.finish(b"data: too late\n\n"), 0);
    }

    #[test]
    fn messages_have_a_length() {
        let message = |length: usize| {
            let mut bytes = vec![0];
            bytes.extend(u32::try_from(length).unwrap_or_default().to_be_bytes());
            bytes.extend(std::iter::repeat_n(0, length));
            bytes
        };
        for length in [0, 1, 255, 256, 70_000] {
            let sent = [message(length), message(3)].concat();
            for cut in [1, 4, 5, 6, 200] {
                if cut >= length + 5 {
                    continue;
                }
                let mut between = Between::Messages(Messages::default());
                assert!(between.is_here());
                between.pass(&sent[..cut]);
                assert!(!between.is_here(), "{length} {cut}");
                assert_eq!(cut + between.finish(&sent[cut..]), length + 5);
                assert!(between.is_here());
            }
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_such_place() {
        let mut between = Between::Nowhere;
        assert_eq!(between.finish(b"anything"), 8);
        assert!(!between.is_here());
    }
}

//! Where WebSocket frames begin and end (RFC 6455, section 5.2), in one direction of an open tunnel.

/// Longest header: two bytes, eight of length, four of mask.
const HEADER: usize = 14;

const CLOSE: u8 = 0x8;

/// What was passed on so far, as far as it matters for where the next byte belongs.
#[derive(Debug)]
pub(super) struct Frames {
    at: At,
    has_closed: bool,
}

#[derive(Clone, Debug)]
enum At {
    /// In the header of an answer that comes before the first frame.
    Answer(Answer),
    Header {
        bytes: [u8; HEADER],
        have: usize,
    },
    Payload {
        left: u64,
    },
}

/// `HTTP/1.1 101` switches; what comes before it is an interim answer.
#[derive(Clone, Debug, Default)]
struct Answer {
    start: [u8; 12],
    have: usize,
    /// Bytes of the empty line that ends it.
    ended: usize,
}

impl Frames {
    /// From a client: the first byte is a frame's.
    pub(super) fn new() -> Self {
        Self {
            at: At::new_header(),
            has_closed: false,
        }
    }

    /// Towards a client: the answer that opens the tunnel comes first.
    pub(super) fn after_answer() -> Self {
        Self {
            at: At::Answer(Answer::default()),
            has_closed: false,
        }
    }

    /// A frame may be put here.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.at, At::Header { have: 0, .. })
    }

    /// That side has said goodbye.
    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(used) = self.step(rest) {
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// How many of `bytes` belong to the frame that has begun; all of them where it goes on.
    pub(super) fn until_between(&self, bytes: &[u8]) -> usize {
        let mut ahead = Self {
            at: self.at.clone(),
            has_closed: self.has_closed,
        };
        let mut rest = bytes;
        while !ahead.is_between() {
            let Some(used) = ahead.step(rest) else { break };
            rest = rest.get(used..).unwrap_or_default();
        }
        bytes.len() - rest.len()
    }

    /// Some bytes of one kind; how many, or nothing when there are none.
    fn step(&mut self, bytes: &[u8]) -> Option<usize> {
        let &first = bytes.first()?;
        match &mut self.at {
            At::Answer(answer) => {
                if answer.take(first) {
                    let switches = answer.start.starts_with(b"HTTP/1.1 101");
                    self.at = if switches {
                        At::new_header()
                    } else {
                        At::Answer(Answer::default())
                    };
                }
                Some(1)
            }
            At::Header {
                bytes: header,
                have,
            } => {
                if let Some(place) = header.get_mut(*have) {
                    *place = first;
                }
                *have += 1;
                if let Some(left) = payload(header, *have) {
                    self.has_closed |= header.first().is_some_and(|byte| byte & 0x0f == CLOSE);
                    self.at = At::payload(left);
                }
                Some(1)
            }
            At::Payload { left } => {
                let used = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.at = At::payload(*left - used as u64);
                Some(used)
            }
        }
    }
}

impl At {
    fn new_header() -> Self {
        Self::Header {
            bytes: [0; HEADER],
            have: 0,
        }
    }

    fn payload(left: u64) -> Self {
        if left == 0 {
            Self::new_header()
        } else {
            Self::Payload { left }
        }
    }
}

impl Answer {
    /// Whether the byte is its last.
    fn take(&mut self, byte: u8) -> bool {
        if let Some(place) = self.start.get_mut(self.have) {
            *place = byte;
            self.have += 1;
        }
        self.ended = match (self.ended, byte) {
            (0 | 2, b'\r') | (1 | 3, b'\n') => self.ended + 1,
            (_, b'\r') => 1,
            _ => 0,
        };
        self.ended == 4
    }
}

/// The length of the payload, once so much of the header is there that nothing of it is missing.
fn payload(header: &[u8; HEADER], have: usize) -> Option<u64> {
    let [_, second, long @ ..] = header;
    let (extended, mask) = (
        match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        },
        if second & 0x80 == 0 { 0 } else { 4 },
    );
    if have < 2 || have < 2 + extended + mask {
        return None;
    }
    let length = long.iter().take(extended);
    Some(if extended == 0 {
        u64::from(second & 0x7f)
    } else {
        length.fold(0, |length, byte| (length << 8) | u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as it is sent: opcode, whether it is masked, payload.
    fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask_bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask_bit | length as u8),
            126..65536 => {
                frame.push(mask_bit | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask_bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        // Bytes that look like the header of a Close frame.
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    const LENGTHS: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];

    #[test]
    fn every_frame_ends_where_it_ends_however_it_is_cut() {
        for masked in [false, true] {
            for length in LENGTHS {
                let sent = frame(0x2, masked, length);
                for step in [1, 2, 3, 7, 1000, sent.len()] {
                    let mut frames = Frames::new();
                    assert!(frames.is_between());
                    let mut passed = 0;
                    for chunk in sent.chunks(step) {
                        frames.pass(chunk);
                        passed += chunk.len();
                        assert_eq!(frames.is_between(), passed == sent.len(), "{length} {step}");
                    }
                    assert!(!frames.has_closed());
                }
            }
        }
    }

    #[test]
    fn the_rest_of_a_frame_is_told_from_the_next() {
        for length in LENGTHS {
            let sent = frame(0x1, true, length);
            for cut in [1, 2, 5, sent.len() - 1] {
                let mut frames = Frames::new();
                frames.pass(&sent[..cut]);
                let rest = [&sent[cut..], &frame(0x8, true, 2)].concat();
                assert_eq!(
                    frames.until_between(&rest),
                    sent.len() - cut,
                    "{length} {cut}"
                );
                assert!(!frames.is_between(), "only looked");
            }
        }
    }

    #[test]
    fn a_goodbye_is_seen() {
        let mut frames = Frames::new();
        frames.pass(&[frame(0x1, false, 200), frame(0x9, false, 0)].concat());
        assert!(!frames.has_closed());
        frames.pass(&frame(0x8, false, 2));
        assert!(frames.has_closed() && frames.is_between());
    }

    #[test]
    fn frames_begin_behind_the_answer_that_switches() {
        let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nX: a\r\rb\r\nUpgrade: websocket\r\n\r\n";
        for step in [1, 3, 1000] {
            let mut frames = Frames::after_answer();
            for chunk in [&interim[..], answer].concat().chunks(step) {
                assert!(!frames.is_between());
                frames.pass(chunk);
            }
            assert!(frames.is_between());
            frames.pass(&frame(0x1, false, 3)[..2]);
            assert!(!frames.is_between());
        }
    }
}

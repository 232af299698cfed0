//! WebSocket frames (RFC 6455 §5.2), as far as a tunnel must know them: where one ends, and how to say goodbye.
//!
//! A tunnel carries frames unseen. Only when it has to end does it matter where a frame ends, since a close frame may not
//! be put into the middle of another. So every byte is counted on its way, and no payload is ever kept.

/// The longest frame header: two bytes, a 64-bit length, a mask.
const HEADER_BYTES: usize = 14;
/// The longest reason: the payload of a control frame is at most 125 bytes, two of which are the code (RFC 6455 §5.5).
const REASON_BYTES: usize = 123;
const OPCODE_CLOSE: u8 = 0x8;

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Payload bytes that are still to come.
    payload: u64,
    in_close: bool,
    closed: bool,
    lost: bool,
}

impl Frames {
    /// At the first byte of a direction.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the last byte ended a frame, or none has begun.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.header_bytes == 0 && self.payload == 0 && !self.lost
    }

    /// Whether a whole close frame has passed: nothing may follow it (RFC 6455 §5.5.1).
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Follows all of `bytes`.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = self.follow_frame(bytes);
            bytes = &bytes[passed..];
        }
    }

    /// Follows `bytes` to the end of the frame that they continue or begin; says how many of them that are.
    pub fn follow_frame(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() {
            if self.lost {
                return bytes.len();
            }
            if self.payload > 0 {
                let here = usize::try_from(self.payload)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len() - passed);
                passed += here;
                self.payload -= here as u64;
            } else {
                self.header[self.header_bytes] = bytes[passed];
                self.header_bytes += 1;
                passed += 1;
                if !self.header_ended() {
                    continue;
                }
            }
            if self.payload == 0 && !self.lost {
                self.closed |= self.in_close;
                return passed;
            }
        }
        passed
    }

    /// Reads the header, if it is complete.
    fn header_ended(&mut self) -> bool {
        let header = &self.header[..self.header_bytes];
        let &[first, second, ref rest @ ..] = header else {
            return false;
        };
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            0..126 | 128.. => 0,
        };
        let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        if rest.len() < length_bytes + mask_bytes {
            return false;
        }
        self.payload = match length_bytes {
            0 => u64::from(second & 0x7f),
            _ => rest[..length_bytes]
                .iter()
                .fold(0, |length, &byte| length << 8 | u64::from(byte)),
        };
        // The most significant bit of a 64-bit length must be 0. Whatever this stream is, its frames cannot be told.
        self.lost = self.payload > i64::MAX as u64;
        self.in_close = first & 0x0f == OPCODE_CLOSE;
        self.header_bytes = 0;
        true
    }
}

/// A close frame (RFC 6455 §5.5.1). A reason that does not fit is shortened. A client's frames are `masked`, with a fresh
/// mask (RFC 6455 §5.3); a server's are not.
#[must_use]
pub fn close_frame(code: u16, reason: &str, masked: bool) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES)];
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason);
    let mut frame = vec![0x80 | OPCODE_CLOSE, payload.len() as u8];
    if masked {
        let mut mask = [0; 4];
        // Masks guard against payloads that an attacker chose. This one is ours, so one that could not be filled harms nobody.
        aws_lc_rs::rand::fill(&mut mask).unwrap_or_default();
        frame[1] |= 0x80;
        frame.extend_from_slice(&mask);
        payload
            .iter_mut()
            .zip(mask.iter().cycle())
            .for_each(|(byte, mask)| *byte ^= mask);
    }
    frame.extend_from_slice(&payload);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: u8 = 0x81;
    const CLOSE: u8 = 0x88;

    fn frame(first: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask_bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(mask_bit | length as u8),
            126..65_536 => {
                frame.push(mask_bit | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            65_536.. => {
                frame.push(mask_bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        // Payload that looks like close frames.
        frame.extend(std::iter::repeat_n(CLOSE, length));
        frame
    }

    #[test]
    fn a_frame_ends_where_it_ends_and_nowhere_else() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for masked in [false, true] {
                let bytes = frame(TEXT, length, masked);
                let mut frames = Frames::new();
                for (at, byte) in bytes.iter().enumerate() {
                    frames.follow(&[*byte]);
                    assert_eq!(frames.at_boundary(), at + 1 == bytes.len(), "{length} {masked} at {at}");
                }
                assert!(!frames.closed());
            }
        }
    }

    #[test]
    fn a_close_frame_counts_when_all_of_it_has_passed() {
        for masked in [false, true] {
            let bytes = [frame(TEXT, 300, masked), frame(CLOSE, 2, masked)].concat();
            let mut frames = Frames::new();
            frames.follow(&bytes[..bytes.len() - 1]);
            assert!(!frames.closed());
            frames.follow(&bytes[bytes.len() - 1..]);
            assert!(frames.closed() && frames.at_boundary());
        }
        let mut frames = Frames::new();
        frames.follow(&frame(CLOSE, 0, false));
        assert!(frames.closed(), "a close frame may be empty");
    }

    #[test]
    fn a_length_that_cannot_be_has_no_end() {
        let mut frames = Frames::new();
        frames.follow(&[TEXT, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        frames.follow(&[0; 1000]);
        assert!(!frames.at_boundary());
        assert!(!frames.closed());
    }

    #[test]
    fn close_frames_can_be_read() {
        assert_eq!(close_frame(1001, "", false), [0x88, 2, 0x03, 0xe9]);
        assert_eq!(close_frame(1008, "key", false), [0x88, 5, 0x03, 0xf0, b'k', b'e', b'y']);
        let masked = close_frame(1001, "going away", true);
        assert_eq!(masked[..2], [0x88, 0x80 | 12]);
        let unmasked: Vec<u8> = masked[6..]
            .iter()
            .zip(masked[2..6].iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        assert_eq!(unmasked, [b"\x03\xe9", &b"going away"[..]].concat());
        let masks: std::collections::HashSet<Vec<u8>> =
            (0..8).map(|_| close_frame(1001, "", true)[2..6].to_vec()).collect();
        assert!(masks.len() > 1, "masks are fresh");
        let long = close_frame(1001, &"\u{e9}".repeat(100), false);
        assert_eq!(long.len(), 2 + 2 + 122, "cut between characters");
        assert!(std::str::from_utf8(&long[4..]).is_ok());
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_the_bytes_are_cut(
            lengths in prop::collection::vec((0..300_usize, any::<bool>()), 1..6),
            part in 1..80_usize,
        ) {
            let whole: Vec<Vec<u8>> = lengths.iter().map(|&(length, masked)| frame(TEXT, length, masked)).collect();
            let ends: Vec<usize> = whole.iter().scan(0, |end, frame| { *end += frame.len(); Some(*end) }).collect();
            let mut frames = Frames::new();
            let mut found = Vec::new();
            let mut at = 0;
            for bytes in whole.concat().chunks(part) {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let passed = frames.follow_frame(rest);
                    at += passed;
                    rest = &rest[passed..];
                    if frames.at_boundary() {
                        found.push(at);
                    }
                }
            }
            prop_assert_eq!(found, ends);
        }
    }
}

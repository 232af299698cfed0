//! One level of JSON's escapes (RFC 8259 §7) and of percent-encoding (RFC 3986 §2.1), undone byte by byte.
//!
//! What only looks like an escape is passed on as it is. Escapes that stand for what no key holds (`\n`, `\u00e4`, `%20`)
//! separate, as that itself would.

/// What a byte is to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// May be part of a key.
    Key,
    /// Ends every key.
    Separator,
    /// `\` or `%`: may begin an escape, and stand for something else.
    Escape,
}

/// What a byte is, unescaped.
pub(super) const fn kind(byte: u8) -> Kind {
    match byte {
        b'\\' | b'%' => Kind::Escape,
        b'"' | b'\'' | b'`' | b'<' | b'>' | b'&' => Kind::Separator,
        0x21..=0x7e => Kind::Key,
        0..=0x20 | 0x7f..=0xff => Kind::Separator,
    }
}

/// The escape that is being read.
#[derive(Default)]
pub(super) enum Unescape {
    /// None.
    #[default]
    None,
    /// `\`
    Backslash,
    /// `\u` and this many hexadecimal digits.
    Unicode([u8; 4], usize),
    /// `%`
    Percent,
    /// `%` and a hexadecimal digit.
    High(u8),
}

impl Unescape {
    /// Reads the next byte, and shows `emit` what has been understood. Bytes that are neither an escape's nor begin one can
    /// as well be taken as they are while [`Unescape::is_idle`].
    pub(super) fn next(&mut self, byte: u8, emit: &mut impl FnMut(u8)) {
        *self = match (std::mem::take(self), byte) {
            (Self::None, b'\\') => Self::Backslash,
            (Self::None, b'%') => Self::Percent,
            (Self::None, plain) => one(plain, emit),
            (Self::Backslash, b'u') => Self::Unicode([0; 4], 0),
            (Self::Backslash, b'n' | b'r' | b't' | b'b' | b'f') => one(b' ', emit),
            (Self::Backslash, escaped @ (b'/' | b'"' | b'\\')) => one(escaped, emit),
            (Self::Unicode(mut digits, count), digit) if digit.is_ascii_hexdigit() => {
                digits[count] = digit;
                match digits {
                    [b'0', b'0', high, low] if count == 3 => one(value(high, low), emit),
                    _ if count == 3 => one(b' ', emit),
                    _ => Self::Unicode(digits, count + 1),
                }
            }
            (Self::Percent, digit) if digit.is_ascii_hexdigit() => Self::High(digit),
            (Self::High(high), low) if low.is_ascii_hexdigit() => one(value(high, low), emit),
            (mut none, other) => {
                none.end(emit);
                return self.next(other, emit);
            }
        };
    }

    /// Shows `emit` what began like an escape, and was none.
    pub(super) fn end(&mut self, emit: &mut impl FnMut(u8)) {
        match std::mem::take(self) {
            Self::None => {}
            Self::Backslash => emit(b'\\'),
            Self::Unicode(digits, count) => b"\\u".iter().chain(&digits[..count]).for_each(|&byte| emit(byte)),
            Self::Percent => emit(b'%'),
            Self::High(high) => [b'%', high].into_iter().for_each(emit),
        }
    }

    /// Whether no escape is being read.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::None)
    }
}

fn one(byte: u8, emit: &mut impl FnMut(u8)) -> Unescape {
    emit(byte);
    Unescape::None
}

fn value(high: u8, low: u8) -> u8 {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        letter => (letter | 0x20) - b'a' + 10,
    };
    digit(high) * 16 + digit(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(text: &str) -> String {
        let mut plain = Vec::new();
        let mut unescape = Unescape::default();
        for byte in text.bytes() {
            unescape.next(byte, &mut |byte| plain.push(byte));
        }
        unescape.end(&mut |byte| plain.push(byte));
        plain.into_iter().map(char::from).collect()
    }

    #[test]
    fn escapes_are_undone_once_and_what_is_none_stays() {
        let table = [
            ("plain", "plain"),
            (r#"a\/b\\c\"d"#, r#"a/b\c"d"#),
            (r"a\nb\tc", "a b c"),
            (r"\u002B\u002f\u0041\u00e4\u4e2d", "+/A\u{e4} "),
            ("%2B%2f%41%e4", "+/A\u{e4}"),
            ("%252B", "%2B"),
            (r"\u005cn%5Cn", r"\n\n"),
            ("100% of %4", "100% of %4"),
            ("%%41", "%A"),
            ("%4%41", "%4A"),
            (r"C:\users\kg", r"C:\users\kg"),
            (r"\u00\u0041", r"\u00A"),
            (r"\u00%41", r"\u00A"),
            (r"\u00", r"\u00"),
            (r"\", r"\"),
            (r"\k", r"\k"),
        ];
        for (text, expected) in table {
            assert_eq!(unescaped(text), expected, "{text}");
        }
    }
}

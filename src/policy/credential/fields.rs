//! The parts of query, cookie and list values, as extraction reads them and as the header law cuts them: one grammar for
//! both, so that nothing is read here that stays there.

use zeroize::Zeroize;

/// `value` without the optional whitespace around it (RFC 9110 §5.6.3).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// The `&`-separated parts of a query.
pub(crate) fn query(query: &str) -> impl Iterator<Item = &str> {
    query.split('&')
}

/// Whether a part of a query is the parameter `name`, however its name is percent-encoded.
pub(crate) fn is_parameter(part: &str, name: &str) -> bool {
    let written = part.split_once('=').map_or(part, |(written, _)| written);
    written == name || (written.contains('%') && percent_encoding::percent_decode_str(written).eq(name.bytes()))
}

/// What follows the first `=` of a query's part.
pub(crate) fn parameter_value(part: &str) -> &str {
    part.split_once('=').map_or("", |(_, value)| value)
}

/// The `;`-separated parts of a Cookie header (RFC 6265 §4.2.1), with the whitespace around them.
pub(crate) fn cookies(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b';')
}

/// The value of a cookie pair that is called `name`, without its double quotes.
pub(crate) fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let pair = trim(pair);
    let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let (written, rest) = pair.split_at(end);
    if trim(written) != name.as_bytes() {
        return None;
    }
    let value = trim(rest.strip_prefix(b"=").unwrap_or_default());
    Some(match value {
        [b'"', quoted @ .., b'"'] => quoted,
        plain => plain,
    })
}

/// The comma-separated entries of a list of tokens (RFC 9110 §5.6.1), with the whitespace around them.
pub(crate) fn entries(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',')
}

/// A percent-decoded text.
pub(crate) enum Decoded<'a> {
    /// Nothing was encoded.
    Verbatim(&'a [u8]),
    /// Decoded; the receiver wipes it.
    Owned(Vec<u8>),
}

/// Decodes `%XX` (RFC 3986 §2.1). `None` where a percent sign is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &str) -> Option<Decoded<'_>> {
    let bytes = text.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Some(Decoded::Verbatim(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let Some((value, tail)) = hex_pair(rest) else {
                decoded.zeroize();
                return None;
            };
            decoded.push(value);
            rest = tail;
        } else {
            decoded.push(byte);
        }
    }
    Some(Decoded::Owned(decoded))
}

/// The value of two hexadecimal digits at the beginning of `bytes`, and what follows them.
pub(crate) fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], tail) = bytes.split_first_chunk()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(high)? * 16 + digit(low)?;
    Some((u8::try_from(value).ok()?, tail))
}

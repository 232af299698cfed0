//! Percent-encoding in paths and queries: one spelling for each meaning.

use super::Unusable;

/// `text` with what needs no encoding decoded, and hexadecimal digits in upper case (RFC 3986 §6.2.2.1, §6.2.2.2).
pub(super) fn normal(text: &str) -> Result<String, Unusable> {
    let mut parts = text.split('%');
    let mut normal = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or(Unusable::Escape)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Unusable::Escape)?;
        if is_unreserved(byte) {
            normal.push(char::from(byte));
        } else {
            normal.push('%');
            normal.push_str(&digits.to_ascii_uppercase());
        }
        normal.push_str(&part[2..]);
    }
    Ok(normal)
}

/// Refuses a path that servers resolve in different ways: which of the registered ones it lies below must not depend on who reads
/// it. Dots may be encoded, and path parameters may follow them (`..;`), which some servers cut off first.
pub(super) fn check_unambiguous(path: &str) -> Result<(), Unusable> {
    let lower = path.to_ascii_lowercase();
    if lower.contains("%2f") || lower.contains("%5c") {
        return Err(Unusable::EncodedSlash);
    }
    let decoded = lower.replace("%2e", ".").replace("%3b", ";");
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if decoded.split(['/', '\\']).any(is_dots) {
        return Err(Unusable::DotSegment);
    }
    Ok(())
}

/// RFC 3986 §2.3
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

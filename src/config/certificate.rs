//! When a certificate is valid: as much DER (X.690) as that needs.
//!
//! A room of its own because nothing else here reads DER. It decides nothing about trust; rustls does.

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notBefore` and `notAfter` of an X.509 certificate (RFC 5280 §4.1.2.5), in Unix seconds; `None` when it is not one.
pub(super) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let certificate = expect(SEQUENCE, &mut &*der)?;
    let mut to_be_signed = expect(SEQUENCE, &mut &*certificate)?;
    if to_be_signed.first() == Some(&VERSION) {
        element(&mut to_be_signed)?;
    }
    for _serial_number_signature_issuer in 0..3 {
        element(&mut to_be_signed)?;
    }
    let mut validity = expect(SEQUENCE, &mut to_be_signed)?;
    Some((time(element(&mut validity)?)?, time(element(&mut validity)?)?))
}

fn expect<'a>(tag: u8, input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (found, content) = element(input)?;
    (found == tag).then_some(content)
}

/// The next element: its tag and its content.
fn element<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut rest) = input.split_first_chunk()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    *input = behind;
    Some((tag, content))
}

/// `YYMMDDHHMMSSZ` (1950 to 2049) or `YYYYMMDDHHMMSSZ`.
fn time((tag, content): (u8, &[u8])) -> Option<i64> {
    let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (century, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits < "50" => ("20", digits),
        (UTC_TIME, 12) => ("19", digits),
        (GENERALIZED_TIME, 14) => digits.split_at(2),
        _ => return None,
    };
    let part = |at: usize| &rest[at..at + 2];
    let text = format!(
        "{century}{}-{}-{}T{}:{}:{}Z",
        part(0),
        part(2),
        part(4),
        part(6),
        part(8),
        part(10)
    );
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(begin: i32, end: i32) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(begin, 1, 2);
        parameters.not_after = rcgen::date_time_ymd(end, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn dates_are_read_in_both_forms() {
        assert_eq!(
            validity(&certificate(1970, 2049)),
            Some((86_400, 2_493_072_000 + 86_400))
        );
        assert_eq!(
            validity(&certificate(2000, 2050)),
            Some((946_684_800 + 86_400, 2_524_608_000 + 86_400))
        );
    }

    #[test]
    fn cut_or_changed_certificates_do_not_panic() {
        let der = certificate(2000, 2050);
        for end in 0..der.len() {
            assert_eq!(validity(&der[..end]), None);
        }
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x81;
            let _ = validity(&changed);
        }
    }
}

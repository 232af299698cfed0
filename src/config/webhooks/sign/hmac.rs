//! `{ scheme = "hmac" }`: a signature in a form of the service's own.

use http::HeaderName;

use super::names;
use crate::config::reader::{Item, Table};
use crate::config::template::{self, Escape, Template};
use crate::secret::webhook::Hash;

/// What is signed, and how that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hmac {
    /// `header`
    pub header: HeaderName,
    /// `algorithm`: default SHA-256.
    pub hash: Hash,
    /// `encoding`: default hexadecimal.
    pub digits: Digits,
    /// `prefix`: what stands before the signature; default nothing.
    pub prefix: String,
    /// `over`: what is signed; default the body.
    pub over: Template<Signed>,
    /// `timestamp`: in what the time is counted; default seconds.
    pub unit: Unit,
    /// `id_header`: where the event's id stands.
    pub id: Option<HeaderName>,
    /// `timestamp_header`: where the time stands.
    pub timestamp: Option<HeaderName>,
    /// `algorithm_header`: where `sha256` or `sha512` stands.
    pub algorithm: Option<HeaderName>,
    /// `verbatim`: the key is the secret as it is written, whatever its encoding.
    pub verbatim: bool,
    /// `rotation` and `separator`: how two signatures stand side by side; default in a list with `,`.
    pub overlap: Overlap,
}

/// How a signature's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// `"hex"`: lower case.
    Hex,
    /// `"base64"`: standard, padded (RFC 4648 §4).
    Base64,
}

/// In what a time is counted, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `"seconds"`
    Seconds,
    /// `"milliseconds"`
    Milliseconds,
}

/// What a receiver gets while there are two secrets. Receivers of a header of a service's own differ in what they can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlap {
    /// `"list"`: both signatures in one header, with this between them: for receivers that look for theirs in it.
    List(String),
    /// `"lines"`: the header twice: for receivers that look at every line. Many programs join them with `, `.
    Lines,
    /// `"learn"`: one, by the secret that the receiver has taken last: for receivers that compare the whole header.
    Learn,
}

/// What may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// `{id}`: the event's.
    Id,
    /// `{timestamp}`: when it is sent.
    Timestamp,
    /// `{body}`: every byte of it.
    Body,
    /// `{event}`: the event's type.
    Event,
    /// `{organization}`: the id of the organization whose webhook it is.
    Organization,
}

impl template::Field for Signed {
    fn names() -> &'static [(&'static str, Self)] {
        &[
            ("id", Self::Id),
            ("timestamp", Self::Timestamp),
            ("body", Self::Body),
            ("event", Self::Event),
            ("organization", Self::Organization),
        ]
    }
}

const BODY: &str = "{body}";
/// Neither hexadecimal nor base64 has one of these.
const SEPARATORS: &str = ",;| ";

impl Hmac {
    /// SHA-256 of the body, in hexadecimal.
    #[must_use]
    pub fn new(header: HeaderName) -> Self {
        Self {
            header,
            hash: Hash::Sha256,
            digits: Digits::Hex,
            prefix: String::new(),
            over: Template::of(BODY, Escape::None),
            unit: Unit::Seconds,
            id: None,
            timestamp: None,
            algorithm: None,
            verbatim: false,
            overlap: Overlap::List(",".to_owned()),
        }
    }

    /// Every header that it writes.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let companions = [&self.id, &self.timestamp, &self.algorithm];
        std::iter::once(&self.header).chain(companions.into_iter().flatten())
    }

    /// Those without which a receiver cannot verify.
    pub(super) fn proofs(&self) -> impl Iterator<Item = &HeaderName> {
        let id = self.id.iter().filter(|_| self.signs(Signed::Id));
        let timestamp = self.timestamp.iter().filter(|_| self.signs(Signed::Timestamp));
        std::iter::once(&self.header).chain(id).chain(timestamp)
    }

    fn signs(&self, field: Signed) -> bool {
        self.over.fields().any(|signed| *signed == field)
    }
}

pub(super) fn read(table: &Table<'_>) -> Option<Hmac> {
    let header = table.require("header", "for example header = \"X-Webhook-Signature\"");
    let (algorithm, encoding) = (table.get("algorithm"), table.get("encoding"));
    let (prefix, over) = (table.get("prefix"), table.get("over"));
    let timestamp = table.get("timestamp");
    let companions = ["id_header", "timestamp_header", "algorithm_header"].map(|key| table.get(key));
    let verbatim = table.get("verbatim");
    let (rotation, separator) = (table.get("rotation"), table.get("separator"));

    let mut is_right = true;
    let mut set = |right: Option<()>| is_right &= right.is_some();
    let mut hmac = Hmac::new(header.and_then(|item| names::header(&item))?);
    if let Some(item) = algorithm {
        let hash = item.word(&[("sha256", Hash::Sha256), ("sha512", Hash::Sha512)]);
        set(hash.map(|hash| hmac.hash = hash));
    }
    if let Some(item) = encoding {
        let digits = item.word(&[("hex", Digits::Hex), ("base64", Digits::Base64)]);
        set(digits.map(|digits| hmac.digits = digits));
    }
    if let Some(item) = prefix {
        set(read_prefix(&item).map(|prefix| hmac.prefix = prefix));
    }
    if let Some(item) = &over {
        set(read_over(item).map(|over| hmac.over = over));
    }
    if let Some(item) = &timestamp {
        let unit = item.word(&[("seconds", Unit::Seconds), ("milliseconds", Unit::Milliseconds)]);
        set(unit.map(|unit| hmac.unit = unit));
    }
    let places = [&mut hmac.id, &mut hmac.timestamp, &mut hmac.algorithm];
    for (item, place) in companions.into_iter().zip(places) {
        if let Some(item) = item {
            set(names::header(&item).map(|name| *place = Some(name)));
        }
    }
    if let Some(item) = verbatim {
        set(item.boolean().map(|verbatim| hmac.verbatim = verbatim));
    }
    set(read_overlap(rotation.as_ref(), separator.as_ref()).map(|overlap| hmac.overlap = overlap));
    warn(&hmac, over.as_ref(), timestamp.as_ref());
    is_right.then_some(hmac)
}

/// What receivers would miss.
fn warn(hmac: &Hmac, over: Option<&Item<'_>>, timestamp: Option<&Item<'_>>) {
    if let Some(over) = over {
        for (field, name, header, key) in [
            (Signed::Timestamp, "timestamp", &hmac.timestamp, "timestamp_header"),
            (Signed::Id, "id", &hmac.id, "id_header"),
        ] {
            if hmac.signs(field) && header.is_none() {
                over.warning(
                    format!("signs {{{name}}}, and no header of this scheme tells it"),
                    format!("name one with {key}, or receivers cannot verify it"),
                );
            }
        }
    }
    if let (Some(item), None, false) = (timestamp, &hmac.timestamp, hmac.signs(Signed::Timestamp)) {
        item.key_place().warning(
            "makes no difference",
            "it goes with timestamp_header, or with {timestamp} in `over`",
        );
    }
}

fn read_prefix(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    let is_visible = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if is_visible && text.len() <= 64 && !text.starts_with(' ') {
        return Some(text.to_owned());
    }
    item.error(
        "cannot stand in a header before a signature",
        "up to 64 characters of visible ASCII, for example \"sha256=\"",
    );
    None
}

fn read_over(item: &Item<'_>) -> Option<Template<Signed>> {
    let over = Template::read(item.text()?, Escape::None, item);
    if over.fields().any(|field| *field == Signed::Body) {
        return Some(over);
    }
    item.error(
        "does not sign the body, so that anybody on the way could change it",
        "for example \"{timestamp}.{body}\"",
    );
    None
}

fn read_overlap(rotation: Option<&Item<'_>>, separator: Option<&Item<'_>>) -> Option<Overlap> {
    type Make = fn() -> Overlap;
    let list: Make = || Overlap::List(",".to_owned());
    let words: [(&str, Make); 3] = [
        ("list", list),
        ("lines", || Overlap::Lines),
        ("learn", || Overlap::Learn),
    ];
    let overlap = match rotation {
        Some(item) => item.word(&words)?(),
        None => list(),
    };
    let Some(item) = separator else {
        return Some(overlap);
    };
    match overlap {
        Overlap::List(_) => {
            let text = item.string()?;
            if (1..=4).contains(&text.len()) && text.chars().all(|c| SEPARATORS.contains(c)) {
                return Some(Overlap::List(text.to_owned()));
            }
            item.error(
                "cannot separate two signatures",
                "one to four of `,`, `;`, `|` and space, for example \", \"",
            );
        }
        Overlap::Lines | Overlap::Learn => item
            .key_place()
            .error("goes with rotation = \"list\" only", "remove it"),
    }
    None
}

//! HTTP/1 messages as bytes on a wire: just enough to know where one ends.

use std::io::BufRead;

/// A start line and its header lines, exactly as they came.
#[derive(Clone, Default)]
pub struct Head {
    /// All bytes, the empty line included.
    pub bytes: Vec<u8>,
}

impl Head {
    /// Reads one head; `None` when the peer closed before its first byte.
    pub fn read(from: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            from.read_until(b'\n', &mut bytes)?;
            if bytes.len() == before {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(std::io::ErrorKind::UnexpectedEof.into())
                };
            }
            if bytes.ends_with(b"\r\n\r\n") || bytes == b"\r\n" {
                return Ok(Some(Self { bytes }));
            }
        }
    }

    /// The whole head as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The first line.
    pub fn start_line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// Word `n` of the first line.
    pub fn word(&self, n: usize) -> String {
        self.start_line().split(' ').nth(n).unwrap_or_default().to_owned()
    }

    /// Header lines in order, names as written.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.text()
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }

    /// All values of a header, its name compared without case.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.headers()
            .into_iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The only value of a header; `None` when absent, a panic when repeated.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        assert!(values.len() <= 1, "{name} is repeated in {:?}", self.text());
        values.pop()
    }

    /// All header names in lower case, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .headers()
            .into_iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        names.sort();
        names
    }

    /// Whether the body is chunked.
    pub fn chunked(&self) -> bool {
        self.all("transfer-encoding")
            .iter()
            .any(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    /// The body's declared length.
    pub fn length(&self) -> Option<u64> {
        self.all("content-length").first().map(|value| value.parse().unwrap())
    }
}

/// A body with its framing taken off.
#[derive(Clone, Default)]
pub struct Body {
    /// The content.
    pub bytes: Vec<u8>,
    /// The trailer lines of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Body {
    /// Reads a chunked body to its last line.
    pub fn read_chunked(from: &mut impl BufRead, mut seen: impl FnMut(&[u8])) -> std::io::Result<Self> {
        let mut body = Self::default();
        loop {
            let size = line(from)?;
            let size = size.split(';').next().unwrap_or_default().trim().to_owned();
            let size =
                usize::from_str_radix(&size, 16).map_err(|_| std::io::Error::other(format!("chunk size {size:?}")))?;
            if size == 0 {
                break;
            }
            let mut chunk = vec![0; size];
            from.read_exact(&mut chunk)?;
            seen(&chunk);
            body.bytes.extend_from_slice(&chunk);
            if !line(from)?.is_empty() {
                return Err(std::io::Error::other("a chunk is longer than it said"));
            }
        }
        loop {
            let trailer = line(from)?;
            let Some((name, value)) = trailer.split_once(':') else {
                return Ok(body);
            };
            body.trailers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// A complete answer.
#[derive(Clone)]
pub struct Response {
    /// Its head.
    pub head: Head,
    /// Its content.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// Reads one answer to its end; interim answers are skipped. `bodiless`: the answer to HEAD.
    pub fn read(from: &mut impl BufRead, bodiless: bool) -> std::io::Result<Option<Self>> {
        loop {
            let Some(head) = Head::read(from)? else {
                return Ok(None);
            };
            let status = head.word(1);
            if status.starts_with('1') && status != "101" {
                continue;
            }
            let mut body = Body::default();
            if bodiless || status == "101" || status == "204" || status == "304" {
            } else if head.chunked() {
                body = Body::read_chunked(from, |_| ())?;
            } else if let Some(length) = head.length() {
                body.bytes = vec![0; usize::try_from(length).unwrap()];
                from.read_exact(&mut body.bytes)?;
            } else {
                from.read_to_end(&mut body.bytes)?;
            }
            return Ok(Some(Self {
                head,
                body: body.bytes,
                trailers: body.trailers,
            }));
        }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.word(1).parse().unwrap()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `code` of the problem document.
    pub fn code(&self) -> String {
        code(&self.body)
    }

    /// A header's only value.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.header(name)
    }
}

/// `code` of a problem document; empty when there is none.
pub fn code(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|problem| problem["code"].as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn line(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes)?;
    let Some(text) = bytes.strip_suffix(b"\r\n") else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    Ok(String::from_utf8_lossy(text).into_owned())
}

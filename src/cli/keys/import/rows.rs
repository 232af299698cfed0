//! An export's text → rows: which line, and what each known column says there.

use serde_json::Value;

use super::columns::{Columns, Field};

/// What stands in a column of a row. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Number(f64, String),
    Switch(bool),
    List(Vec<String>),
}

/// A row with its line, from 1.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) cells: Vec<(Field, Cell)>,
    /// Behind which byte of the text it ends.
    pub(super) end: u64,
}

/// What is wrong with a row as such.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) field: &'static str,
    pub(super) what: String,
    pub(super) help: &'static str,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated values, with a heading.
    Csv,
    /// A JSON object in each line.
    Jsonl,
}

/// The rows of a text, and the columns that are passed over.
pub(super) enum Rows<'t> {
    Csv {
        records: csv::ByteRecordsIntoIter<&'t [u8]>,
        fields: Vec<Option<Field>>,
    },
    Jsonl {
        text: &'t [u8],
        columns: &'t Columns,
        offset: usize,
        line: u64,
        shapes: Shapes,
    },
}

/// What the members of JSON objects hold: as a rule all objects have the same.
#[derive(Default)]
pub(super) struct Shapes {
    names: Vec<String>,
    fields: Vec<Option<Field>>,
    passed_over: Vec<String>,
}

impl Shapes {
    fn of(&mut self, names: Vec<String>, columns: &Columns) -> Result<&[Option<Field>], String> {
        if names != self.names {
            let (fields, passed_over) = choose(&names, columns)?;
            for name in passed_over {
                if !self.passed_over.contains(&name) {
                    self.passed_over.push(name);
                }
            }
            (self.names, self.fields) = (names, fields);
        }
        Ok(&self.fields)
    }
}

impl<'t> Rows<'t> {
    /// Begins to read; says which columns of a heading are passed over.
    pub(super) fn begin(text: &'t [u8], format: Format, columns: &'t Columns) -> Result<(Self, Vec<String>), Fault> {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        if format == Format::Jsonl {
            let rows = Self::Jsonl {
                text,
                columns,
                offset: 0,
                line: 0,
                shapes: Shapes::default(),
            };
            return Ok((rows, Vec::new()));
        }
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let fault = |what: &str| Fault {
            line: 1,
            field: "",
            what: what.to_owned(),
            help: "the first line names the columns: key,name,organization",
        };
        let headings = reader
            .headers()
            .map_err(|_| fault("has a heading that is not UTF-8 text"))?;
        let headings: Vec<String> = headings.iter().map(str::to_owned).collect();
        if let [first, ..] = columns.unknown(&headings).as_slice() {
            return Err(fault(&format!("has no column {first}, which --map names")));
        }
        let (fields, passed_over) = choose(&headings, columns).map_err(|what| fault(&what))?;
        if fields.iter().all(Option::is_none) {
            return Err(fault("has no column that Keygate knows"));
        }
        let records = reader.into_byte_records();
        Ok((Self::Csv { records, fields }, passed_over))
    }

    /// The columns that JSON objects had, and that were passed over.
    pub(super) fn passed_over(self) -> Vec<String> {
        match self {
            Self::Csv { .. } => Vec::new(),
            Self::Jsonl { shapes, .. } => shapes.passed_over,
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Csv { records, fields } => {
                let record = records.next()?;
                Some(csv_row(record, fields))
            }
            Self::Jsonl {
                text,
                columns,
                offset,
                line,
                shapes,
            } => loop {
                let rest = text.get(*offset..).filter(|rest| !rest.is_empty())?;
                let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                *offset += length;
                *line += 1;
                let record = rest[..length].trim_ascii();
                if !record.is_empty() {
                    return Some(json_row(record, *line, *offset as u64, columns, shapes));
                }
            },
        }
    }
}

/// Which column each field is taken from: the one whose name is surest. Two that may be the key are not chosen from.
fn choose(headings: &[String], columns: &Columns) -> Result<(Vec<Option<Field>>, Vec<String>), String> {
    let known: Vec<Option<(Field, usize)>> = headings.iter().map(|heading| columns.of(heading)).collect();
    let candidates = |field: Field| {
        let of_field = known.iter().enumerate().filter_map(move |(at, one)| {
            let (its, rank) = (*one)?;
            (its == field).then_some((rank, at))
        });
        let mut candidates: Vec<(usize, usize)> = of_field.collect();
        candidates.sort_unstable();
        candidates
    };
    let mut fields = Vec::with_capacity(headings.len());
    let mut passed_over = Vec::new();
    for (at, one) in known.iter().enumerate() {
        let best = one.map(|(field, _)| (field, candidates(field)));
        if let Some((field @ (Field::Key | Field::Hash), candidates)) = &best
            && let [(rank, first), (next, second), ..] = candidates.as_slice()
            && (*rank > 0) == (*next > 0)
        {
            return Err(format!(
                "has two columns that may be the {}: {} and {}; write --map \"{}=-\" to pass one over",
                field.word(),
                headings[*first],
                headings[*second],
                headings[*second]
            ));
        }
        match best {
            Some((field, candidates)) if candidates.first().is_some_and(|(_, first)| *first == at) => {
                fields.push(Some(field));
            }
            Some(_) | None => {
                fields.push(None);
                passed_over.push(headings[at].clone());
            }
        }
    }
    Ok((fields, passed_over))
}

fn csv_row(record: csv::Result<csv::ByteRecord>, fields: &[Option<Field>]) -> Result<Row, Fault> {
    let record = record.map_err(|error| {
        let line = error.position().map_or(1, csv::Position::line);
        let what = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("has {len} columns, and the heading has {expected_len}")
            }
            _ => "cannot be read".to_owned(),
        };
        Fault {
            line,
            field: "",
            what,
            help: "values that hold commas or quotes stand in quotes",
        }
    })?;
    let position = record.position();
    let line = position.map_or(1, csv::Position::line);
    let mut cells = Vec::with_capacity(fields.len());
    for (field, bytes) in fields.iter().zip(&record) {
        let Some(field) = field else { continue };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(Fault {
                line,
                field: field.word(),
                what: "is not UTF-8 text".to_owned(),
                help: "save the file as UTF-8",
            });
        };
        if !text.is_empty() {
            cells.push((*field, Cell::Text(text.to_owned())));
        }
    }
    let end = position.map_or(0, csv::Position::byte);
    Ok(Row { line, cells, end })
}

fn json_row(record: &[u8], line: u64, end: u64, columns: &Columns, shapes: &mut Shapes) -> Result<Row, Fault> {
    let fault = |field, what: String, help| Fault {
        line,
        field,
        what,
        help,
    };
    let object: serde_json::Map<String, Value> = serde_json::from_slice(record).map_err(|error| {
        let message = error.to_string();
        // The parser's words quote nothing of the line, but say where in it.
        let message = message.split(" at line ").next().unwrap_or_default();
        let what = if error.is_data() {
            "is no JSON object".to_owned()
        } else {
            format!("does not parse: {message}")
        };
        fault("", what, "one JSON object in each line")
    })?;
    let names: Vec<String> = object.keys().cloned().collect();
    let fields = shapes.of(names, columns).map_err(|what| fault("", what, ""))?;
    let mut cells = Vec::with_capacity(fields.len());
    for (field, value) in fields.iter().copied().zip(object.into_values()) {
        let Some(field) = field else { continue };
        let cell = match value {
            Value::Null => None,
            Value::Bool(value) => Some(Cell::Switch(value)),
            Value::Number(number) => Some(Cell::Number(number.as_f64().unwrap_or(f64::NAN), number.to_string())),
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(Cell::Text(text.trim().to_owned())),
            Value::Array(items) => {
                let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                match texts {
                    Some(texts) => Some(Cell::List(texts)),
                    None => {
                        return Err(fault(
                            field.word(),
                            "is a list of other things than texts".to_owned(),
                            "",
                        ));
                    }
                }
            }
            Value::Object(_) => return Err(fault(field.word(), "is an object".to_owned(), "")),
        };
        cells.extend(cell.map(|cell| (field, cell)));
    }
    Ok(Row { line, cells, end })
}

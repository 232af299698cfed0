//! `[webhooks]`, and the file or directory of `[[webhooks]]` behind it: where events go, and how they are signed.
//!
//! A room of its own because the options of all webhooks, one webhook's record, its secrets, its signing schemes and its URL
//! are each an idea of their own. A set of files is one set: ids are unique in it.
//!
//! # Security
//! URLs may hold secrets: problems never quote one, and the records have no `Debug` that does.

pub mod destinations;
mod locator;
mod record;
pub mod secret;
pub mod settings;
pub mod sign;
pub mod url;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Source;
use super::files::Files;
use super::part;
use super::problem::{Problem, Problems, Report, Severity};
use super::reader::{Item, Table};

pub use locator::Locator;
pub use record::{Delivery, Events, Field, Pattern, Query, Retry, SCHEDULE, Timeouts, Webhook};
pub use settings::Settings;

/// `[webhooks]` and all registered webhooks.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// The section.
    pub settings: Settings,
    /// Every `[[webhooks]]`, in the order of the files; ids are unique.
    pub list: Arc<[Webhook]>,
}

/// Reads `[webhooks]` alone, of the configuration in the file at `path`; `None` where there is no such section.
///
/// # Errors
/// Every problem that was met, when at least one of them is an error.
pub fn load(path: &Path) -> Result<Option<Webhooks>, Problems> {
    part::load_reporting(path, |root, files, report| {
        root.get("webhooks").and_then(|item| read(&item, files, report))
    })
}

/// Reads `[webhooks]` and the files behind it; `None` where there is something wrong with it.
pub(super) fn read(item: &Item<'_>, files: &Files, report: &Report) -> Option<Webhooks> {
    let table = item.table()?;
    let settings = settings::read(&table, files);
    let file = table.require(
        "file",
        "for example file = \"webhooks.toml\", or a directory of such files",
    );
    let (file, settings) = (file?, settings?);
    let path = files.resolve(file.text()?);
    let paths = paths(&path, &file, files)?;
    let mut list = Vec::new();
    let mut places = HashMap::new();
    for path in paths {
        read_file(&path, &settings, files, report, &mut list, &mut places);
    }
    Some(Webhooks {
        settings,
        list: list.into(),
    })
}

/// The files that `root` stands for, in the order of their names.
fn paths(root: &Path, item: &Item<'_>, files: &Files) -> Option<Vec<PathBuf>> {
    let looked = files.sources().look(root);
    let listed = looked.and_then(|metadata| {
        if metadata.is_dir() {
            let mut paths = files.sources().list(root)?;
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
            Ok(paths)
        } else {
            Ok(vec![root.to_owned()])
        }
    });
    match listed {
        Ok(paths) => Some(paths),
        Err(error) => {
            let (what, help) = super::files::unreadable(&error);
            item.error(format!("{} {what}", root.display()), help);
            None
        }
    }
}

fn read_file(
    path: &Path,
    settings: &Settings,
    files: &Files,
    report: &Report,
    list: &mut Vec<Webhook>,
    places: &mut HashMap<String, String>,
) {
    let problem = |what: String, help: String| report.push(Problem::of_file(Severity::Error, path, what, help));
    let bytes = files.sources().read(path);
    let text = match bytes.map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return problem("is not UTF-8 text".to_owned(), "save it as UTF-8".to_owned()),
        Err(error) => {
            let (what, help) = super::files::unreadable(&error);
            return problem(what, help);
        }
    };
    super::files::warn_of_others(path, report);
    let source = Source::new(path, &text);
    let document = source.parse_toml(report);
    let root = Table::root(&source, &document, report);
    let sources = std::mem::take(&mut *files.sources());
    let beside = Files::beside(path, sources);
    let tables = root.get("webhooks").and_then(|item| item.tables()).unwrap_or_default();
    for table in &tables {
        let Some(webhook) = record::read(table, settings, &beside) else {
            continue;
        };
        let place = table.place().location();
        if let Some(other) = places.get(&webhook.id) {
            table.place().error(
                format!("there is already a webhook {:?}", webhook.id),
                format!("the other one is at {other}; ids are unique"),
            );
            continue;
        }
        places.insert(webhook.id.clone(), place);
        list.push(webhook);
    }
    *files.sources() = beside.into_sources();
}

//! The words and tables of these commands.

use comfy_table::{ContentArrangement, Table, presets};

use crate::ledger::read::webhooks::{AttemptRow, Paused};

/// What an attempt came to: `delivered 200`, `rejected 500`, `receiver_timeout`.
pub(super) fn said(attempt: &AttemptRow) -> String {
    let word = match (&attempt.error, attempt.delivered) {
        (_, true) => "delivered",
        (Some(error), false) => error,
        (None, false) => "failed",
    };
    match attempt.status {
        Some(status) => format!("{word} {status}"),
        None => word.to_owned(),
    }
}

/// Since when, by whom and why a webhook is paused.
pub(super) fn since(paused: &Paused) -> String {
    let note = paused
        .note
        .as_ref()
        .map_or_else(String::new, |note| format!(" ({note})"));
    format!("{} by {}: {}{note}", paused.since, paused.by, paused.reason)
}

/// For a terminal; nothing where there are no lines.
pub(super) fn table<const N: usize>(heading: &[&str; N], lines: &[[String; N]]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(heading);
    for line in lines {
        table.add_row(line);
    }
    format!("{}\n", table.trim_fmt())
}

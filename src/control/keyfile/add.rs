//! A new record.

use std::path::PathBuf;

use super::Place;
use super::error::EditError;
use super::render::{self, NewOrganization};
use super::set::{self, Written};
use crate::config::records::{Dead, Notation, Records, Scope, View};
use crate::control::mint::NewKey;

/// What was done.
#[derive(Debug)]
pub struct Added {
    /// The file that was written, links followed.
    pub file: PathBuf,
    /// Whether it was made.
    pub is_new: bool,
    /// Whether the organization was added to it too.
    pub organization_added: bool,
    /// How many other keys of the organization have the same name.
    pub namesakes: usize,
    /// What may be shown of the key.
    pub view: View,
}

/// Adds `key`, and its organization where that is in no file of the set. Waits for other writers.
///
/// # Errors
///
/// See [`EditError`]; no file has been changed then.
pub fn add(
    place: &Place,
    key: &NewKey,
    organization_name: Option<&str>,
    scope: &mut Scope,
) -> Result<Added, EditError> {
    let set = set::lock(place, scope)?;
    let organization = NewOrganization {
        id: key.organization.clone(),
        name: organization_name.map(str::to_owned),
    };
    let missing = !set
        .records
        .organizations
        .iter()
        .any(|known| known.id == organization.id);
    let namesakes = namesakes(&set.records, key);
    let notation = Notation::of(&set.file().path);
    let mut text = set.file().text.clone();
    let mut addition = Vec::new();
    if missing {
        addition.push(render::organization(notation, &organization));
    }
    addition.push(render::key(notation, key));
    render::append(&mut text, notation, &addition);
    let Written { file, is_new, records } = set.commit(text, scope)?;
    let made = records.keys.iter().find(|known| known.id == key.id);
    let made = made.expect("what was just added has been read back");
    Ok(Added {
        file,
        is_new,
        organization_added: missing,
        namesakes,
        view: View::of(made, &records, scope, &Dead::of(&records), key.created_at),
    })
}

fn namesakes(records: &Records, key: &NewKey) -> usize {
    records
        .keys
        .iter()
        .filter(|other| {
            let organization = records.organizations.get(other.organization as usize);
            other.name == key.name && organization.is_some_and(|organization| organization.id == key.organization)
        })
        .count()
}

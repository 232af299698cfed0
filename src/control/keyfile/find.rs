//! Which key is meant: by its id or by its name.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::EditError;
use super::{Place, set};
use crate::config::reader::nearest;
use crate::config::records::{Dead, File, Hash, Key, Records, Scope, View, locate};
use crate::secret::Digest;
use crate::secret::generated::checksum_ok;

/// How many ids are listed where a name is that of several keys.
const LISTED_MAX: usize = 10;

/// A key, and where its record is.
#[derive(Debug)]
pub struct Found {
    /// Its record.
    pub key: Arc<Key>,
    /// What may be shown of it.
    pub view: View,
    /// The file that holds the record.
    pub file: PathBuf,
}

/// Finds the key with the id or the name `which`.
///
/// # Errors
///
/// See [`EditError`]: the files are not valid, there is no such key, or several of that name.
pub fn find(place: &Place, which: &str, scope: &mut Scope, now_unix: i64) -> Result<Found, EditError> {
    let (files, records) = set::read(place, scope)?;
    let key = Arc::clone(&records.keys[position(&records, which)?]);
    let file = files[file_of(&files, place, &key)?].path.clone();
    let view = View::of(&key, &records, scope, &Dead::of(&records), now_unix);
    Ok(Found { key, view, file })
}

/// Where the key with this id or name is in `records.keys`. An id goes before a name.
pub(super) fn position(records: &Records, which: &str) -> Result<usize, EditError> {
    let keys = &records.keys;
    if let Some(position) = keys.iter().position(|key| key.id == which) {
        return Ok(position);
    }
    let named: Vec<usize> = (0..keys.len()).filter(|&at| keys[at].name == which).collect();
    match named.as_slice() {
        [one] => Ok(*one),
        [] if checksum_ok(which.as_bytes()) || is_secret(records, which) => Err(EditError::Secret),
        [] => {
            let known: Vec<&str> = keys
                .iter()
                .flat_map(|key| [key.id.as_str(), key.name.as_str()])
                .collect();
            Err(EditError::Unknown {
                which: which.to_owned(),
                near: nearest(which, &known).map(str::to_owned),
            })
        }
        several => Err(EditError::Ambiguous {
            name: which.to_owned(),
            count: several.len(),
            ids: several.iter().take(LISTED_MAX).map(|&at| keys[at].id.clone()).collect(),
        }),
    }
}

/// Whether this is the secret of a key, which need not be one that Keygate made.
fn is_secret(records: &Records, text: &str) -> bool {
    let hash = Hash::Sha256(Digest::of(text.as_bytes()));
    let mut secrets = records.keys.iter().flat_map(|key| &key.secrets);
    secrets.any(|secret| secret.hash == hash)
}

/// Which of the files holds a key's record. Where the place names a file of a directory, it must be that one.
pub(super) fn file_of(files: &[File], place: &Place, key: &Key) -> Result<usize, EditError> {
    let holds = |file: &&File| file.text.contains(key.id.as_str()) && locate(file, &key.id).is_some();
    let found = match files {
        [_] => Some(0),
        _ => files.iter().position(|file| holds(&file)).or_else(|| {
            // Written with escapes.
            files.iter().position(|file| locate(file, &key.id).is_some())
        }),
    };
    let elsewhere = |index: &usize| {
        place.file != place.root
            && std::fs::canonicalize(&place.file).ok() != std::fs::canonicalize(&files[*index].path).ok()
    };
    match found {
        Some(index) if !elsewhere(&index) => Ok(index),
        Some(index) => Err(EditError::Elsewhere {
            id: key.id.clone(),
            file: files[index].path.clone(),
        }),
        None => Err(EditError::Restless(place.root.clone())),
    }
}

//! TEMPORARY
use http::HeaderName;
use crate::config::files::Files;
use crate::config::reader::Table;
use crate::secret::Secret;
#[derive(Debug, Clone)]
pub struct Signing { pub secret: Secret, pub bearer: bool, pub names: Vec<HeaderName> }
impl Signing {
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> { self.names.iter() }
}
pub(super) fn read(table: &Table<'_>, _files: &Files) -> Option<Signing> {
    let secret = table.require("secret", "a secret")?;
    let bearer = table.get("sign").is_some_and(|item| { if let Some(list) = item.tables() { list.iter().for_each(Table::ignore_rest); } true });
    let names: Vec<HeaderName> = if bearer { vec![http::header::AUTHORIZATION] } else { ["webhook-id", "webhook-timestamp", "webhook-signature"].map(HeaderName::from_static).into() };
    Some(Signing { secret: Secret::new(secret.text()?.to_owned()), bearer, names })
}

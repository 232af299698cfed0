//! TEMPORARY
use http::{HeaderName, HeaderValue};
use crate::config::webhooks::sign::Signing;
use crate::secret::webhook::SigningKey;
pub struct Message<'a> { pub id: &'a str, pub event: &'a str, pub organization: &'a str, pub unix_millis: i64, pub body: &'a [u8] }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn { Current, Previous }
#[derive(Debug, Default)]
pub struct Rotation;
impl Signing {
    pub fn needs_body(&self) -> bool { !self.bearer }
    pub fn headers(&self, message: &Message<'_>, _turn: Turn) -> Vec<(HeaderName, HeaderValue)> {
        if self.bearer {
            return vec![(http::header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", self.secret.expose())).unwrap())];
        }
        let now = message.unix_millis / 1000;
        let key = SigningKey::parse(&self.secret).unwrap();
        vec![
            (HeaderName::from_static("webhook-id"), HeaderValue::try_from(message.id).unwrap()),
            (HeaderName::from_static("webhook-timestamp"), HeaderValue::from(now)),
            (HeaderName::from_static("webhook-signature"), HeaderValue::try_from(key.sign(message.id, now, message.body)).unwrap()),
        ]
    }
}

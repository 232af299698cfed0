//! Connections to receivers: so many for each at most, kept for a while, and never to an address that has not been checked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_local;
use tracing::debug;

use super::body::Outgoing;
use super::connect::{self, Connected, Unconnected};
use super::deadline::Deadline;
use super::resolve::{Resolvers, Unresolved};
use super::stop::Stop;
use crate::config::upstreams::UpstreamTls;
use crate::config::webhooks::Webhook;
use crate::config::webhooks::url::{Scheme, Target};
use crate::policy::egress::destination::Checked;
use crate::policy::egress::{CONNECT, Egress, Failure, Refusal};

/// How many are kept for each.
const IDLE: usize = 8;
/// For how long: shorter than most servers do.
const IDLE_TIME: Duration = Duration::from_secs(20);

/// How often those are forgotten that nobody needs.
const SWEEP: Duration = Duration::from_secs(5);

/// All receivers that were sent something lately.
#[derive(Default)]
pub(super) struct Receivers {
    known: RefCell<HashMap<Door, Rc<Receiver>>>,
    /// Until when all of them are left alone.
    swept: Cell<Option<Deadline>>,
}

/// One server, as one kind of client.
#[derive(Clone)]
struct Door {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, Option<ServerName<'static>>)>,
}

struct Receiver {
    places: Arc<Semaphore>,
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<Outgoing>,
    address: Checked,
    until: Deadline,
}

/// A connection in use; closed on drop, unless it is given back.
pub(super) struct Lease {
    /// Sends one request.
    pub(super) sender: SendRequest<Outgoing>,
    /// Whether nothing was sent over it before.
    pub(super) is_fresh: bool,
    address: Checked,
    receiver: Rc<Receiver>,
    _place: OwnedSemaphorePermit,
}

impl Receivers {
    /// A connection for one request: one that is kept, unless it is to be `fresh`, or a new one. The address of either is checked
    /// by the rules of now.
    pub(super) async fn lease(
        &self,
        resolvers: &Resolvers,
        egress: &Egress,
        webhook: &Webhook,
        fresh: bool,
    ) -> Result<Lease, Stop> {
        let end = Deadline::after(webhook.timeouts.connect);
        let receiver = self.receiver(Door::of(webhook), egress.settings.connections_per_receiver);
        let waiting = end.keep(Arc::clone(&receiver.places).acquire_owned()).await;
        let place = waiting.ok().and_then(Result::ok).ok_or(Failure::Busy)?;
        if !fresh && let Some(idle) = receiver.kept(egress, &webhook.url) {
            return Ok(Lease {
                sender: idle.sender,
                is_fresh: false,
                address: idle.address,
                receiver,
                _place: place,
            });
        }
        let Connected { address, stream } = open(resolvers, egress, webhook, end).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        let id = webhook.id.clone();
        // Ends with the sender, or when the receiver closes.
        spawn_local(async move {
            if let Err(error) = connection.await {
                debug!(message = "a connection to a receiver broke", webhook = id, %error);
            }
        });
        Ok(Lease {
            sender,
            is_fresh: true,
            address,
            receiver,
            _place: place,
        })
    }

    fn receiver(&self, door: Door, places: usize) -> Rc<Receiver> {
        let mut receivers = self.known.borrow_mut();
        // It looks at every receiver: not for each try.
        if self.swept.get().is_none_or(|swept| swept.left().is_zero()) {
            receivers.retain(|_, receiver| receiver.is_of_use());
            self.swept.set(Some(Deadline::after(SWEEP)));
        }
        let receiver = receivers.entry(door).or_insert_with(|| {
            Rc::new(Receiver {
                places: Arc::new(Semaphore::new(places)),
                idle: RefCell::default(),
            })
        });
        Rc::clone(receiver)
    }
}

/// Resolves, checks and connects.
async fn open(resolvers: &Resolvers, egress: &Egress, webhook: &Webhook, end: Deadline) -> Result<Connected, Stop> {
    let target = &webhook.url;
    let tls = match target.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(UpstreamTls {
            client: Arc::clone(&webhook.tls.client),
            server_name: match &webhook.tls.server_name {
                Some(name) => name.clone(),
                None => connect::server_name(&target.host).map_err(|why| Failure::Untrusted(why.to_string()))?,
            },
        }),
    };
    let resolver = resolvers.of(&egress.settings.resolvers);
    let addresses = resolver
        // What is left is for the connection: who is too slow, is told.
        .resolve(&egress.destinations, &target.host, target.port, end.left() * 3 / 4)
        .await
        .map_err(unresolved)?;
    let connected = connect::connect(&addresses, tls.as_ref(), end.left()).await;
    connected.map_err(|why| unconnected(&why).into())
}

fn unresolved(why: Unresolved) -> Stop {
    match why {
        Unresolved::Forbidden(forbidden) => Refusal::DestinationForbidden(forbidden).into(),
        Unresolved::NoSuchName | Unresolved::NoAddress | Unresolved::Timeout | Unresolved::Failed(_) => {
            Failure::Unresolved(why.to_string()).into()
        }
    }
}

fn unconnected(why: &Unconnected) -> Failure {
    match why {
        Unconnected::Refused | Unconnected::Unreachable(_) => Failure::Unreachable(why.to_string()),
        Unconnected::Timeout => Failure::Timeout(CONNECT),
        Unconnected::Untrusted(_) => Failure::Untrusted(why.to_string()),
    }
}

impl Receiver {
    /// One that is open, and whose address events may still go to. What is not is closed.
    fn kept(&self, egress: &Egress, target: &Target) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        while let Some(kept) = idle.pop() {
            let is_young = !kept.until.left().is_zero();
            let checked =
                egress
                    .destinations
                    .address(&target.host.to_string(), target.port, kept.address.socket().ip());
            if is_young && checked.is_ok() && kept.sender.is_ready() {
                return Some(kept);
            }
        }
        None
    }

    /// Whether somebody uses it, or may soon.
    fn is_of_use(self: &Rc<Self>) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|kept| !kept.until.left().is_zero() && !kept.sender.is_closed());
        !idle.is_empty() || Rc::strong_count(self) > 1
    }
}

impl Lease {
    /// The answer is read to its end: the connection is for the next.
    pub(super) fn give_back(self) {
        let mut idle = self.receiver.idle.borrow_mut();
        if idle.len() < IDLE {
            idle.push(Idle {
                sender: self.sender,
                address: self.address,
                until: Deadline::after(IDLE_TIME),
            });
        }
    }
}

impl Door {
    fn of(webhook: &Webhook) -> Self {
        let is_https = webhook.url.scheme == Scheme::Https;
        Self {
            host: webhook.url.host.to_string(),
            port: webhook.url.port,
            tls: is_https.then(|| (Arc::clone(&webhook.tls.client), webhook.tls.server_name.clone())),
        }
    }
}

impl PartialEq for Door {
    fn eq(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some((client, name)), Some((other, other_name))) => Arc::ptr_eq(client, other) && name == other_name,
            (None, Some(_)) | (Some(_), None) => false,
        };
        same_tls && self.port == other.port && self.host == other.host
    }
}

impl Eq for Door {}

impl std::hash::Hash for Door {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.port.hash(state);
    }
}

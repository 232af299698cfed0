//! A name server for one test, which says whatever the test wants, and may change its mind.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// How long answers say that they are good for: long, so that whoever remembers them is found out.
const TTL: u32 = 3600;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In lower case, without a dot at its end.
    pub name: String,
    /// Whether IPv6 addresses are asked for.
    pub is_ipv6: bool,
    /// How often the same has been asked before: 0 is the first time. A look-up asks for IPv4 and IPv6 addresses once each.
    pub number: usize,
}

/// What is said.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These addresses, of which each question gets its kind.
    Addresses(Vec<IpAddr>),
    /// The name is another name for this one, which has these addresses.
    Alias(String, Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// The server fails.
    Failure,
    /// Nothing.
    Silence,
}

impl Reply {
    /// These addresses: `Reply::to(["10.0.0.7", "fd00::7"])`.
    pub fn to<const N: usize>(addresses: [&str; N]) -> Self {
        Self::Addresses(addresses.map(|address| address.parse().unwrap()).into())
    }

    /// As [`Self::to`], by way of another name.
    pub fn alias<const N: usize>(name: &str, addresses: [&str; N]) -> Self {
        Self::Alias(
            name.to_owned(),
            addresses.map(|address| address.parse().unwrap()).into(),
        )
    }
}

/// The server: on a port of its own of 127.0.0.1, over UDP, until it is dropped.
pub struct Dns {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Starts one that replies as `reply` says.
    pub fn start(mut reply: impl FnMut(&Question) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (log, over) = (Arc::clone(&asked), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut counts = HashMap::new();
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).unwrap();
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let message = Message::from_vec(&buffer[..length]).unwrap();
                let question = question(&message, &mut counts);
                log.lock().unwrap().push(question.clone());
                if let Some(answer) = answer(message, &question, reply(&question)) {
                    // Whoever asked may be gone.
                    let _ = socket.send_to(&answer.to_vec().unwrap(), peer);
                }
            }
        });
        Self {
            address,
            asked,
            is_over,
            thread: Some(thread),
        }
    }

    /// Where it listens: `resolvers = ["…"]`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that was asked.
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(&[], self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            // A panic there has been printed, and has made the test fail by its silence.
            let _ = thread.join();
        }
    }
}

fn question(message: &Message, counts: &mut HashMap<(String, bool), usize>) -> Question {
    let query = &message.queries[0];
    let name = query.name().to_ascii().to_lowercase();
    let name = name.trim_end_matches('.').to_owned();
    let is_ipv6 = query.query_type() == RecordType::AAAA;
    let count = counts.entry((name.clone(), is_ipv6)).or_default();
    let number = *count;
    *count += 1;
    Question { name, is_ipv6, number }
}

fn answer(message: Message, question: &Question, reply: Reply) -> Option<Message> {
    let name = message.queries[0].name().clone();
    let mut answer = message.into_response();
    answer.metadata.recursion_available = true;
    answer.additionals.clear();
    let mut add = |name: &Name, addresses: Vec<IpAddr>| {
        for address in addresses
            .into_iter()
            .filter(|address| address.is_ipv6() == question.is_ipv6)
        {
            let data = match address {
                IpAddr::V4(address) => RData::A(address.into()),
                IpAddr::V6(address) => RData::AAAA(address.into()),
            };
            answer.add_answer(Record::from_rdata(name.clone(), TTL, data));
        }
    };
    match reply {
        Reply::Addresses(addresses) => add(&name, addresses),
        Reply::Alias(other, addresses) => {
            let other = Name::from_ascii(format!("{other}.")).unwrap();
            add(&other, addresses);
            let alias = Record::from_rdata(name, TTL, RData::CNAME(CNAME(other)));
            answer.answers.insert(0, alias);
        }
        Reply::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
        Reply::Failure => answer.metadata.response_code = ResponseCode::ServFail,
        Reply::Silence => return None,
    }
    Some(answer)
}

//! Asks a running sidecar through its admin listener: one request on a connection of its own, every wait bounded.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::cli::failure::BadInput;
use crate::config::admin;
use crate::config::ingress::Listen;
use crate::secret::Secret;

/// An admin listener that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(15);
/// No answer is longer.
const ANSWER_BYTES: usize = 16 << 20;
/// No token is longer, and no file that holds nothing else.
const TOKEN_BYTES: u64 = 4 << 10;

/// Which sidecar a command talks to, and how it proves who it is.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sidecar {
    /// The admin address of the running sidecar, http://HOST:PORT or unix:/PATH [default: admin.listen in the configuration;
    /// of several, the first Unix socket, else the first].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// How a command proves who it is. A Unix socket needs none of it from the user that Keygate runs as.
#[derive(Debug, Args)]
pub(in crate::cli) struct Access {
    /// A file that holds the admin token; else the variable KEYGATE_ADMIN_TOKEN is read.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where an admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Address {
    /// `host:port`
    Tcp(String),
    /// A socket's file.
    Unix(PathBuf),
}

/// A way to ask.
pub(in crate::cli) struct Client {
    address: Address,
    token: Option<Secret>,
    patience: Duration,
}

/// No sidecar answers there: it does not run, or not with this address.
#[derive(Debug)]
pub(in crate::cli) struct Unreachable(Address);

/// The sidecar says no.
#[derive(Debug)]
pub(in crate::cli) struct Refused {
    address: Address,
    /// The answer's.
    pub(in crate::cli) status: StatusCode,
    /// Stable, for programs; empty where there is none.
    pub(in crate::cli) code: String,
    /// For people.
    pub(in crate::cli) detail: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot ask the sidecar at {}", self.0)
    }
}

impl std::error::Error for Unreachable {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            status,
            code,
            detail,
        } = self;
        write!(f, "the sidecar at {address} says {} {code}: {detail}", status.as_u16())
    }
}

impl std::error::Error for Refused {}

impl Sidecar {
    /// A way to ask the sidecar that was named, or that the configuration in `config` describes.
    ///
    /// # Errors
    /// Bad input: an address or a token that is none, or a configuration without an admin listener.
    pub(in crate::cli) fn client(&self, config: &Path) -> anyhow::Result<Client> {
        self.find(Some(config))?.ok_or_else(|| {
            BadInput::error(
                "the configuration has no admin listener",
                "give it one in admin.listen, or name a running sidecar's with --admin",
            )
        })
    }

    /// Whether one was named, so that no other is meant.
    pub(in crate::cli) fn is_named(&self) -> bool {
        self.admin.is_some()
    }

    /// As [`Sidecar::client`]; `None` where nothing says where a sidecar would be.
    ///
    /// # Errors
    /// As [`Sidecar::client`].
    pub(in crate::cli) fn find(&self, config: Option<&Path>) -> anyhow::Result<Option<Client>> {
        let address = match (&self.admin, config) {
            (Some(address), _) => Some(address.parse()?),
            (None, Some(config)) => configured(config)?,
            (None, None) => None,
        };
        address.map(|address| Client::new(address, &self.access)).transpose()
    }
}

/// Where the configuration has its admin listener. A Unix socket needs no token.
fn configured(config: &Path) -> anyhow::Result<Option<Address>> {
    let listen = admin::load(config)?.map_or_else(Vec::new, |admin| admin.listen);
    let socket = listen.iter().find(|listen| matches!(listen, Listen::Unix(_)));
    Ok(socket.or(listen.first()).map(Address::from))
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let valid = authority.parse::<http::uri::Authority>();
        match valid {
            Ok(valid) if valid.port_u16().is_some() && !authority.contains('@') => Ok(Self::Tcp(authority.to_owned())),
            Ok(_) | Err(_) => Err(BadInput::error(
                format!("{text} is not an admin address"),
                "write http://HOST:PORT or unix:/PATH",
            )),
        }
    }
}

impl From<&Listen> for Address {
    fn from(listen: &Listen) -> Self {
        match listen {
            Listen::Unix(path) => Self::Unix(path.clone()),
            Listen::Tcp(address) if address.ip().is_unspecified() => Self::Tcp(format!("localhost:{}", address.port())),
            Listen::Tcp(address) => Self::Tcp(address.to_string()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Access {
    fn token(&self) -> anyhow::Result<Option<Secret>> {
        let (place, text) = match &self.token_file {
            Some(file) => (file.display().to_string(), Some(read_token(file)?)),
            None => (
                "KEYGATE_ADMIN_TOKEN".to_owned(),
                std::env::var_os("KEYGATE_ADMIN_TOKEN").map(OsStringExt::into_vec),
            ),
        };
        let text = text.unwrap_or_default();
        match text.trim_ascii() {
            [] if self.token_file.is_none() => Ok(None),
            token if !token.is_empty() && token.iter().all(u8::is_ascii_graphic) => {
                Ok(Some(Secret::new(String::from_utf8_lossy(token).into_owned())))
            }
            // Not quoted: it may be a token, or part of one.
            _ => Err(BadInput::error(
                format!("there is no admin token in {place}"),
                "it holds nothing but what `keygate admin new-token` printed",
            )),
        }
    }
}

fn read_token(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|open| open.take(TOKEN_BYTES).read_to_end(&mut text));
    read.map_err(|error| {
        BadInput::error(
            format!("cannot read the token from {}: {error}", file.display()),
            "name a file that holds what `keygate admin new-token` printed",
        )
    })?;
    Ok(text)
}

impl Client {
    /// To the sidecar at this address.
    pub(in crate::cli) fn new(address: Address, access: &Access) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            token: access.token()?,
            patience: PATIENCE,
        })
    }

    /// As it is, with more time for each answer.
    #[must_use]
    pub(in crate::cli) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The body of the answer to `GET path`.
    ///
    /// # Errors
    /// [`Unreachable`] and [`Refused`] can be told from the rest by a downcast.
    pub(in crate::cli) fn get(&self, path: &str) -> anyhow::Result<String> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// The body of the answer to `POST path` with this body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(in crate::cli) fn post(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        self.ask(Method::POST, path, serde_json::to_vec(body)?.into())
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let request = self.request(method, path, body)?;
        let asked = async {
            match &self.address {
                Address::Tcp(authority) => exchange(TcpStream::connect(authority).await, request).await,
                Address::Unix(path) => exchange(UnixStream::connect(path).await, request).await,
            }
        };
        let asked = runtime.block_on(async { tokio::time::timeout(self.patience, asked).await });
        let late = || format!("no answer within {} s", self.patience.as_secs());
        let (status, text) = asked
            .with_context(late)
            .and_then(|outcome| outcome)
            .with_context(|| Unreachable(self.address.clone()))?;
        let answer = serde_json::from_str::<Value>(&text);
        let Ok(answer) = answer else {
            bail!("what answers at {} is no sidecar's admin listener", self.address);
        };
        if status.is_success() {
            return Ok(text);
        }
        Err(anyhow::Error::new(Refused {
            address: self.address.clone(),
            status,
            code: answer["code"].as_str().unwrap_or_default().to_owned(),
            detail: answer["detail"].as_str().unwrap_or(text.trim()).to_owned(),
        }))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let host = match &self.address {
            Address::Tcp(authority) => authority.as_str(),
            Address::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            let mut value = value.ok().context("the admin token cannot stand in a header")?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request.body(Full::new(body))?)
    }
}

async fn exchange<IO>(
    connected: std::io::Result<IO>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, String)>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = connected.context("cannot connect (is it running, with this admin address?)")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors come out of the exchange as well.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.context("no answer")?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await;
    let body = body.ok().context("the answer is cut short")?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

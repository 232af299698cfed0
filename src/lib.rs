//! Keygate: a reverse-proxy sidecar that enforces API keys in front of messaging services.
//!
//! # The house
//!
//! ```text
//! main ─▶ cli ─▶ app ─▶ { proxy │ control │ ledger } ─▶ policy ─▶ config ─▶ { secret, clock }
//! ```
//!
//! | room | its verb | holds | must not |
//! |---|---|---|---|
//! | [`policy`] | **decide** | the immutable [`Policy`](policy::Policy) snapshot: keyring, routes, credential sources, limits, header law, refusals | `async`, tokio, hyper, files, sockets, reading the clock, logging |
//! | [`proxy`] | **carry** | listeners' connections, TLS, the request on one screen, upstream pool, tunnels, the access line; events to receivers | decide anything; read files; name `control` |
//! | [`control`] | **change** | reload, drain and signals, the admin listener, edits of the key file | touch a live connection; name `proxy` |
//! | [`ledger`] | **remember** | quota balances, usage, last use, the audit trail, queued events: the state file and the thread that writes it | be waited for by a request |
//! | [`cli`] | **operate** | one file per command: `run check keys explain status usage audit admin webhooks demo completions` | hold logic that the rooms need |
//! | [`config`] | | TOML text → raw → valid domain types | name any room above it |
//! | [`app`] | | the only file that knows every room | |
//!
//! Beside them stand the leaves that any room may name: [`secret`] (redacted types), [`clock`] (the only reader of system
//! time), [`current`] (the generation in force, and who acts on it), [`errand`] (what
//! `control` has the return path do), [`lifecycle`] (how `control` tells `proxy` to stop), [`listen`] (bound sockets), [`refetch`] (how `proxy` asks `control` for new keys
//! of users' tokens), [`runtime`] (threads with a runtime), [`telemetry`] (log and metrics).
//! A test reads the `use` lines and keeps these rules true.
//!
//! # The life of a request
//!
//! ```text
//! accept ▸ TLS ▸ screen ▸ parse ▸ hygiene ▸ route ▸ extract credential ▸ look up ▸ state ▸ network ▸ environment
//! ▸ permission ▸ subscription ▸ tenant ▸ required headers ▸ concurrency ▸ rate ▸ quota ▸ strip ▸ inject ▸ register ▸ forward
//! ▸ relay ▸ account
//! ```
//!
//! - `proxy::ingress::serve` shows it on one screen; [`policy::Policy::decide_ingress`] is the decision in the middle.
//! - A [`Permit`](policy::permit::Permit) has private fields, only the decision builds one, and forwarding takes it by value:
//!   nothing reaches an upstream without one.
//! - A [`Refusal`](policy::refusal::Refusal) (we said no) and a [`Failure`](policy::refusal::Failure) (we could not) are
//!   different types, each with a status and a stable code. What the caller is told and what the log says differ.
//! - The same walk explains itself ([`policy::Policy::explain`]), rule by rule, without spending anything.
//! - Header order is a law in one function, [`policy::header_law`]: remove hop-by-hop → strip → inject.
//! - Configuration, keys and certificates are one generation, compiled off the data path and swapped at once. A request uses
//!   one generation from start to end. What limits have counted survives the swap, and what is revoked stays so.
//! - What runs stands in its worker's register with what it rests on, a [`Bond`](policy::bond::Bond); each generation that comes,
//!   and each end in time, is asked whether that still holds ([`policy::Policy::holds`]), and what does not is cut.
//!
//! # The life of an event
//!
//! The other direction: what the service sends to its customers' servers.
//!
//! ```text
//! accept ▸ parse ▸ admit ▸ address ▸ read ▸ search for keys ▸ type and id ▸ subscribed? ▸ strip
//!   ├─ in the request ─────────────▸ for each try: resolve ▸ check ▸ connect ▸ sign ▸ send ▸ answer
//!   └─ queued ▸ to disk ▸ 202 ▸ … ▸ search, subscribed? and strip again ▸ one such try
//! ```
//!
//! - `proxy::egress::serve` shows it on one screen; [`policy::egress`] decides, with the time as an argument.
//! - A [`Dispatch`](policy::egress::Dispatch) has private fields, and [`policy::Policy::dispatch`] alone builds one, of a body that was
//!   searched: nothing leaves for a receiver without one.
//! - A [`Checked`](policy::egress::destination::Checked) address is the only thing that is connected to.
//! - Secrets are in [`secret::webhook`] and in the headers of one try, nowhere else. What is queued is signed when it is sent.
//!
//! # Threads
//!
//! N workers, each with a single-threaded runtime and its own upstream connections, carry requests; with more than one, a
//! thread hands each new connection to the least-loaded. The control thread, the ledger, the log writer and a few threads for slow
//! hashes stand beside them and are never waited for by a request, except for a slow hash, and for two seconds at most for a
//! look at an issuer's new keys.
//!
//! Events have a thread of their own, `keygate-egress`, also those from the queue: no slow receiver ever keeps a request waiting.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod current;
pub mod errand;
pub mod ledger;
pub mod lifecycle;
pub mod listen;
pub mod policy;
pub mod proxy;
pub mod refetch;
pub mod runtime;
pub mod secret;
pub mod telemetry;

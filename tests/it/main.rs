//! The promises of Keygate, each tested from outside: a real binary, real clients, real upstreams on real sockets.
//!
//! One file per area, one function per promise, named for it. Nothing here names the library except where a promise is
//! about a file format; what is tested is what a caller, an upstream or an operator can see.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // tests may panic, and say why
#![allow(clippy::disallowed_methods)] // and wait on the real clock
#![allow(missing_docs)]

mod harness;

mod access_log;
mod admin;
mod admin_keys;
mod admin_reload;
mod admin_state;
mod admin_webhooks;
mod audit;
mod cli_check;
mod credentials;
mod delegation;
mod demo;
mod docs;
mod drain;
mod error_templates;
mod events;
mod expiry;
mod explain;
mod grpc;
mod hygiene;
mod key_files;
mod keyring;
mod keys_cli;
mod keys_import;
mod keys_life;
mod large_bodies;
mod last_good;
mod limits;
mod listen;
mod migration;
mod openapi;
mod paths;
mod patience;
mod profiles;
mod push;
mod quotas;
mod reload;
mod responses;
mod revocation;
mod rooms;
mod routes;
mod stale_keys;
mod state;
mod status;
mod streaming;
mod strip_inject;
mod three_line_config;
mod tls;
mod tunnels;
mod upstream;
mod usage;
mod user_keys;
mod users;
mod webhook_docs;
mod webhook_secrets;
mod webhook_signatures;
mod webhooks_cli;
mod whoami;

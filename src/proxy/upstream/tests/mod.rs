//! The upstream half over real sockets: hand-written upstreams that see and say exact bytes.
//!
//! Time is paused wherever the sockets are Unix ones: they deliver at once, so the clock moves only when nobody has
//! anything left to do, and a test that would hang fails instead.

mod bodies;
mod http1;
mod http2;
mod pool;
mod refused;
mod retry;
mod rig;
mod timeouts;
mod tls;

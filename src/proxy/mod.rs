//! Carry: listeners, the screen, requests, tunnels.

pub mod screen;
pub mod tunnel;
pub mod websocket;

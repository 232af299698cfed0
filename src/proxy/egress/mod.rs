//! The return path: connections to receivers.

#[allow(dead_code)]
mod connect;
#[allow(dead_code)]
mod resolve;
#[cfg(test)]
mod tests;

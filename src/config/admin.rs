//! `[admin]`: the operator's listener.

use super::ingress::Listen;

/// The admin listener: probes and metrics.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`: default `["127.0.0.1:9901"]`; an empty list turns it off.
    pub listen: Vec<Listen>,
}

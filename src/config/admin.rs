//! `[admin]`: the operator's listener.

use super::files::Files;
use super::ingress::{self, Listen};
use super::reader::{Place, Table};

/// The admin listener: probes and metrics.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`: default `["127.0.0.1:9901"]`; an empty list turns it off.
    pub listen: Vec<Listen>,
}

/// Reads `[admin]`. The places are those of its addresses.
pub(super) fn read<'d>(table: &Table<'d>, files: &Files) -> (Admin, Vec<Place<'d>>) {
    let Some(item) = table.get("listen") else {
        let listen = vec![Listen::Tcp(([127, 0, 0, 1], 9901).into())];
        return (Admin { listen }, vec![table.place().clone()]);
    };
    let (listen, places) = ingress::read_listen(&item, files).into_iter().unzip();
    (Admin { listen }, places)
}

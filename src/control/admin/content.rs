//! The body of an answer: at hand, or made piece by piece on a thread that may wait for a disk.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::spawn_blocking;

/// How many pieces may wait for the client.
const WAITING: usize = 4;
/// How long a piece is before it is sent.
const PIECE_BYTES: usize = 32 << 10;

/// A body.
pub(super) enum Content {
    /// All of it; empty once it has been taken.
    Whole(Bytes),
    /// What comes. An error cuts it short, so that nobody takes it for whole.
    Pieces(Receiver<io::Result<Bytes>>),
}

/// Takes what a body is made of, until nobody wants more.
pub(super) struct Pieces {
    piece: Vec<u8>,
    client: Sender<io::Result<Bytes>>,
}

impl Content {
    /// What `write` makes, on a thread that may block.
    pub(super) fn written(write: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static) -> Self {
        let (client, pieces) = channel(WAITING);
        spawn_blocking(move || {
            let mut pieces = Pieces {
                piece: Vec::new(),
                client,
            };
            match write(&mut pieces) {
                Ok(()) => drop(pieces.send()),
                // Whoever asked may have gone.
                Err(error) => drop(pieces.client.blocking_send(Err(error))),
            }
        });
        Self::Pieces(pieces)
    }
}

impl Pieces {
    /// Adds a line; false where nobody wants more.
    pub(super) fn line(&mut self, line: &str) -> bool {
        self.piece.extend_from_slice(line.as_bytes());
        self.piece.push(b'\n');
        self.piece.len() < PIECE_BYTES || self.send()
    }

    fn send(&mut self) -> bool {
        let piece = std::mem::take(&mut self.piece);
        self.client.blocking_send(Ok(piece.into())).is_ok()
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Pieces(pieces) => {
                let piece = ready!(pieces.poll_recv(context));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

//! The screen from outside: tables of raw heads, a scripted socket, hyper behind it, and a reference reader beside it.

mod differential;
mod gate;
mod server;
mod table;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HeadLimits;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 1024,
    header_count: 10,
    target_bytes: 200,
};

/// A socket that hands out one part of its script for each read, is pending in between, and takes what is written.
#[derive(Debug, Default)]
struct Script {
    parts: VecDeque<Part>,
    written: Vec<u8>,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    /// One read finds nothing; the test polls again by itself.
    Pending,
    End,
}

impl Script {
    fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        Self {
            parts: parts.into_iter().collect(),
            written: Vec::new(),
        }
    }

    fn bytes(parts: &[&[u8]]) -> Self {
        Self::of(parts.iter().map(|part| Part::Bytes(part.to_vec())))
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.parts.pop_front() {
            Some(Part::Bytes(mut bytes)) => {
                let rest = bytes.split_off(bytes.len().min(buf.remaining()));
                buf.put_slice(&bytes);
                if !rest.is_empty() {
                    self.parts.push_front(Part::Bytes(rest));
                }
                Poll::Ready(Ok(()))
            }
            Some(Part::End) => {
                self.parts.push_front(Part::End);
                Poll::Ready(Ok(()))
            }
            Some(Part::Pending) | None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

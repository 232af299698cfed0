//! Hearing an upstream out that has stopped listening.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::stream::Stream;

/// A stream whose failing writes are not errors.
///
/// An upstream that answers early and closes leaves two things behind: an answer to read, and a request that can no
/// longer be written. HTTP/1.1 lets the answer count (RFC 9112 §9.5), but a codec that stops at the first failed write
/// loses it, depending on which it notices first. So the write side keeps swallowing, and the read side alone decides how
/// the exchange ends: with the answer, or with the end of the stream.
pub(super) struct Patient {
    stream: Stream,
    write_failed: Rc<Cell<bool>>,
}

impl Patient {
    /// `write_failed` is set by the first write that fails.
    pub(super) fn new(stream: Stream, write_failed: Rc<Cell<bool>>) -> Self {
        Self { stream, write_failed }
    }

    /// The stream itself, whose writes fail again when they fail.
    pub(super) fn into_inner(self) -> Stream {
        self.stream
    }

    fn swallow(&self, wrote: Poll<io::Result<usize>>, offered: impl FnOnce() -> usize) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(Err(_)) => {
                self.write_failed.set(true);
                Poll::Ready(Ok(offered()))
            }
            Poll::Ready(Ok(_)) | Poll::Pending => wrote,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.write_failed.get() {
            return Poll::Ready(Ok(buf.len()));
        }
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.swallow(wrote, || buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = || bufs.iter().map(|buf| buf.len()).sum();
        if self.write_failed.get() {
            return Poll::Ready(Ok(offered()));
        }
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.swallow(wrote, offered)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_failed.get() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Err(_)) = flushed {
            self.write_failed.set(true);
            return Poll::Ready(Ok(()));
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

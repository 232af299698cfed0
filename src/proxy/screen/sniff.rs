//! Which protocol a cleartext client speaks, from its first bytes: HTTP/2 begins with a fixed preface (RFC 9113 §3.4).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1, or nothing known: the screen will tell.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// A connection whose first bytes were read already, and are read again first.
#[derive(Debug)]
pub struct Prefixed<IO> {
    io: IO,
    prefix: [u8; PREFACE.len()],
    start: usize,
    end: usize,
}

/// Reads until it is certain what the client speaks, and loses nothing. A preface that breaks off is HTTP/1.
///
/// It waits as long as the client does: put a time limit around it.
///
/// # Errors
/// Those of the connection.
pub async fn sniff<IO: AsyncRead + Unpin>(io: IO) -> io::Result<(Protocol, Prefixed<IO>)> {
    let mut io = Prefixed::new(io);
    loop {
        let read = io.io.read(&mut io.prefix[io.end..]).await?;
        io.end += read;
        let seen = &io.prefix[..io.end];
        if read == 0 || !PREFACE.starts_with(seen) {
            return Ok((Protocol::Http1, io));
        }
        if seen.len() == PREFACE.len() {
            return Ok((Protocol::Http2, io));
        }
    }
}

impl<IO> Prefixed<IO> {
    /// A connection of which nothing was read, for clients whose protocol is known.
    pub fn new(io: IO) -> Self {
        Self {
            io,
            prefix: [0; PREFACE.len()],
            start: 0,
            end: 0,
        }
    }

    /// What it reads from.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefixed<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.start == this.end {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let count = (this.end - this.start).min(buf.remaining());
        buf.put_slice(&this.prefix[this.start..this.start + count]);
        this.start += count;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefixed<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn sniffed(parts: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(1024);
        let send = async {
            for part in parts {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let receive = async {
            let (protocol, mut io) = sniff(server).await.unwrap();
            let mut bytes = Vec::new();
            io.read_to_end(&mut bytes).await.unwrap();
            (protocol, bytes)
        };
        tokio::join!(send, receive).1
    }

    #[tokio::test]
    async fn the_preface_is_http2_and_everything_else_is_http1_and_no_byte_is_lost() {
        let with_frames = [&PREFACE[..], b"\0\0\0\x04\0\0\0\0\0"].concat();
        for (stream, protocol) in [
            (&with_frames[..], Protocol::Http2),
            (PREFACE, Protocol::Http2),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Protocol::Http1),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX and more than the preface",
                Protocol::Http1,
            ),
            (b"PRI * HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"POST / HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"PRI", Protocol::Http1),
            (b"", Protocol::Http1),
        ] {
            assert_eq!(sniffed(&[stream]).await, (protocol, stream.to_vec()), "{stream:?}");
            for at in 0..stream.len() {
                let (left, right) = stream.split_at(at);
                assert_eq!(
                    sniffed(&[left, right]).await,
                    (protocol, stream.to_vec()),
                    "{stream:?} cut at {at}"
                );
            }
        }
    }
}

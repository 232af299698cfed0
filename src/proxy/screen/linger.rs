//! Closing so that the last answer arrives.
//!
//! A socket that is closed with unread bytes in it makes the kernel send a reset, and the reset makes the other side throw
//! away an answer that it has not read yet (RFC 9112 §9.6). After a refusal, and after an answer that came before the end
//! of a body, the client may still be sending.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Closes the sending side, then reads and discards until the client closes its own, or `bytes` have come, or `time` has
/// passed. The answer must have been flushed. Errors end it as well; there is nobody left to tell.
pub async fn linger<IO>(mut io: IO, bytes: u64, time: Duration)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let discard = async {
        io.shutdown().await?;
        let mut scrap = [0; 4096];
        let mut left = bytes;
        while left > 0 {
            match io.read(&mut scrap).await? {
                0 => break,
                read => left = left.saturating_sub(read as u64),
            }
        }
        std::io::Result::Ok(())
    };
    // Too late or broken: the connection is dropped either way.
    drop(tokio::time::timeout(time, discard).await);
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long it takes, on the paused clock, in whole milliseconds.
    async fn timed(future: impl Future<Output = ()>) -> Duration {
        let start = clock::monotonic();
        future.await;
        Duration::from_millis((clock::monotonic() - start) / 1_000_000)
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_client_with_the_bytes_or_with_the_time() {
        let (client, server) = tokio::io::duplex(64);
        drop(client);
        assert_eq!(
            timed(linger(server, 1000, SECOND)).await,
            Duration::ZERO,
            "the client has closed"
        );

        let (_client, server) = tokio::io::duplex(64);
        assert_eq!(
            timed(linger(server, 1000, SECOND)).await,
            SECOND,
            "the client says nothing"
        );

        let (mut client, server) = tokio::io::duplex(64);
        let flood = async { while client.write_all(&[0; 64]).await.is_ok() {} };
        let both = async {
            tokio::join!(flood, linger(server, 1000, SECOND));
        };
        assert_eq!(timed(both).await, Duration::ZERO, "the client floods");
    }

    #[tokio::test]
    async fn a_client_that_is_still_sending_gets_the_whole_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut first = [0; 16];
            socket.read_exact(&mut first).await.unwrap();
            socket.write_all(&[b'a'; 10_000]).await.unwrap();
            linger(socket, 1 << 24, Duration::from_secs(10)).await;
        };
        let call = async {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(&[b'x'; 1 << 20]).await.unwrap();
            socket.shutdown().await.unwrap();
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(serve, call);
        assert_eq!(answer.len(), 10_000);
    }
}

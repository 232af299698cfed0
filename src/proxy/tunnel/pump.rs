//! One direction of a tunnel: reads here, writes there, and says goodbye where one frame ends and the next would begin.

use std::io;
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::websocket::Frames;

/// Read at first, on the stack: a tunnel that only waits owns no buffer.
const SMALL_BYTES: usize = 8 * 1024;
/// Read after two reads that filled the small buffer.
const LARGE_BYTES: usize = 256 * 1024;
const FULL_READS: u8 = 2;

/// One direction of a tunnel.
pub(super) struct Pump {
    /// What is still to be written lies in `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    large: bool,
    full_reads: u8,
    unflushed: bool,
    read_ended: bool,
    shut: bool,
    frames: Option<Frames>,
    farewell: Farewell,
    carried: u64,
    moved: u64,
}

/// A close frame on its way into this direction.
enum Farewell {
    None,
    /// For the end of the frame that is passing.
    Waiting(Vec<u8>),
    /// For the end of what is still to be written.
    Ready(Vec<u8>),
    /// Said, or the peer had said its own: nothing that comes is passed on.
    Said,
}

/// Which end of a direction failed.
#[derive(Debug)]
pub(super) enum Broken {
    Read(io::ErrorKind),
    Write(io::ErrorKind),
}

impl Pump {
    /// A direction that begins with bytes that were read already.
    pub(super) fn new(first: &Bytes, mut frames: Option<Frames>) -> Self {
        if let Some(frames) = &mut frames {
            frames.follow(first);
        }
        Self {
            buffer: first.to_vec(),
            start: 0,
            end: first.len(),
            large: false,
            full_reads: 0,
            unflushed: false,
            read_ended: false,
            shut: false,
            frames,
            farewell: Farewell::None,
            carried: first.len() as u64,
            moved: 0,
        }
    }

    /// Bytes that were taken from one side for the other.
    pub(super) fn carried(&self) -> u64 {
        self.carried
    }

    /// Grows with every byte that is read or written.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the side that is read has ended.
    pub(super) fn read_ended(&self) -> bool {
        self.read_ended
    }

    /// Whether it owns a large buffer.
    pub(super) fn is_large(&self) -> bool {
        self.large
    }

    /// Gives the large buffer back, unless something lies in it.
    pub(super) fn shrink(&mut self) {
        if self.start == self.end {
            self.buffer = Vec::new();
            self.start = 0;
            self.end = 0;
            self.large = false;
            self.full_reads = 0;
        }
    }

    /// Puts a close frame in at the next frame boundary, and passes nothing on after it.
    pub(super) fn say(&mut self, close_frame: Vec<u8>) {
        self.farewell = match &self.frames {
            Some(frames) if frames.closed() => Farewell::Said,
            Some(frames) if !frames.at_boundary() => Farewell::Waiting(close_frame),
            Some(_) | None => Farewell::Ready(close_frame),
        };
    }

    /// What still stands between this direction and its goodbye is cut short: the rest of a frame, or what the other side
    /// does not take. There is no way to say goodbye in the middle of a frame.
    pub(super) fn cut_short(&mut self) {
        let is_held_up = match self.farewell {
            Farewell::Waiting(_) => true,
            Farewell::Ready(_) => self.start < self.end,
            Farewell::None | Farewell::Said => false,
        };
        if is_held_up {
            self.farewell = Farewell::Said;
            self.read_ended = true;
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether goodbye was said and written, and the peer's own has come.
    pub(super) fn has_parted(&self) -> bool {
        let said = matches!(self.farewell, Farewell::Said) && self.start == self.end && !self.unflushed;
        let heard = self.read_ended || self.frames.as_ref().is_none_or(Frames::closed);
        said && heard
    }

    /// Carries on until nothing more can be read or written for now. Ready when the side that is read has ended, everything
    /// from it is written, and the other side's stream is shut down.
    pub(super) fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.shut {
            ready!(self.poll_drain(cx, to))?;
            if let Farewell::Ready(_) = self.farewell {
                self.load_farewell();
            } else if self.read_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|error| Broken::Write(error.kind()))?;
                self.shut = true;
            } else {
                match self.poll_fill(cx, from, to) {
                    Poll::Ready(result) => result?,
                    Poll::Pending if self.unflushed => {
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|error| Broken::Write(error.kind()))?;
                        self.unflushed = false;
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drain<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<Result<(), Broken>> {
        while self.start < self.end {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer[self.start..self.end]));
            self.start += self.wrote(written)?;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, written: io::Result<usize>) -> Result<usize, Broken> {
        match written {
            Ok(0) => Err(Broken::Write(io::ErrorKind::WriteZero)),
            Ok(count) => {
                self.unflushed = true;
                self.moved += count as u64;
                Ok(count)
            }
            Err(error) => Err(Broken::Write(error.kind())),
        }
    }

    /// Reads once, when everything read before is written.
    fn poll_fill<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.full_reads >= FULL_READS && !self.large {
            self.buffer.resize(LARGE_BYTES, 0);
            self.large = true;
        }
        if self.large {
            let mut buffer = mem::take(&mut self.buffer);
            let mut room = ReadBuf::new(&mut buffer);
            let result = Pin::new(from).poll_read(cx, &mut room);
            let read = room.filled().len();
            if result.is_ready() {
                self.start = 0;
                self.end = self.pass(&buffer[..read]);
            }
            self.buffer = buffer;
            ready!(result).map_err(|error| Broken::Read(error.kind()))?;
            self.took(read, LARGE_BYTES);
            return Poll::Ready(Ok(()));
        }
        let mut room = [MaybeUninit::uninit(); SMALL_BYTES];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(from).poll_read(cx, &mut room)).map_err(|error| Broken::Read(error.kind()))?;
        let read = room.filled().len();
        self.took(read, SMALL_BYTES);
        let passed = self.pass(room.filled());
        let passed = &room.filled()[..passed];
        let written = match passed {
            [] => 0,
            [_, ..] => match Pin::new(to).poll_write(cx, passed) {
                Poll::Ready(written) => self.wrote(written)?,
                Poll::Pending => 0,
            },
        };
        self.buffer.clear();
        self.buffer.extend_from_slice(&passed[written..]);
        self.start = 0;
        self.end = self.buffer.len();
        Poll::Ready(Ok(()))
    }

    fn took(&mut self, read: usize, room: usize) {
        self.moved += read as u64;
        self.read_ended = read == 0;
        self.full_reads = if read == room {
            self.full_reads.saturating_add(1)
        } else {
            0
        };
    }

    /// Follows the frames through what was read, and says how much of it is passed on.
    fn pass(&mut self, read: &[u8]) -> usize {
        let Some(frames) = &mut self.frames else {
            self.carried += read.len() as u64;
            return read.len();
        };
        let passed = match mem::replace(&mut self.farewell, Farewell::Said) {
            Farewell::None => {
                self.farewell = Farewell::None;
                read.len()
            }
            Farewell::Waiting(close_frame) => {
                let passed = frames.follow_frame(read);
                if !frames.at_boundary() {
                    self.farewell = Farewell::Waiting(close_frame);
                } else if !frames.closed() {
                    self.farewell = Farewell::Ready(close_frame);
                }
                frames.follow(&read[passed..]);
                self.carried += passed as u64;
                return passed;
            }
            Farewell::Ready(close_frame) => {
                self.farewell = Farewell::Ready(close_frame);
                0
            }
            Farewell::Said => 0,
        };
        frames.follow(read);
        self.carried += passed as u64;
        passed
    }

    fn load_farewell(&mut self) {
        if let Farewell::Ready(close_frame) = mem::replace(&mut self.farewell, Farewell::Said) {
            self.start = 0;
            self.end = close_frame.len();
            self.buffer = close_frame;
            self.large = false;
        }
    }
}

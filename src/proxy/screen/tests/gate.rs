//! The screen over a scripted socket: what passes, when, and what the handle says.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{LIMITS, Part, Script};
use crate::policy::refusal::Hygiene;
use crate::proxy::screen::{BodyFailure, Phase, READ_AHEAD, SENTINEL, SENTINEL_HEAD, Screen};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &[u8] = b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const BAD: &[u8] = b"HEAD /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";

/// A waker that counts.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// One read with a buffer of so many bytes.
fn read_with(screen: &mut Screen<Script>, waker: &Waker, size: usize) -> Poll<io::Result<Vec<u8>>> {
    let mut bytes = vec![0; size];
    let mut buf = ReadBuf::new(&mut bytes);
    let result = Pin::new(screen).poll_read(&mut Context::from_waker(waker), &mut buf);
    result.map_ok(|()| buf.filled().to_vec())
}

fn read(screen: &mut Screen<Script>) -> Poll<io::Result<Vec<u8>>> {
    read_with(screen, Waker::noop(), 4096)
}

/// Everything that passes until a read is pending, fails, or ends.
fn read_all(screen: &mut Screen<Script>, size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while let Poll::Ready(Ok(bytes)) = read_with(screen, Waker::noop(), size) {
        if bytes.is_empty() {
            break;
        }
        all.extend(bytes);
    }
    all
}

fn screen(parts: &[&[u8]]) -> Screen<Script> {
    Screen::new(Script::bytes(parts), LIMITS)
}

fn flush(screen: &mut Screen<Script>) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut *screen).poll_write(&mut cx, b"answer").is_ready());
    assert!(Pin::new(screen).poll_flush(&mut cx).is_ready());
}

#[test]
fn good_streams_pass_unchanged_however_they_are_cut_and_read() {
    let stream = [GET, POST, b"\r\n", GET, CHUNKED, POST, GET].concat();
    for size in [1, 7, 64, 4096] {
        for part in [1, 2, 3, 10, 50, 4096] {
            let parts: Vec<&[u8]> = stream.chunks(part).collect();
            let mut screen = screen(&parts);
            assert_eq!(
                read_all(&mut screen, size),
                stream,
                "{size}-byte reads of {part}-byte parts"
            );
            assert_eq!(screen.handle().snapshot().heads, 6);
            assert_eq!(screen.handle().snapshot().phase, Phase::Idle);
        }
    }
}

#[test]
fn a_head_is_delivered_whole_or_not_at_all() {
    for at in 1..GET.len() {
        let mut screen = Screen::new(
            Script::of([
                Part::Bytes([POST, &GET[..at]].concat()),
                Part::Pending,
                Part::Bytes([&GET[at..], POST].concat()),
            ]),
            LIMITS,
        );
        assert_eq!(read_all(&mut screen, 4096), POST, "cut at {at}");
        assert_eq!(screen.handle().snapshot().phase, Phase::Head);
        assert!(screen.handle().snapshot().awaits_client);
        assert_eq!(read_all(&mut screen, 4096), [GET, POST].concat(), "cut at {at}");
    }
}

#[test]
fn a_refused_head_becomes_a_sentinel_and_nothing_after_it_passes() {
    let stream = [GET, CHUNKED, BAD, GET, GET].concat();
    for part in [1, 2, 3, 10, 50, 4096] {
        let parts: Vec<&[u8]> = stream.chunks(part).collect();
        let mut screen = screen(&parts);
        let handle = screen.handle();
        assert_eq!(
            read_all(&mut screen, 64),
            [GET, CHUNKED, SENTINEL_HEAD].concat(),
            "{part}-byte parts"
        );
        assert!(read(&mut screen).is_pending());
        assert_eq!(handle.snapshot().phase, Phase::Ended);
        assert_eq!(handle.0.unanswered(), 3);
        assert!(handle.leaves_unread());
        assert_eq!(handle.take_refusal(0), None);
        assert_eq!(handle.take_refusal(1), None);
        let refused = handle.take_refusal(2).unwrap();
        assert_eq!(refused.hygiene, Hygiene::Host);
        assert_eq!(refused.method.as_deref(), Some("HEAD"));
        assert_eq!(refused.target.as_deref(), Some("/bad"));
        assert_eq!(handle.take_refusal(2), None);
    }
}

#[test]
fn a_broken_body_ends_in_an_error_for_ever() {
    let head = b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let stream = [GET, head, b"3\r\nabcX0\r\n\r\n", GET].concat();
    for part in [1, 2, 3, 10, 50, 4096] {
        let parts: Vec<&[u8]> = stream.chunks(part).collect();
        let mut screen = screen(&parts);
        let good = [GET, head, b"3\r\nabc"].concat();
        assert_eq!(read_all(&mut screen, 64), good, "{part}-byte parts");
        for _ in 0..3 {
            assert!(matches!(read(&mut screen), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData));
        }
        assert_eq!(screen.handle().body_failure(0), None);
        assert_eq!(screen.handle().body_failure(1), Some(BodyFailure::Broken));
        assert!(screen.handle().leaves_unread());
    }
}

#[test]
fn after_an_upgrade_nothing_passes_until_it_is_declined() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut screen = screen(&[&[GET, UPGRADE, POST].concat(), BAD]);
    let handle = screen.handle();
    assert_eq!(read_all(&mut screen, 4096), [GET, UPGRADE].concat());
    assert!(read_with(&mut screen, &waker, 4096).is_pending());
    assert_eq!(handle.snapshot().phase, Phase::Paused);

    handle.answered(0);
    assert_eq!(woken.times(), 0, "another request's answer decides nothing");
    assert!(read_with(&mut screen, &waker, 4096).is_pending());
    handle.resume(1);
    assert_eq!(woken.times(), 1);
    assert_eq!(read_all(&mut screen, 4096), [POST, SENTINEL_HEAD].concat());
    assert_eq!(handle.take_refusal(3).unwrap().hygiene, Hygiene::Host);
}

#[test]
fn an_upgrade_that_is_answered_otherwise_is_declined() {
    let mut screen = screen(&[UPGRADE, GET]);
    assert_eq!(read_all(&mut screen, 4096), UPGRADE);
    screen.handle().answered(0);
    assert_eq!(read_all(&mut screen, 4096), GET);
}

#[test]
fn after_an_accepted_upgrade_everything_passes() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut screen = screen(&[&[UPGRADE, b"\x81\x01"].concat(), b"\n\n\n", BAD]);
    assert_eq!(read_all(&mut screen, 4096), UPGRADE);
    assert!(read_with(&mut screen, &waker, 4096).is_pending());
    screen.handle().release(0);
    screen.handle().answered(0);
    assert_eq!(woken.times(), 1);
    assert_eq!(read_all(&mut screen, 4096), [b"\x81\x01\n\n\n", BAD].concat());
    assert_eq!(screen.handle().snapshot().phase, Phase::Tunnel);
}

#[test]
fn what_was_held_after_an_upgrade_comes_out_with_the_socket() {
    let long = [b'x'; READ_AHEAD];
    let mut screen = screen(&[
        &[UPGRADE, b"\x81\x01a"].concat(),
        b"later",
        &long,
        b"left in the socket",
    ]);
    assert_eq!(read_all(&mut screen, 4096), UPGRADE);
    screen.handle().release(0);
    let (io, held) = screen.into_inner();
    assert_eq!(held, [b"\x81\x01alater", &long[..]].concat());
    assert_eq!(io.parts.len(), 1);
}

#[test]
fn an_upgrade_with_a_body_may_be_declined_before_the_body_is_there() {
    let head = b"POST /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n";
    let mut screen = Screen::new(
        Script::of([
            Part::Bytes([head, &b"he"[..]].concat()),
            Part::Pending,
            Part::Bytes([b"llo", GET].concat()),
        ]),
        LIMITS,
    );
    assert_eq!(read_all(&mut screen, 4096), [head, &b"he"[..]].concat());
    assert_eq!(screen.handle().snapshot().phase, Phase::Body);
    screen.handle().resume(0);
    assert_eq!(read_all(&mut screen, 4096), [b"llo", GET].concat());
}

#[test]
fn the_end_of_a_clients_stream_waits_for_its_answers() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut screen = Screen::new(Script::of([Part::Bytes([GET, POST].concat()), Part::End]), LIMITS);
    let handle = screen.handle();
    assert_eq!(read_all(&mut screen, 4096), [GET, POST].concat());
    assert!(read_with(&mut screen, &waker, 4096).is_pending());
    assert!(handle.snapshot().client_closed);

    flush(&mut screen);
    handle.answered(0);
    assert!(
        read_with(&mut screen, &waker, 4096).is_pending(),
        "one answer is missing"
    );
    assert_eq!(woken.times(), 0);

    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut screen).poll_write(&mut cx, b"answer").is_ready());
    handle.answered(1);
    assert!(
        read_with(&mut screen, &waker, 4096).is_pending(),
        "the answer is not flushed"
    );
    assert_eq!(woken.times(), 0);
    flush(&mut screen);
    assert_eq!(woken.times(), 1);
    assert!(matches!(read(&mut screen), Poll::Ready(Ok(bytes)) if bytes.is_empty()));
    assert!(!handle.leaves_unread());
}

#[test]
fn an_end_inside_a_head_is_an_end_and_inside_a_body_an_error() {
    let mut screen = Screen::new(Script::of([Part::Bytes(GET[..9].to_vec()), Part::End]), LIMITS);
    assert!(matches!(read(&mut screen), Poll::Ready(Ok(bytes)) if bytes.is_empty()));
    assert_eq!(screen.handle().snapshot().heads, 0);

    let part = &POST[..POST.len() - 1];
    let mut screen = Screen::new(Script::of([Part::Bytes(part.to_vec()), Part::End]), LIMITS);
    assert_eq!(read_all(&mut screen, 4096), part);
    assert!(matches!(read(&mut screen), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof));
    assert_eq!(screen.handle().body_failure(0), Some(BodyFailure::CutShort));
}

#[test]
fn a_head_that_takes_too_long_is_refused() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut screen = screen(&[GET, &GET[..9]]);
    let handle = screen.handle();
    assert_eq!(read_all(&mut screen, 4096), GET);
    assert!(read_with(&mut screen, &waker, 4096).is_pending());
    handle.close_idle();
    assert_eq!(woken.times(), 0, "not idle");
    handle.expire_head();
    assert_eq!(woken.times(), 1);
    assert_eq!(read_all(&mut screen, 4096), SENTINEL);
    let refused = handle.take_refusal(1).unwrap();
    assert_eq!(
        (refused.hygiene, refused.target.as_deref()),
        (Hygiene::HeadTimeout, Some("/a"))
    );
}

#[test]
fn an_idle_connection_closes_only_when_it_is_idle() {
    let mut screen = Screen::new(
        Script::of([Part::Bytes(GET.to_vec()), Part::Pending, Part::Bytes(GET.to_vec())]),
        LIMITS,
    );
    let handle = screen.handle();
    assert_eq!(read_all(&mut screen, 4096), GET);
    handle.close_idle();
    assert_eq!(read_all(&mut screen, 4096), GET, "unanswered: not idle");

    handle.answered(1);
    handle.close_idle();
    assert!(matches!(read(&mut screen), Poll::Ready(Ok(bytes)) if bytes.is_empty()));
    assert!(!handle.snapshot().client_closed);

    let mut late = screen_with_late_request();
    assert!(read(&mut late).is_pending());
    late.handle().close_idle();
    assert_eq!(
        read_all(&mut late, 4096),
        GET,
        "a request that has come in the meantime is served"
    );
}

fn screen_with_late_request() -> Screen<Script> {
    Screen::new(Script::of([Part::Pending, Part::Bytes(GET.to_vec())]), LIMITS)
}

#[test]
fn empty_lines_do_not_make_a_head() {
    let mut screen = screen(&[POST, b"\r\n"]);
    assert_eq!(read_all(&mut screen, 4096), POST);
    assert_eq!(screen.handle().snapshot().phase, Phase::Idle);
}

#[test]
fn a_screen_that_is_off_only_counts() {
    let mut screen = Screen::off(Script::bytes(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\n\n"]));
    assert_eq!(read_all(&mut screen, 4096).len(), 27);
    flush(&mut screen);
    let snapshot = screen.handle().snapshot();
    assert_eq!(
        (snapshot.phase, snapshot.heads, snapshot.bytes_written),
        (Phase::Tunnel, 0, 6)
    );
}

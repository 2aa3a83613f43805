//! The fault-injecting proxy does what its faults say: the tests of every outage stand on it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use frazil_cache::testing::{Fault, FaultProxy};

/// Short enough to wait for nothing, long enough to be sure of it.
const A_WHILE: Duration = Duration::from_millis(200);

/// An upstream that echoes one connection after the other, until it hears `quit`.
struct Echo(Option<JoinHandle<()>>, FaultProxy);

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut quit = false;
            while !quit {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    quit |= &buffer[..len] == b"quit";
                    let _ = stream.write_all(&buffer[..len]);
                }
            }
        });
        assert_ne!(address, proxy.address());
        Self(Some(thread), proxy)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.1.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.1.set(Fault::Pass);
        let mut stream = self.connect();
        let _ = stream.write_all(b"quit").and_then(|()| stream.read_exact(&mut [0; 4]));
        drop(stream);
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

fn exchange(stream: &mut TcpStream, question: &[u8]) -> Vec<u8> {
    stream.write_all(question).unwrap();
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn a_proxy_without_a_fault_passes_and_counts() {
    let echo = Echo::start();
    let mut stream = echo.connect();
    assert_eq!(exchange(&mut stream, b"hello"), b"hello");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "the end passes too");
    let counts = echo.1.counts();
    assert_eq!((counts.connections, counts.question_bytes, counts.answer_bytes), (1, 5, 5));
}

#[test]
fn a_black_hole_answers_nothing_until_it_ends() {
    let echo = Echo::start();
    let mut stream = echo.connect();
    assert_eq!(exchange(&mut stream, b"before"), b"before");
    echo.1.set(Fault::BlackHole);
    stream.write_all(b"lost").unwrap();
    stream.set_read_timeout(Some(A_WHILE)).unwrap();
    let error = stream.read(&mut [0; 8]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    echo.1.set(Fault::Pass);
    stream.set_read_timeout(None).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"lost");
}

#[test]
fn a_reset_comes_in_the_middle_of_an_answer() {
    let echo = Echo::start();
    let mut stream = echo.connect();
    echo.1.set(Fault::Reset { after_bytes: 3 });
    stream.write_all(b"abcdef").unwrap();
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(b"abc".starts_with(&answer), "{answer:?}");
}

#[test]
fn a_truncated_answer_ends_in_order() {
    let echo = Echo::start();
    let mut stream = echo.connect();
    echo.1.set(Fault::Truncate { after_bytes: 3 });
    stream.write_all(b"abcdef").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"abc");
}

#[test]
fn drip_latency_and_corruption_deliver_every_byte_in_order() {
    let echo = Echo::start();
    let mut stream = echo.connect();
    let question: Vec<u8> = (0..=255).collect();
    echo.1.set(Fault::SlowDrip { bytes: 100, pause: Duration::from_millis(1) });
    assert_eq!(exchange(&mut stream, &question), question);
    echo.1.set(Fault::Latency(Duration::from_millis(1)));
    assert_eq!(exchange(&mut stream, &question), question);
    echo.1.set(Fault::Corrupt { every_bytes: 100 });
    let answer = exchange(&mut stream, &question);
    let flipped: Vec<usize> = (0..256).filter(|&at| answer[at] != question[at]).collect();
    assert_eq!(flipped, [99, 199]);
}

#[test]
fn an_http_client_is_told_to_come_back_later() {
    let echo = Echo::start();
    echo.1.set(Fault::Answer { status: 429, retry_after_s: Some(7) });
    let mut stream = echo.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 7\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_dropped_proxy_ends_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).unwrap();
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    let held = listener.accept().unwrap();
    let address = proxy.address();
    drop(proxy);
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    assert!(TcpStream::connect(address).is_err());
    drop(held);
}

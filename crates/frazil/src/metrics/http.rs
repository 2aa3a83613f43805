//! As much HTTP as a scraper needs: `GET /metrics`, one request to a connection, everything bounded.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Scrapers at once; further ones wait to be accepted.
const MAX_SCRAPERS: usize = 8;

/// The longest head of a request, in bytes.
const MAX_HEAD_LEN: usize = 8 << 10;

/// How long one scraper may take in all.
const PATIENCE: Duration = Duration::from_secs(5);

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves what `page` gives, for ever.
pub(super) async fn serve<E>(
    listener: TcpListener,
    page: impl Fn() -> Result<String, E> + Send + Sync + 'static,
) {
    let (page, room) = (Arc::new(page), Arc::new(Semaphore::new(MAX_SCRAPERS)));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((socket, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    // A scraper that went away or dawdles scrapes again.
                    let _ = timeout(PATIENCE, answer(socket, &*page)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a scraper");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn answer<E>(mut socket: TcpStream, page: &impl Fn() -> Result<String, E>) -> std::io::Result<()> {
    let head = read_head(&mut socket).await?;
    let mut words = head.split(|byte| *byte == b' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some(b"GET"), Some(b"/metrics")) => match page() {
            Ok(body) => ("200 OK", body),
            Err(_) => ("500 Internal Server Error", String::new()),
        },
        (Some(b"GET"), Some(_)) => ("404 Not Found", "only /metrics is here\n".to_owned()),
        (Some(_), Some(_)) => ("405 Method Not Allowed", String::new()),
        _ => ("400 Bad Request", String::new()),
    };
    let kind = if status.starts_with("200") { TEXT } else { "text/plain" };
    let len = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown().await
}

/// A request's head, or as much of it as is taken.
async fn read_head(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut part = socket.take(MAX_HEAD_LEN as u64);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if part.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

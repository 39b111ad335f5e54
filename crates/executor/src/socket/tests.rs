//! Tests of the socket between a worker and a process of its own.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;

fn pair() -> (Socket, Socket) {
    let (one, other) = tokio::net::UnixStream::pair().unwrap();
    (Socket::new(one).unwrap(), Socket::new(other).unwrap())
}

#[tokio::test]
async fn what_is_more_than_there_is_room_for_comes_whole_and_in_order() {
    let (mut near, mut far) = pair();
    let sent: Vec<u8> = (0..=250).cycle().take(4 << 20).collect();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    let mut read = Vec::new();
    far.read_to_end(&mut read).await.unwrap();
    assert!(read == expected, "{} bytes of {}", read.len(), expected.len());
    far.write_all(b"thanks").await.unwrap();
    let mut near = writer.await.unwrap();
    let mut answer = [0; 6];
    near.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"thanks");
}

#[tokio::test]
async fn one_that_was_full_asks_no_more_once_it_has_room() {
    let (mut near, mut far) = pair();
    let filled = timeout(Duration::ZERO, near.write_all(&vec![1; 4 << 20])).await;
    assert!(filled.is_err() && near.full.is_some(), "{near:?}");
    let mut some = vec![0; 1 << 20];
    far.read_exact(&mut some[..200_000]).await.unwrap();
    near.write_all(b"more").await.unwrap();
    assert!(near.full.is_none(), "{near:?}");
}

#[tokio::test]
async fn an_end_is_told() {
    let (near, mut far) = pair();
    drop(near);
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    let broken = far.write_all(b"nobody reads").await.unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
}

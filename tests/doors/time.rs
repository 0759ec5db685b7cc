//! How long a client may keep a connection waiting.

use super::*;

#[tokio::test(start_paused = true)]
async fn silence_is_closed_after_the_time_of_a_head_and_between_requests_after_the_idle_time() {
    let door = start(Limits::default()).await;
    let begin = Instant::now();
    assert_eq!(rest(&mut door.connect().await).await, "");
    assert_lasted(begin, 10);
    assert_eq!(count(&door.metrics.head_timeouts), 1);
    let mut kept = door.send(GET).await;
    sleep(Duration::from_secs(29)).await;
    kept.write_all(GET.as_bytes()).await.unwrap();
    one(&mut kept).await;
    let begin = Instant::now();
    assert!(one(&mut kept).await.ends_with("quick"));
    assert_eq!(rest(&mut kept).await, "");
    assert_lasted(begin, 30);
    assert_eq!(count(&door.metrics.idle_timeouts), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dripping_head_has_its_time_from_the_first_byte_or_the_accept() {
    let door = start(Limits::default()).await;
    for kept in [false, true] {
        let mut client = door.connect().await;
        if kept {
            client.write_all(GET.as_bytes()).await.unwrap();
            one(&mut client).await;
            sleep(Duration::from_secs(25)).await;
        }
        let start = Instant::now();
        if !kept {
            sleep(Duration::from_secs(9)).await;
        }
        while client.write_all(b"G").await.is_ok()
            && timeout(Duration::from_secs(1), client.read_u8())
                .await
                .is_err()
        {}
        assert_lasted(start, 10);
    }
    assert_eq!(count(&door.metrics.head_timeouts), 2);
}

#[tokio::test(start_paused = true)]
async fn a_head_begun_behind_a_slow_answer_has_its_time_from_the_answer() {
    let door = start(Limits::default()).await;
    let mut client = door.send(format!("{GET_SLOW}GET /qu")).await;
    door.handled(1).await;
    sleep(Duration::from_secs(300)).await;
    door.release.notify_waiters();
    let start = Instant::now();
    assert!(one(&mut client).await.ends_with("slow"));
    assert_eq!(rest(&mut client).await, "");
    assert_lasted(start, 10);
}

#[tokio::test(start_paused = true)]
async fn slow_handlers_and_long_streams_are_not_closed() {
    let door = start(Limits::default()).await;
    let mut poll = door.send(GET_SLOW).await;
    let mut stream = door
        .send("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let begin = Instant::now();
    assert_eq!(rest(&mut stream).await.matches("minute\n").count(), 10);
    assert_lasted(begin, 600);
    door.release.notify_waiters();
    assert!(one(&mut poll).await.ends_with("slow"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_closed() {
    let unix = start_unix(Limits::default());
    let door = &unix.door;
    let mut client = unix.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    door.handled(1).await;
    let begin = Instant::now();
    until(|| count(&door.metrics.write_timeouts) == 1).await;
    assert_lasted(begin, 30);
    let mut taken = Vec::new();
    let _ = client.read_to_end(&mut taken).await;
    assert!(taken.len() < 64 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_served_to_the_end() {
    let unix = start_unix(Limits::default());
    let door = &unix.door;
    let mut client = unix.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
    // What the sockets hold, every 20 seconds, long after the handler has given all of it.
    while taken < 64 << 20 {
        sleep(Duration::from_secs(20)).await;
        let until = taken + (8 << 20);
        while taken < until.min(64 << 20) {
            let read = client.read(&mut buffer).await.unwrap();
            assert!(read > 0, "closed after {taken} bytes");
            taken += read;
        }
    }
    client.write_all(GET.as_bytes()).await.unwrap();
    until(|| door.handled.load(Ordering::SeqCst) == 2).await;
    assert_eq!(count(&door.metrics.connections), 1);
}

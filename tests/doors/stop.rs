//! The end of a door.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_flight_and_closes_the_rest() {
    let door = start(Limits::default()).await;
    let mut silent = door.connect().await;
    let mut kept = door.send(GET).await;
    one(&mut kept).await;
    let mut busy = door.send(GET_SLOW).await;
    door.handled(2).await;
    let start = Instant::now();
    door.stop.send(true).unwrap();
    assert_eq!(rest(&mut kept).await, "");
    assert_eq!(
        start.elapsed().as_millis() / 100,
        0,
        "idle ones close at once"
    );
    assert_eq!(rest(&mut silent).await, "");
    assert_lasted(start, 1);
    assert!(
        TcpStream::connect(door.address).await.is_err(),
        "the listener is closed"
    );
    sleep(Duration::from_secs(2)).await;
    assert!(!door.served.is_finished());
    door.release.notify_waiters();
    let answer = rest(&mut busy).await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("slow"),
        "{answer}"
    );
    door.served.await.unwrap();
    assert_lasted(start, 3);
    assert_eq!(
        (
            count(&door.metrics.aborted),
            count(&door.metrics.connections)
        ),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_on_its_way_when_the_stop_comes_is_answered() {
    let door = start(Limits::default()).await;
    let mut connected = door.connect().await;
    until(|| count(&door.metrics.connections) == 1).await;
    door.stop.send(true).unwrap();
    while TcpStream::connect(door.address).await.is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
    connected.write_all(GET.as_bytes()).await.unwrap();
    let answer = rest(&mut connected).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
        "{answer}"
    );
    door.served.await.unwrap();
    assert_eq!(count(&door.metrics.aborted), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_in_its_time() {
    let unix = start_unix(Limits::default());
    let door = &unix.door;
    let mut never = unix.send(GET_SLOW).await;
    let mut half = unix.send("GET /").await;
    let mut unread = unix.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    door.handled(2).await;
    let start = Instant::now();
    door.stop.send(true).unwrap();
    until(|| door.served.is_finished()).await;
    assert_lasted(start, 5);
    assert_eq!(
        (
            count(&door.metrics.aborted),
            count(&door.metrics.connections)
        ),
        (3, 0)
    );
    assert_eq!(rest(&mut never).await, "");
    assert_eq!(rest(&mut half).await, "");
    assert!(rest(&mut unread).await.len() < 64 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(DoorMetrics::default());
    let (_stop, stopped) = watch::channel(false);
    let routes = warp::path!("panic")
        .map(|| -> String { panic!("on purpose") })
        .or(warp::any().map(|| String::from("fine")));
    let door = Door::new(
        "test",
        Listener::Tcp(listener),
        Limits::default(),
        Arc::clone(&metrics),
    );
    let _served = tokio::spawn(door.serve(warp::service(routes), stopped));
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(rest(&mut client).await, "");
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert!(one(&mut client).await.ends_with("fine"));
    assert_eq!(
        (count(&metrics.panicked), count(&metrics.connections)),
        (1, 1)
    );
}

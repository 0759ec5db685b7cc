//! Who must go when there is no room, in connections or in file descriptors.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_full_door_closes_the_longest_idle() {
    let door = start(Limits {
        max_connections: 4,
        ..Limits::default()
    })
    .await;
    let mut kept = door.send(GET).await;
    one(&mut kept).await;
    sleep(Duration::from_secs(1)).await;
    let mut half = door.send("GET /").await;
    sleep(Duration::from_secs(1)).await;
    let mut stalled = door
        .send("POST /patient HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1")
        .await;
    door.handled(2).await;
    sleep(Duration::from_secs(1)).await;
    let mut silent = door.connect().await;
    let mut served = Vec::new();
    for (waited, evicted) in [
        (&mut kept, 1),
        (&mut half, 2),
        (&mut stalled, 3),
        (&mut silent, 4),
    ] {
        let honest = door.send(GET_SLOW).await;
        assert_eq!(rest(waited).await, "");
        door.handled(2 + usize::try_from(evicted).unwrap()).await;
        assert_eq!(count(&door.metrics.evicted), evicted);
        served.push(honest);
    }
    assert_eq!(count(&door.metrics.connections), 4);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_hand_is_never_closed_for_room() {
    let door = start(Limits {
        max_connections: 2,
        ..Limits::default()
    })
    .await;
    let mut first = door.send(GET_SLOW).await;
    let mut second = door.send(GET_SLOW).await;
    door.handled(2).await;
    let mut third = door.send(GET).await;
    assert!(
        timeout(Duration::from_secs(300), third.read_u8())
            .await
            .is_err(),
        "served beyond the limit"
    );
    assert_eq!(count(&door.metrics.connections), 2);
    door.release.notify_waiters();
    assert!(one(&mut first).await.ends_with("slow"));
    assert!(one(&mut second).await.ends_with("slow"));
    assert!(
        one(&mut third).await.ends_with("quick"),
        "room is made as soon as one is idle"
    );
    assert_eq!(count(&door.metrics.evicted), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_must_make_room() {
    let unix = start_unix(Limits {
        max_connections: 1,
        ..Limits::default()
    });
    let door = &unix.door;
    let _reader = unix.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    door.handled(1).await;
    let start = Instant::now();
    assert!(one(&mut unix.send(GET).await).await.ends_with("quick"));
    assert_lasted(start, 1);
}

#[tokio::test(start_paused = true)]
async fn many_silent_clients_do_not_keep_out_an_honest_one() {
    let door = start(Limits {
        max_connections: 16,
        ..Limits::default()
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(door.connect().await);
        let answer = one(&mut door.send(GET).await).await;
        assert!(answer.ends_with("quick"));
    }
    assert!(count(&door.metrics.connections) <= 16);
}

/// The server half of the next test, in a process with few descriptors.
#[tokio::test]
#[ignore = "run by the next test"]
async fn door_for_scarce_descriptors() {
    if std::env::var_os("WALDO_SYNCD_TEST_SCARCE").is_none() {
        return;
    }
    let door = start(Limits::default()).await;
    println!("port {}", door.address.port());
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
    println!("accept errors {}", count(&door.metrics.accept_errors));
}

#[test]
fn scarce_descriptors_do_not_keep_out_an_honest_client() {
    let mut server = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -n 64; exec "$0" --ignored --exact --nocapture room::door_for_scarce_descriptors"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env("WALDO_SYNCD_TEST_SCARCE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let port: u16 = lines
        .find_map(|line| line.split_once("port ")?.1.parse().ok())
        .unwrap();
    let connect = || {
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client
    };
    let silent: Vec<_> = (0..100).map(|_| connect()).collect();
    for _ in 0..50 {
        let mut honest = connect();
        honest
            .write_all(b"GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        honest.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("quick"), "{answer}");
    }
    drop((silent, server.stdin.take()));
    let errors = lines.find_map(|line| line.split_once("accept errors ")?.1.parse::<u64>().ok());
    assert!(server.wait().unwrap().success());
    assert!(errors.unwrap() > 0, "the descriptors never ran out");
}

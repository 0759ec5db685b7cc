//! HTTP/1.1, its limits, and who is at the other end.

use super::*;

#[tokio::test(start_paused = true)]
async fn http_1_1_is_all_that_is_spoken() {
    let door = start(Limits::default()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice();
    // The hello of TLS need not have the end of a line in it: it is not waited for.
    let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".as_slice();
    for other in [preface, hello] {
        let answer = door.answer(other).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad_request"),
            "{answer}"
        );
    }
    assert_eq!(count(&door.metrics.head_timeouts), 0);
    let upgrade = "GET /quick HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert!(
        door.answer(upgrade)
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
}

#[tokio::test(start_paused = true)]
async fn old_http_1_0_is_served_and_closed() {
    let door = start(Limits::default()).await;
    let answer = door.answer("GET /quick HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nquick"),
        "{answer}"
    );
}

#[tokio::test]
async fn heads_over_the_limits_get_431() {
    let door = start(Limits::default()).await;
    let with = |fields: String| {
        format!("GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
    };
    assert!(
        door.answer(with("A: b\r\n".repeat(62)))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    for fields in [63, 98, 99, 1000] {
        let answer = door.answer(with("A: b\r\n".repeat(fields))).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 ") && answer.contains("head_too_large"),
            "{fields} fields: {answer}"
        );
    }
    let rest = with("A: \r\n".to_owned()).len();
    let long = |bytes: usize| with(format!("A: {}\r\n", "b".repeat(bytes - rest)));
    let longest = 16 * 1024;
    assert!(
        door.answer(long(longest))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    for bytes in [longest + 1, longest + 2, 20 * 1024, 300 * 1024] {
        let answer = door.answer(long(bytes)).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 ") && answer.contains("head_too_large"),
            "{bytes} bytes: {answer}"
        );
    }
    assert_eq!(door.handled.load(Ordering::SeqCst), 2);
    assert_eq!(count(&door.metrics.refused), 8);
}

#[tokio::test(start_paused = true)]
async fn handlers_know_the_peer() {
    let door = start(Limits::default()).await;
    let mut client = door.send("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let told = one(&mut client).await;
    assert!(
        told.contains(&client.local_addr().unwrap().to_string()),
        "{told}"
    );
    // Also where a door listens on every address: which one the client has chosen.
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 2], everywhere.local_addr().unwrap().port()));
    let door = start_on(Listener::Tcp(everywhere), address, Limits::default());
    let mut client = door.send("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let told = one(&mut client).await;
    assert!(told.contains("here: Some(127.0.0.2)"), "{told}");

    let unix = start_unix(Limits::default());
    let mut client = unix.send("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let expected = format!("pid: Some({})", std::process::id());
    assert!(one(&mut client).await.contains(&expected));
}

//! Request bodies: size, time, and answers that come before their end.

use super::*;

#[tokio::test(start_paused = true)]
async fn bodies_are_read_within_size_and_time() {
    let door = start(Limits::default()).await;
    let post = |fields: &str, body: &str| {
        format!("POST /body HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
    };
    let mut client = door.send(post("Content-Length: 5", "hello")).await;
    assert!(one(&mut client).await.ends_with("5 bytes"));
    client
        .write_all(post("Content-Length: 65536", &"x".repeat(65536)).as_bytes())
        .await
        .unwrap();
    assert!(
        one(&mut client).await.ends_with("65536 bytes"),
        "kept alive"
    );
    let answer = door
        .answer(post(
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
        ))
        .await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("5 bytes"),
        "{answer}"
    );

    for (fields, body) in [
        ("Content-Length: 6", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
    ] {
        let start = Instant::now();
        assert!(
            door.answer(post(fields, body))
                .await
                .starts_with("HTTP/1.1 408 ")
        );
        assert_lasted(start, 10);
    }
    let start = Instant::now();
    let patient = door
        .answer("POST /patient HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1")
        .await;
    assert_eq!(patient, "");
    assert_lasted(start, 30);
    assert_eq!(count(&door.metrics.body_timeouts), 1);
}

#[tokio::test]
async fn too_large_bodies_get_to_read_the_answer() {
    let door = start(Limits::default()).await;
    for size in [65537, 100_000, 300_000] {
        let mut client = door
            .send(format!(
                "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
            ))
            .await;
        client.write_all(&vec![b'x'; size]).await.unwrap();
        let answer = one(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_still_sending_after_its_answer_is_not_reset() {
    let door = start(Limits::default()).await;
    let mut client = door
        .send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n")
        .await;
    assert!(one(&mut client).await.starts_with("HTTP/1.1 404 "));
    for _ in 0..20 {
        client.write_all(&[b'x'; 1000]).await.unwrap();
    }
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_owes_the_rest_of_its_request_is_closed_soon() {
    let door = start(Limits::default()).await;
    let start = Instant::now();
    let answer = door
        .answer("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 404 "));
    let _open = door
        .send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        .await;
    door.handled(2).await;
    until(|| count(&door.metrics.connections) == 0).await;
    assert_lasted(start, 1);
}

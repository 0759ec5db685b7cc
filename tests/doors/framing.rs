//! Requests that two servers could read in two ways.

use super::*;

#[tokio::test(start_paused = true)]
async fn bad_framing_gets_400_and_reaches_no_handler() {
    let door = start(Limits::default()).await;
    let cases = [
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "both",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "both",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
            "more than one Content",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "once and alone",
        ),
        ("GET /quick HTTP/1.1\nHost: a\n\n", "without CR"),
        ("GET /quick HTTP/1.1\r\nHost: a\n\r\n", "without CR"),
        ("GET /quick HTTP/1.1\r\nHost: a\r\n\n", "without CR"),
        ("GET /quick HTTP/1.1\r\n\r\n", "no Host"),
        ("GET /quick HTTP/1.0\r\n\r\n", "no Host"),
        (
            "GET /quick HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "more than one Host",
        ),
        (
            "GET /quick HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "not a host name",
        ),
        (
            "GET http://b/quick HTTP/1.1\r\nHost: a\r\n\r\n",
            "another host",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n",
            "not a number",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\n12",
            "not a number",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n12",
            "not a number",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n12",
            "not a number",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n12",
            "more than one Content",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\n12",
            "not `name: value`",
        ),
        (
            "POST /quick HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            "once and alone",
        ),
        (
            "POST /quick HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "is HTTP/1.0",
        ),
        (
            "GET /quick HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
            "not `name: value`",
        ),
        (
            "GET /quick HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
            "more than one line",
        ),
        (
            "GET /quick HTTP/1.1\r\nHost: a\r\nA: b\0\r\n\r\n",
            "control character",
        ),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "request line"),
        ("GET /quick\r\n", "request line"),
        ("GET a:b:c HTTP/1.1\r\nHost: a\r\n\r\n", "not a path"),
        ("GET /quick HTTP/1.2\r\nHost: a\r\n\r\n", "not HTTP/1.1"),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            "not HTTP/1.1",
        ),
        ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03", "request line"),
    ];
    let count_of_cases = u64::try_from(cases.len()).unwrap();
    for (request, detail) in cases {
        let answer = door.answer(request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.split_once(' ')
                .unwrap()
                .1
                .starts_with("400 Bad Request\r\n"),
            "{request}: {head}"
        );
        assert!(
            head.contains("content-type: application/problem+json\r\n"),
            "{request}: {head}"
        );
        assert!(
            body.contains(detail) && body.contains(r#""code":"bad_request"}"#),
            "{request}: {body}"
        );
    }
    assert_eq!(door.handled.load(Ordering::SeqCst), 0);
    assert_eq!(count(&door.metrics.refused), count_of_cases);
    let same = "GET http://A/quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(door.answer(same).await.ends_with("quick"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_head_behind_good_ones_is_the_one_refused() {
    let door = start(Limits::default()).await;
    let post = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /quick HTTP/1.1\nHost: a\n\n\n";
    let bad = "GET /quick HTTP/1.1\r\nHost: a\n\r\n";
    let all = format!("{GET}{post}{GET}{bad}{GET}");
    for split in 0..all.len() {
        let mut client = door.send(&all[..split]).await;
        tokio::task::yield_now().await;
        client.write_all(&all.as_bytes()[split..]).await.unwrap();
        let answers = rest(&mut client).await;
        let codes: Vec<_> = answers
            .match_indices("HTTP/1.1 ")
            .map(|(at, _)| &answers[at + 9..at + 12])
            .collect();
        assert_eq!(
            codes,
            ["200", "200", "200", "400"],
            "split at {split}: {answers}"
        );
    }
}

/// hyper answers what it cannot read with an empty 400: whatever byte stands wherever in a head, it is the door that refuses.
#[tokio::test(start_paused = true)]
async fn no_byte_at_any_place_of_a_head_gets_an_empty_refusal() {
    let door = start(Limits::default()).await;
    let places = [
        ("", "GET /quick HTTP/1.1\r\nHost: a\r\n"),
        ("G", "T /quick HTTP/1.1\r\nHost: a\r\n"),
        ("GET ", "/quick HTTP/1.1\r\nHost: a\r\n"),
        ("GET /", "quick HTTP/1.1\r\nHost: a\r\n"),
        ("GET /quick?a=", " HTTP/1.1\r\nHost: a\r\n"),
        ("GET /quick#", " HTTP/1.1\r\nHost: a\r\n"),
        ("GET http://", "/quick HTTP/1.1\r\nHost: a\r\n"),
        ("GET http", "://a/quick HTTP/1.1\r\nHost: a\r\n"),
        ("CONNECT a", ":80 HTTP/1.1\r\nHost: a:80\r\n"),
        ("GET /quick HTTP/1.", "\r\nHost: a\r\n"),
        ("GET /quick HTTP/1.1", "\r\nHost: a\r\n"),
        ("GET /quick HTTP/1.1\r\n", "Host: a\r\n"),
        ("GET /quick HTTP/1.1\r\nHost: a\r\nA", "b: c\r\n"),
        ("GET /quick HTTP/1.1\r\nHost: a\r\nA:", "\r\n"),
        ("GET /quick HTTP/1.1\r\nHost: a\r\nA: b", "\r\n"),
        ("GET /quick HTTP/1.1\r\nHost: a\r\nContent-Length: ", "\r\n"),
        (
            "GET /quick HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ",
            "chunked\r\n",
        ),
    ];
    for (before, after) in places {
        for byte in 0..=u8::MAX {
            let mut request = before.as_bytes().to_vec();
            request.push(byte);
            request.extend_from_slice(after.as_bytes());
            request.extend_from_slice(b"Connection: close\r\n\r\n0\r\n\r\n");
            let answer = door.answer(&request).await;
            let refused = answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4");
            let has_cause = answer.contains("\"code\":")
                || answer.contains(" 404 ")
                || answer.contains(" 405 ");
            assert!(
                answer.contains(" 200 OK") || (refused && has_cause),
                "{before:?} {byte:#x} {after:?}: {answer:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_behind_a_chunked_request() {
    let door = start(Limits::default()).await;
    let chunked =
        "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let hidden = "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answers = door.answer(format!("{GET}{chunked}{hidden}{GET}")).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    assert_eq!(door.handled.load(Ordering::SeqCst), 2);
}

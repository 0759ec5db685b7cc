//! Bodies that break parsers: kept to the last digit, their known fields read all the same, and never a crash.

use serde_json::json;

use crate::common::bodies::*;
use crate::story::Story;

/// An object with a flag event around a member of the test's own text.
fn flagged(customer: &str, member: &str) -> String {
    format!(r#"{{"event":"flag",{member},"flag":true,"customerId":"{customer}"}}"#)
}

#[test]
fn known_fields_are_read_at_the_side_of_deep_nesting() {
    let mut story = Story::new();
    for (index, depth) in [100, 129, 500, 5_000, 200_000].into_iter().enumerate() {
        let arrays = format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth));
        let customer = format!("deep-{depth}");
        story = story
            .post(flagged(&customer, &arrays))
            .applied(index + 1)
            .customer(&customer, json!({"flagged": true}));
    }
    let objects = format!(
        r#""x":{}1{}"#,
        r#"{"x":"#.repeat(100_000),
        "}".repeat(100_000)
    );
    story
        .post(flagged("objects", &objects))
        .applied(6)
        .customer("objects", json!({"flagged": true}));
}

#[test]
fn deep_nesting_inside_known_members_is_a_problem_and_no_crash() {
    let nest = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = |members: &str| format!(r#"{{"event":"onboard","customerId":"c",{members}}}"#);
    Story::new()
        .post(body(&format!(r#""validation":{nest}"#)))
        .applied(1)
        .problem(1, "validation")
        .post(body(&format!(
            r#""validation":{{"status":"APPROVED","kyc":{nest},"x":{nest}}}"#
        )))
        .applied(2)
        .problem(2, "kyc")
        .customer("c", json!({"status": "APPROVED", "kyc": null}))
        .post(body(&format!(
            r#""validation":{{"kyc":"PASSED","warningTags":{nest}}}"#
        )))
        .customer("c", json!({"kyc": "PASSED"}))
        .post(body(&format!(r#""externalId":{nest}"#)))
        .problem(4, "externalId");
}

#[test]
fn endless_opening_brackets_are_quarantined() {
    Story::new()
        .post("[".repeat(900_000))
        .quarantined(1)
        .post(r#"{"x":"#.repeat(150_000))
        .quarantined(2);
}

#[test]
fn last_duplicate_key_counts() {
    Story::new()
        .post(r#"{"event":"onboard","event":"flag","customerId":"first","customerId":"last","flag":true,"flag":false}"#)
        .applied(1)
        .event(1, json!({"event": "flag", "customerId": "last"}))
        .customer("last", json!({"flagged": false}))
        .no_customer("first")
        .post(
            r#"{"event":"onboard","customerId":"v",
            "validation":{"status":"REJECTED"},"validation":{"status":"REVIEW","status":"APPROVED"}}"#,
        )
        .customer("v", json!({"status": "APPROVED"}))
        .post(r#"{"event":"flag","flag":true,"customerId":"null","externalId":"e","externalId":null}"#)
        .customer("null", json!({"externalId": null}));
}

#[test]
fn numbers_past_every_range_are_kept_to_the_last_digit() {
    let numbers = [
        "1e400",
        "-1e400",
        "1E-400",
        "12345678901234567890",
        "99999999999999999999999999999999",
        "9007199254740993",
        "0.1000000000000000055511151231257827",
        "1.0",
        "-0",
    ];
    let mut story = Story::new();
    for (index, number) in numbers.into_iter().enumerate() {
        let customer = format!("n{index}");
        let body = flagged(&customer, &format!(r#""amount": {number}"#));
        story = story
            .post(body)
            .applied(index + 1)
            .no_problems(index + 1)
            .customer(&customer, json!({"flagged": true}));
        let (daemon, seq) = (story.daemon(), story.seq(index + 1));
        for path in [
            format!("/v1/events/{seq}"),
            format!("/v1/events?after={}", seq - 1),
        ] {
            let text = daemon.get_at(&path, seq).text();
            let raw = format!(r#""amount": {number},"#);
            assert!(text.contains(&raw), "{path} lost {raw}: {text}");
        }
    }
}

#[test]
fn score_past_every_range_is_absent() {
    let mut story = Story::new();
    for (index, score) in ["1e400", "-1e400", "12345678901234567890"]
        .into_iter()
        .enumerate()
    {
        let customer = format!("s{index}");
        let body = format!(
            r#"{{"event":"onboard","customerId":"{customer}","validation":{{"kyc":"PASSED","fraudScore":{score}}}}}"#
        );
        story = story
            .post(body)
            .applied(index + 1)
            .problem(index + 1, "fraudScore")
            .customer(&customer, json!({"kyc": "PASSED", "fraudScore": null}));
    }
}

#[test]
fn warnings_past_every_range_break_nothing() {
    let mut story = Story::new();
    for (index, count) in ["1e400", "12345678901234567890", "-3", "2.5"]
        .into_iter()
        .enumerate()
    {
        let customer = format!("w{index}");
        let body = format!(
            r#"{{"event":"onboard","customerId":"{customer}","validation":{{"kyc":"PASSED","warnings":{count}}}}}"#
        );
        story = story
            .post(body)
            .applied(index + 1)
            .customer(&customer, json!({"kyc": "PASSED"}));
    }
}

#[test]
fn lone_surrogates_elsewhere_hide_no_field() {
    Story::new()
        .post(flagged("s", r#""note":"\ud800","\udc00":"\udfff\ud800""#))
        .applied(1)
        .customer("s", json!({"flagged": true}))
        .post(r#"{"event":"onboard","customerId":"t","externalId":"\ud83d","validation":{"status":"APPROVED"}}"#)
        .event(2, json!({"customerId": "t"}))
        .customer("t", json!({"status": "APPROVED"}));
}

#[test]
fn lone_surrogate_in_an_id_is_kept_without_a_crash() {
    let body: &[u8] = br#"{"event":"flag","flag":true,"customerId":"a\ud800b"}"#;
    let story = Story::new().post(body).post(flag("next", true)).applied(2);
    assert_eq!(story.daemon().payload(story.seq(1)), body);
}

#[test]
fn escapes_in_names_and_ids_are_read() {
    Story::new()
        .post(
            r#"{"\u0065vent":"fl\u0061g","flag":true,"customerId":"\u00e4\ud83d\ude00\"\\\u0000"}"#,
        )
        .applied(1)
        .customer("ä😀\"\\\0", json!({"flagged": true}));
}

#[test]
fn bytes_that_are_no_json_come_back_as_base64() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let body: &[u8] = b"\x00\xff no json \n";
    let story = Story::new().post(body).quarantined(1);
    let event = story
        .daemon()
        .get_at(&format!("/v1/events/{}", story.seq(1)), story.seq(1))
        .json();
    assert_eq!(event["payloadBase64"], STANDARD.encode(body));
    assert!(
        event.get("payload").is_none_or(|payload| payload.is_null()),
        "{event}"
    );
}

#[test]
fn json_that_is_no_object_comes_back_as_json() {
    let story = Story::new().post("[1, 2.50, \"x\"]").quarantined(1);
    let text = story
        .daemon()
        .get_at(&format!("/v1/events/{}", story.seq(1)), story.seq(1))
        .text();
    assert!(text.contains("[1, 2.50, \"x\"]"), "{text}");
}

#[test]
fn line_breaks_around_and_in_a_body_are_kept() {
    let story = Story::new()
        .post("\r\n { \"event\" : \"flag\" ,\n\t\"flag\" : true ,\r\n \"customerId\" : \"c\" } \n")
        .applied(1)
        .customer("c", json!({"flagged": true}));
    let seq = story.seq(1);
    let feed = story.daemon().get_at("/v1/events", seq).json();
    assert_eq!(feed["items"][0]["payload"]["customerId"], "c");
}

#[test]
fn bare_control_characters_in_a_key_leave_the_feed_readable() {
    let story = Story::new()
        .post("{\"\u{0}key\":1,\"event\":\"flag\",\"customerId\":\"c\",\"flag\":true}")
        .quarantined(1)
        .post(r#"{"\u0000key":1,"event":"flag","customerId":"c","flag":true}"#)
        .applied(2);
    // `items` takes the page apart as JSON.
    let page = story.daemon().get_at("/v1/events", story.seq(2));
    assert_eq!(page.items().len(), 2);
    assert!(page.items()[0]["payloadBase64"].is_string());
}

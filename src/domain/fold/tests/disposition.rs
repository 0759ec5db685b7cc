//! The table of dispositions, row by row and at its edges.

use super::*;
use Disposition::{Applied, Duplicate, Quarantined, Stale, Unrecognised};

const STATUSES: [(&str, u8); 5] = [
    ("initiated", 0),
    ("in_progress", 1),
    ("paused", 1),
    ("completed", 2),
    ("failed", 2),
];

#[test]
fn event_that_confirms_is_applied_and_changes_nothing() {
    let mut tale = Tale::new();
    tale.webhook(&onboard("c", "APPROVED"));
    let verdict = tale.webhook(&with(onboard("c", "ACCEPTED"), json!({"n": 2})));
    assert_eq!(verdict.disposition, Applied);
    assert!(verdict.replaced.is_empty() && !verdict.created_customer);
    assert_eq!(tale.customer("c").version, 1);
}

#[test]
fn same_bytes_under_a_request_id_are_a_duplicate_for_ever() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "fraud", "initiated"));
    tale.webhook(&run("c", "r", "fraud", "completed"));
    for wait in [0, -MINUTE, 400 * 24 * 60 * MINUTE] {
        tale.wait(wait);
        let verdict = tale.webhook(&run("c", "r", "fraud", "initiated"));
        assert_eq!(
            (verdict.disposition, verdict.duplicate_of, origin(&verdict)),
            (Duplicate, Some(Seq(1)), API_BY_ID)
        );
        assert!(verdict.replaced.is_empty());
    }
    assert_eq!(tale.request("r").evaluations["fraud"], "completed");
    assert_eq!(tale.customer("c").last_seq, Seq(2));
}

#[test]
fn repeat_of_what_came_late_is_a_duplicate_of_it() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "fraud", "completed"));
    let late = tale.webhook(&run("c", "r", "fraud", "initiated"));
    assert_eq!(late.disposition, Stale);
    let again = tale.webhook(&run("c", "r", "fraud", "initiated"));
    assert_eq!(
        (again.disposition, again.duplicate_of),
        (Duplicate, Some(Seq(2)))
    );
}

#[test]
fn without_request_id_the_latest_of_its_kind_is_repeated_for_exactly_10_minutes() {
    for (wait, expected) in [
        (0, Duplicate),
        (10 * MINUTE, Duplicate),
        (10 * MINUTE + 1, Applied),
        (-60 * MINUTE, Duplicate),
    ] {
        for body in [
            flag("c", true),
            onboard("c", "REVIEW"),
            evaluation("c", "fraud", "completed"),
        ] {
            let mut tale = Tale::new();
            tale.webhook(&body);
            tale.wait(wait);
            let verdict = tale.webhook(&body);
            assert_eq!(verdict.disposition, expected, "{body}, {wait} ms later");
            let first = (expected == Duplicate).then_some(Seq(1));
            assert_eq!(verdict.duplicate_of, first);
        }
    }
}

#[test]
fn a_duplicate_does_not_prolong_the_10_minutes() {
    let mut tale = Tale::new();
    tale.webhook(&flag("c", true));
    tale.wait(6 * MINUTE);
    assert_eq!(tale.webhook(&flag("c", true)).disposition, Duplicate);
    tale.wait(6 * MINUTE);
    assert_eq!(tale.webhook(&flag("c", true)).disposition, Applied);
    tale.wait(6 * MINUTE);
    let verdict = tale.webhook(&flag("c", true));
    assert_eq!(verdict.duplicate_of, Some(Seq(3)));
}

#[test]
fn another_event_of_the_kind_in_between_makes_it_news() {
    let mut tale = Tale::new();
    tale.webhook(&flag("c", true));
    tale.webhook(&flag("c", false));
    assert_eq!(tale.webhook(&flag("c", true)).disposition, Applied);
    assert_eq!(tale.customer("c").flagged, Some(true));
}

/// Waldo's answer to an app that takes the flag back is the latest applied event of that kind, so the same body as
/// before it is the dashboard's new decision and no repeat.
#[test]
fn waldos_own_answer_in_between_makes_it_news() {
    for source in [Source::Gateway, Source::Poll] {
        let mut tale = Tale::new();
        tale.webhook(&flag("c", true));
        tale.event(source, &flag("c", false));
        assert_eq!(tale.customer("c").flagged, Some(false));
        let verdict = tale.webhook(&flag("c", true));
        assert_eq!(verdict.disposition, Applied, "{source}");
        assert_eq!(tale.customer("c").flagged, Some(true));
    }
}

#[test]
fn other_kinds_and_customers_in_between_do_not_hide_a_repeat() {
    let mut tale = Tale::new();
    tale.webhook(&evaluation("c", "fraud", "completed"));
    tale.webhook(&evaluation("c", "document", "completed"));
    tale.webhook(&onboard("c", "REVIEW"));
    tale.webhook(&evaluation("d", "fraud", "failed"));
    let verdict = tale.webhook(&evaluation("c", "fraud", "completed"));
    assert_eq!(
        (verdict.disposition, verdict.duplicate_of),
        (Duplicate, Some(Seq(1)))
    );
}

#[test]
fn only_webhooks_repeat_each_other_without_a_request_id() {
    for source in [Source::Gateway, Source::Poll] {
        let mut tale = Tale::new();
        tale.event(source, &onboard("c", "REVIEW"));
        let verdict = tale.event(source, &onboard("c", "REVIEW"));
        assert_eq!(verdict.disposition, Applied, "{source}");
    }
}

#[test]
fn duplicate_takes_over_origin_evidence_and_request_of_what_it_repeats() {
    let mut tale = Tale::new();
    tale.register("r", "fraud", "c");
    tale.webhook(&evaluation("c", "fraud", "completed"));
    let verdict = tale.webhook(&evaluation("c", "fraud", "completed"));
    assert_eq!(
        (verdict.disposition, origin(&verdict), verdict.request),
        (Duplicate, API_BY_TIE, Some(1))
    );
    assert_eq!(verdict.previous_of_request, Some(Seq(2)));

    tale.control(&flag_called("d", true));
    tale.webhook(&flag("d", true));
    let verdict = tale.webhook(&flag("d", true));
    assert_eq!(
        (verdict.disposition, origin(&verdict)),
        (Duplicate, API_BY_CALL)
    );
}

#[test]
fn under_one_request_a_lower_status_is_stale() {
    for (known, known_rank) in STATUSES {
        for (new, new_rank) in STATUSES {
            let mut tale = Tale::new();
            tale.webhook(&run("c", "r", "fraud", known));
            let verdict = tale.webhook(&with(run("c", "r", "fraud", new), json!({"n": 2})));
            let expected = if new_rank < known_rank {
                Stale
            } else {
                Applied
            };
            assert_eq!(verdict.disposition, expected, "{known}, then {new}");
            let stands = if expected == Stale { known } else { new };
            assert_eq!(tale.request("r").evaluations["fraud"], stands);
            assert_eq!(tale.customer("c").evaluations["fraud"].status, stands);
        }
    }
}

#[test]
fn without_request_a_lower_status_is_stale_but_initiated_after_the_end_is_a_new_run() {
    for (known, known_rank) in STATUSES {
        for (new, new_rank) in STATUSES {
            let mut tale = Tale::new();
            tale.webhook(&evaluation("c", "fraud", known));
            let verdict = tale.webhook(&with(evaluation("c", "fraud", new), json!({"n": 2})));
            let begins = new == "initiated" && known_rank == 2;
            let expected = if new_rank < known_rank && !begins {
                Stale
            } else {
                Applied
            };
            assert_eq!(verdict.disposition, expected, "{known}, then {new}");
        }
    }
}

#[test]
fn staleness_is_of_one_request_and_one_type() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "fraud", "completed"));
    for body in [
        run("c", "s", "fraud", "initiated"),
        run("c", "r", "document", "initiated"),
    ] {
        assert_eq!(tale.webhook(&body).disposition, Applied, "{body}");
    }
}

#[test]
fn tied_event_is_stale_by_its_request() {
    let mut tale = Tale::new();
    tale.webhook(&run("c", "r", "fraud", "in_progress"));
    let verdict = tale.webhook(&evaluation("c", "fraud", "initiated"));
    assert_eq!(
        (verdict.disposition, origin(&verdict), verdict.request),
        (Stale, API_BY_TIE, Some(1))
    );
}

#[test]
fn objects_without_customer_or_known_name_are_unrecognised_again_and_again() {
    for body in [
        json!({}),
        json!({"event": "flag", "flag": true}),
        json!({"event": "flag", "flag": true, "customerId": ""}),
        json!({"event": "novel", "customerId": "c"}),
        json!({"event": "novel", "customerId": "c", "requestId": "r"}),
        json!({"customerId": "c"}),
    ] {
        let mut tale = Tale::new();
        for _ in 0..2 {
            let verdict = tale.webhook(&body);
            assert_eq!(verdict.disposition, Unrecognised, "{body}");
            assert_eq!(verdict.duplicate_of, None, "{body}");
            assert_eq!(verdict.problems.len(), 1, "{body}");
        }
    }
}

#[test]
fn what_is_no_object_is_quarantined_and_says_why() {
    for (body, size, why) in [
        (&b"[]"[..], 2, "not an object"),
        (b"{", 1, "not JSON"),
        (b"", 0, "not JSON"),
        (b"\xff", 1, "not UTF-8"),
        (
            b"{\"event\":\"flag\",\"customerId\":\"c\"}",
            2_000_000,
            "too large",
        ),
    ] {
        let mut tale = Tale::new();
        for _ in 0..2 {
            let verdict = tale.bytes(Source::Webhook, body, size);
            assert_eq!(
                (verdict.disposition, origin(&verdict)),
                (Quarantined, DASHBOARD)
            );
            assert!(verdict.problems[0].contains(why), "{:?}", verdict.problems);
            assert_eq!((verdict.customer, verdict.duplicate_of), (None, None));
        }
        assert!(tale.world.customers.is_empty());
    }
}

//! Every interleaving of what a connection does and what its door judges. Each step is one atomic access, so trying all
//! orders of them tries all that two threads can do.

use super::*;

/// What the connection's own task does to the word.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    HeadBegins,
    Begin,
    BodyWaits,
    BodyComes,
    Finish,
}

/// What the door does: judge, then take by that judgement. Twice, for the second may come after the first failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    Judge,
    Take,
}

const CONNECTION: [Step; 10] = [
    Step::HeadBegins,
    Step::Begin,
    Step::BodyWaits,
    Step::BodyComes,
    Step::Finish,
    Step::HeadBegins,
    Step::Begin,
    Step::BodyWaits,
    Step::BodyComes,
    Step::Finish,
];
const DOOR: [Look; 4] = [Look::Judge, Look::Take, Look::Judge, Look::Take];

/// One run: for each place whether the door moves.
fn play(schedule: u32) -> (bool, bool) {
    let conn = Conn::new(Instant::now());
    let (mut own, mut looks) = (CONNECTION.iter(), DOOR.iter());
    let mut judged: Option<Wait> = None;
    let mut taken = false;
    let mut handling = false;
    let mut waits_for_body = false;
    let mut cut_short = false;
    // Times differ with each step, as far as the words are concerned.
    let mut ms = 1;
    for place in 0..CONNECTION.len() + DOOR.len() {
        ms += 1;
        if schedule & (1 << place) != 0 {
            match looks.next().expect("as many as bits are set") {
                Look::Judge => judged = conn.wait(),
                Look::Take => {
                    let took = judged.take().is_some_and(|wait| conn.take(&wait));
                    assert!(!(took && taken), "taken twice");
                    // Only a handler that waits for the client may lose its connection.
                    assert!(
                        !(took && handling && !waits_for_body),
                        "taken in a handler's hands"
                    );
                    taken |= took;
                }
            }
            continue;
        }
        match own.next().expect("as many as bits are not set") {
            Step::HeadBegins => {
                conn.shift(Phase::Head, ms, |phase| phase == Phase::Idle);
            }
            Step::Begin => {
                let begun = conn.begin();
                assert_eq!(
                    begun, !taken,
                    "a request begins just where nobody took the connection"
                );
                handling = begun;
            }
            Step::BodyWaits if handling => {
                waits_for_body = conn.shift(Phase::Body, ms, |phase| phase == Phase::Handling);
                assert!(waits_for_body, "nobody takes what is being handled");
            }
            Step::BodyComes if handling => {
                let served = conn.shift(Phase::Handling, 0, |phase| phase == Phase::Body);
                assert_eq!(
                    served, !taken,
                    "bytes go on just where nobody took the connection"
                );
                waits_for_body = false;
                cut_short |= !served;
                handling = served;
            }
            Step::Finish if handling => {
                conn.shift(Phase::Idle, ms, |phase| {
                    matches!(phase, Phase::Handling | Phase::Body)
                });
                handling = false;
            }
            _ => {}
        }
        assert_eq!(conn.is_gone(), taken);
    }
    assert_eq!(conn.is_gone(), taken, "gone is for ever");
    (taken, cut_short)
}

#[test]
fn in_every_interleaving_a_request_is_served_or_never_begun() {
    let places = CONNECTION.len() + DOOR.len();
    let schedules =
        (0_u32..1 << places).filter(|schedule| schedule.count_ones() as usize == DOOR.len());
    let (mut all, mut taken, mut cut_short) = (0, 0, 0);
    for schedule in schedules {
        let (was_taken, was_cut_short) = play(schedule);
        all += 1;
        taken += usize::from(was_taken);
        cut_short += usize::from(was_cut_short);
    }
    // 14 over 4; and both ends do happen.
    assert_eq!(all, 1001);
    assert!(taken > 0 && taken < all, "{taken} of {all}");
    assert!(
        cut_short > 0,
        "a handler that waits for its client is cut off in none"
    );
}

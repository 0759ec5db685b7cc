//! All three processes through a misbehaving Waldo: thousands of operations, drawn from a seed, and what must hold once
//! everything has come to rest.
//!
//! `SIMULATION_SEED=N` runs one seed; `SIMULATION_SEEDS=M` runs M of them, from `SIMULATION_SEED` (or 1) on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

#[path = "simulation/checks.rs"]
mod checks;
#[path = "simulation/drive.rs"]
mod drive;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/story.rs"]
mod story;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use common::place::poll;
use common::rig::{Rig, SOON};
use drive::Drive;
use story::Story;

/// What an ordinary run plays through.
const SEEDS: [u64; 3] = [1, 2, 3];
/// Operations of one seed.
const OPERATIONS: usize = 500;
/// Seeds side by side: they wait more than they work.
const AT_ONCE: usize = 4;
/// How to see a failure again.
const AGAIN: &str = "cargo test --test simulation -- --nocapture";
/// Rounds of asking Waldo until nothing differs. A round takes over what the one before left open.
const MAX_ROUNDS: usize = 6;
/// For registered requests to come due and be settled.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn after_any_trouble_the_daemon_and_waldo_agree() {
    let number = |name: &str| {
        let text = std::env::var_os(name)?;
        let number = text.to_str().and_then(|text| text.parse::<u64>().ok());
        Some(number.unwrap_or_else(|| panic!("{name}: expected a number")))
    };
    let seeds: Vec<u64> = match (number("SIMULATION_SEED"), number("SIMULATION_SEEDS")) {
        (None, None) => SEEDS.to_vec(),
        (first, many) => {
            let first = first.unwrap_or(1);
            (first..first + many.unwrap_or(1)).collect()
        }
    };
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The others go on: how many fail says much of why.
                    if catch_unwind(|| play(seed)).is_err() {
                        println!("seed {seed} failed; again: SIMULATION_SEED={seed} {AGAIN}");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "seeds {failed:?} failed; again: SIMULATION_SEED={} {AGAIN}",
        failed[0]
    );
}

fn play(seed: u64) {
    let began = Instant::now();
    let mut rng = fastrand::Rng::with_seed(seed);
    // Where requests come due in the middle of it, the reconciler asks while webhooks still come.
    let deadline = if seed.is_multiple_of(2) { "1h" } else { "1s" };
    let mischief = mischief(&mut rng);
    let arguments: Vec<&str> = mischief.iter().map(String::as_str).collect();
    let number = seed.to_string();
    let rig = Rig::start(deadline, &[&["--seed", &number][..], &arguments].concat());
    let mut drive = Drive::new(&rig, rng);
    for _ in 0..OPERATIONS {
        drive.operation();
    }
    let done = drive.done;
    rig.idle();
    all_shown(&rig);
    let rounds = come_to_agree(&rig);
    let story = Story::read(&rig);
    let told = checks::all(&rig, &story);
    println!(
        "seed {seed} ({deadline}, {}): {done}; {rounds} rounds; {told}; {:.1} s",
        mischief.join(" "),
        began.elapsed().as_secs_f32()
    );
}

/// How badly this one behaves.
fn mischief(rng: &mut fastrand::Rng) -> Vec<String> {
    let mut arguments = Vec::new();
    for (name, most) in [
        ("--duplicates", 0.3),
        ("--reorder", 0.2),
        ("--lose", 0.4),
        ("--loops", 0.3),
        ("--unknown", 0.1),
        ("--changed-shapes", 0.4),
    ] {
        arguments.extend([name.to_owned(), format!("{:.2}", rng.f64() * most)]);
    }
    let pace = rng.u64(0..20);
    let delay = rng.u64(0..60);
    let burst = *rng.choice(&[0, 0, 5, 20]).unwrap();
    for (name, value) in [
        ("--pace", format!("{pace}ms")),
        ("--delay", format!("{delay}ms")),
        ("--burst", format!("{burst}")),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    arguments
}

/// Waits until readers see all that was kept.
fn all_shown(rig: &Rig) {
    poll("the tables to reach the log", SOON, || {
        (rig.stats()["lag"] == 0).then_some(())
    });
}

/// Asks Waldo until nothing differs and no request is open; how many rounds it took.
#[track_caller]
fn come_to_agree(rig: &Rig) -> usize {
    let end = Instant::now() + SETTLED_WITHIN;
    let mut rounds = 0;
    let mut quiet = false;
    while !quiet {
        // A request that is not overdue yet is asked about in a later round, which does not count.
        let open = open(rig);
        if open.iter().all(|one| one["overdue"] == true) {
            rounds += 1;
        }
        assert!(
            rounds <= MAX_ROUNDS && Instant::now() < end,
            "still open after {rounds} rounds: {open:#?}"
        );
        let mut drifted = 0;
        for what in ["--all", "--overdue"] {
            let (run, standing) = rig.resync(&[what]);
            run.assert_code(0);
            assert_eq!(standing["failed"], 0, "{what}: {standing}");
            drifted += standing["drifted"].as_u64().unwrap();
        }
        all_shown(rig);
        quiet = drifted == 0 && self::open(rig).is_empty();
    }
    rounds
}

/// The requests that are not settled.
fn open(rig: &Rig) -> Vec<Value> {
    ["pending", "in_progress", "expired"]
        .iter()
        .flat_map(|state| rig.daemon.all(&format!("/v1/requests?state={state}"), 500))
        .collect()
}

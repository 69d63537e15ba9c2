//! Senders on one bottleneck: a queue of bytes, a rate, a delay and loss at random, on a clock of its own.

mod bottleneck;

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::ControllerFactory;

use self::bottleneck::{Kind, Path, Report, run};
use super::{DelayTargetFactory, admit_probe};

const MBIT: f64 = 1e6 / 8.0;

const PATH: Path = Path {
    rate: 20.0 * MBIT,
    rtt: Duration::from_millis(50),
    later_rtt: None,
    buffer: Duration::from_millis(50),
    loss: 0.0,
    bursts: None,
};

/// Runs one sender, and looks at it from 10 s on.
fn alone(path: Path) -> Report {
    run(path, &[(Kind::Delay, 0)], 40, 10, 1)
}

#[track_caller]
fn check(report: &Report, used_min: f64, queueing_max: Duration) {
    assert!(report.used() >= used_min, "{report:?}");
    assert!(report.queueing() <= queueing_max, "{report:?}");
}

#[test]
fn a_sender_fills_its_path_with_a_short_queue() {
    check(&alone(PATH), 0.997, Duration::from_millis(12));
    check(
        &alone(Path { rate: 100.0 * MBIT, rtt: Duration::from_millis(20), ..PATH }),
        0.997,
        Duration::from_millis(12),
    );
}

#[test]
fn a_look_for_the_base_hardly_idles_a_path_that_is_known() {
    for (mbit, rtt_ms) in [(5.0, 50), (20.0, 50), (100.0, 20)] {
        let path = Path { rate: mbit * MBIT, rtt: Duration::from_millis(rtt_ms), ..PATH };
        check(&run(path, &[(Kind::Delay, 0)], 60, 15, 1), 0.998, Duration::from_millis(12));
    }
}

#[test]
fn packets_lost_at_random_are_no_sign_of_congestion() {
    for (loss, used_min) in [(0.01, 0.97), (0.05, 0.92)] {
        check(&alone(Path { loss, ..PATH }), used_min, Duration::from_millis(12));
    }
}

#[test]
fn packets_lost_in_bursts_are_no_sign_of_congestion() {
    let bursts = Some((Duration::from_millis(900), Duration::from_millis(100)));
    for seed in 1..=5 {
        for (mbit, rtt_ms) in [(20.0, 50), (5.0, 120)] {
            let path =
                Path { rate: mbit * MBIT, rtt: Duration::from_millis(rtt_ms), bursts, loss: 0.0, ..PATH };
            check(&run(path, &[(Kind::Delay, 0)], 60, 10, seed), 0.9, Duration::from_millis(14));
        }
    }
}

#[test]
fn a_buffer_shorter_than_the_target_is_not_kept_overflowing() {
    for (senders, dropped_max) in [(1, 0.12), (4, 0.25)] {
        let path = Path { buffer: Duration::from_millis(5), ..PATH };
        let report = run(path, &[(Kind::Delay, 0); 4][..senders], 60, 5, 1);
        assert!(report.used() >= 0.95 && report.fairness() >= 0.95, "{senders} senders: {report:?}");
        assert!(report.dropped <= dropped_max, "{senders} senders: {report:?}");
    }
}

#[test]
fn a_slow_path_is_used_although_one_packet_takes_longer_than_the_target() {
    let slow = Path { rate: MBIT, buffer: Duration::from_millis(200), ..PATH };
    check(&alone(slow), 0.95, Duration::from_millis(40));
}

#[test]
fn a_path_that_becomes_longer_is_found_out() {
    // Before the base was ever looked for, and when it was found before.
    for later_s in [5, 25] {
        let later_rtt = Some((Duration::from_secs(later_s), Duration::from_millis(100)));
        let path = Path { later_rtt, buffer: Duration::from_millis(100), ..PATH };
        let report = run(path, &[(Kind::Delay, 0)], later_s + 55, later_s + 40, 1);
        check(&report, 0.95, Duration::from_millis(12));
    }
}

#[test]
fn a_path_that_becomes_shorter_is_found_out() {
    let later_rtt = Some((Duration::from_secs(5), Duration::from_millis(30)));
    let report =
        run(Path { later_rtt, rtt: Duration::from_millis(100), ..PATH }, &[(Kind::Delay, 0)], 40, 10, 1);
    check(&report, 0.95, Duration::from_millis(12));
}

#[test]
fn senders_of_this_kind_share_equally_whenever_they_come() {
    for (senders, apart_s) in [(2, 0), (2, 2), (4, 0), (4, 2), (10, 0)] {
        for loss in [0.0, 0.02] {
            let all: Vec<_> = (0..senders).map(|index| (Kind::Delay, index * apart_s)).collect();
            let report = run(Path { loss, ..PATH }, &all, 80, 20, 1);
            assert!(
                report.fairness() >= 0.95,
                "{senders} senders, {apart_s} s apart, loss {loss}: {report:?}"
            );
            check(&report, 0.95, Duration::from_millis(25));
        }
    }
}

#[test]
fn a_sender_holds_its_share_beside_one_that_fills_the_buffer() {
    for buffer_ms in [50, 200] {
        let path = Path { buffer: Duration::from_millis(buffer_ms), ..PATH };
        for seed in 1..=3 {
            let report = run(path, &[(Kind::Delay, 0), (Kind::Cubic, 1)], 60, 0, seed);
            for share in &report.shares {
                assert!(*share >= 0.5 / 3.0 * 0.9, "buffer {buffer_ms} ms, seed {seed}: {report:?}");
            }
            assert!(report.used() >= 0.9, "{report:?}");
        }
    }
}

#[test]
fn once_it_is_alone_again_the_queue_is_short_again() {
    let report = run(PATH, &[(Kind::Delay, 0), (Kind::CubicUntil(15), 5)], 60, 35, 1);
    check(&report, 0.95, Duration::from_millis(12));
}

#[test]
fn a_sender_with_little_to_send_neither_grows_nor_shrinks_its_window() {
    let report = run(Path { loss: 0.05, ..PATH }, &[(Kind::DelayLimited(50), 0)], 30, 10, 1);
    assert_eq!(report.windows.len(), 1, "the window has not moved since 10 s: {report:?}");
}

#[test]
fn a_probe_finds_room_for_one_packet_until_something_is_acknowledged() {
    let (now, mtu) = (Instant::now(), 1200);
    let factory = Arc::new(DelayTargetFactory { queueing: Duration::from_millis(10) });
    let mut controller = factory.build(now, mtu);
    let (window, mtu) = (controller.window(), u64::from(mtu));
    controller.on_sent(now, window + mtu, 1);
    for number in 2..5 {
        admit_probe(controller.clone_box());
        let in_flight = window + mtu + (number - 2) * 100;
        assert_eq!(controller.window(), in_flight + mtu + 1, "a packet fits, a second one does not");
        controller.on_sent(now, 100, number);
    }
    controller.on_end_acks(now, 300, false, Some(4));
    assert_eq!(controller.window(), window);
}

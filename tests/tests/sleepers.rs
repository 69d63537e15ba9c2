//! Two thousand commands that sleep on one link, and an echo that goes past them.

use std::time::{Duration, Instant};

use runnel::codec::Class;
use runnel::{Progress, SubmitOptions};
use runnel_tests::commands::{Echo, Hold};
use runnel_tests::follow::{outcome, started};
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::report;
use runnel_tests::route::clean;

#[tokio::test]
async fn an_echo_goes_past_two_thousand_sleepers_on_the_same_link() {
    let pair = Pair::start(PairConfig { path: clean(DELAY), ..PairConfig::default() }, 1).await;
    let mut sleepers = Vec::new();
    for _ in 0..SLEEPERS {
        sleepers.push(pair.submit::<Hold>((), SubmitOptions::default()).await);
    }
    for sleeper in &mut sleepers {
        started(sleeper).await;
    }
    assert_eq!(pair.tally.all().len(), SLEEPERS);

    let mut echoes = Vec::new();
    for class in Class::ALL {
        let sent_at = Instant::now();
        let echo = pair.submit::<Echo>(9, SubmitOptions { class, ..SubmitOptions::default() }).await;
        assert_eq!(outcome(echo).await, Ok(9));
        echoes.push(sent_at.elapsed());
    }
    // Every echo has ended and no sleeper can have: the gate is closed.
    let bound = 4 * DELAY + Duration::from_millis(50);
    let within = echoes.iter().filter(|took| **took <= bound).count();
    let longest = echoes.iter().max().expect("five echoes");
    report(&format!(
        "echo past {SLEEPERS} sleepers: at most {longest:.1?}; {within} of 5 within 2 RTT + 50 ms = {bound:?}"
    ));

    pair.gate.open();
    for mut sleeper in sleepers {
        assert!(!matches!(sleeper.progress().await, Some(Ok(Progress::Started))), "it starts once");
        assert_eq!(outcome(sleeper).await, Ok(()));
    }
    assert!(pair.tally.all().values().all(|runs| *runs == 1));
    pair.stop().await;
}

const SLEEPERS: usize = 2000;

/// One way; the round trip is twice that.
const DELAY: Duration = Duration::from_millis(20);

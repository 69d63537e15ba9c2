//! How soon commands are through again after a fault, on many seeds and a virtual clock.
//!
//! Usage: `recovery [--seeds N] [--only TEXT]`
//!
//! Prints a Markdown table: a row for each fault and what was going on when it came. Ends with 1 if a bound was missed.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use runnel::Config;
use runnel_tests::recovery::{Case, Fault, Load, PATH, Recovered, measure};

/// What is asked for.
struct Arguments {
    seeds: u64,
    only: String,
}

/// What shall hold on every seed.
struct Aim {
    name: &'static str,
    fault: Fault,
    load: Load,
    /// Without one, it is only shown.
    bound: Option<Duration>,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        say("usage: recovery [--seeds N] [--only TEXT]");
        return ExitCode::from(2);
    };
    say(
        "| fault, load | bound ms | median ms | max ms | on seed | slowest command ms | commands | failed | doubled |",
    );
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut is_kept = true;
    for aim in aims().iter().filter(|aim| aim.name.contains(&arguments.only)) {
        let seeds: Vec<_> = (1..=arguments.seeds).map(|seed| (aim.measure(seed), seed)).collect();
        is_kept &= seeds.iter().all(|(recovered, _)| aim.is_kept(recovered));
        say(&format!("| {} | {} |", aim.name, row(aim.bound, seeds)));
    }
    if is_kept {
        return ExitCode::SUCCESS;
    }
    say("\nA bound was missed.");
    ExitCode::FAILURE
}

/// The aims of the project, on its path of 50 ms and 20 Mbit/s.
fn aims() -> Vec<Aim> {
    let ms = Duration::from_millis;
    let blackout = Fault::Blackout(Duration::from_secs(10));
    let idle = Config::default().transport.keep_alive_interval + PATH.delay * 2;
    // After a rebind the worker's next repeat tells the controller, after about a round trip and a half; then the next command
    // takes one more, so that commands which come seldom cannot be through as soon.
    let (dense, sparse) = (ms(10), ms(50));
    let aim = |name, fault, load, bound| Aim { name, fault, load, bound };
    vec![
        aim("10 s dark, a command each 10 ms", blackout, Load::Flowing(dense), Some(ms(500))),
        aim("10 s dark, a command each 50 ms", blackout, Load::Flowing(sparse), Some(ms(500))),
        aim("10 s dark, a command each 50 ms, bulk", blackout, Load::Saturated(sparse), Some(ms(500))),
        aim("rebind, a command each 10 ms", Fault::Rebind, Load::Flowing(dense), Some(ms(150))),
        aim("rebind, a command each 50 ms", Fault::Rebind, Load::Flowing(sparse), None),
        aim("rebind, a command each 10 ms, bulk", Fault::Rebind, Load::Saturated(dense), None),
        aim("rebind, idle", Fault::Rebind, Load::Idle, Some(idle)),
    ]
}

fn row(bound: Option<Duration>, mut seeds: Vec<(Recovered, u64)>) -> String {
    let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1000.0);
    let first = |recovered: &Recovered| recovered.first.map_or("never".to_owned(), ms);
    // What never came is the longest.
    seeds.sort_by_key(|(recovered, _)| (recovered.first.is_none(), recovered.first));
    let sum =
        |count: fn(&Recovered) -> usize| seeds.iter().map(|(recovered, _)| count(recovered)).sum::<usize>();
    let (Some((median, _)), Some((longest, seed))) = (seeds.get(seeds.len() / 2), seeds.last()) else {
        return "no seeds".to_owned();
    };
    format!(
        "{} | {} | {} | {seed} | {} | {} | {} | {}",
        bound.map_or("".to_owned(), ms),
        first(median),
        first(longest),
        ms(seeds.iter().map(|(recovered, _)| recovered.longest).max().unwrap_or_default()),
        sum(|recovered| recovered.commands),
        sum(|recovered| recovered.failed),
        sum(|recovered| recovered.doubled),
    )
}

impl Aim {
    fn measure(&self, seed: u64) -> Recovered {
        measure(&Case { fault: self.fault, load: self.load, seed, config: Config::default() })
    }

    fn is_kept(&self, recovered: &Recovered) -> bool {
        self.bound.is_none_or(|bound| recovered.first.is_some_and(|first| first <= bound))
            && recovered.failed == 0
            && recovered.doubled == 0
    }
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self { seeds: 30, only: String::new() };
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--seeds" => arguments.seeds = value.parse().ok()?,
                "--only" => arguments.only = value,
                _ => return None,
            }
        }
        Some(arguments)
    }
}

fn say(line: &str) {
    // A reader that has gone away wants no more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

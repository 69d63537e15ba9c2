//! The hunt: each bug in turn, seed after seed, until an invariant is named that it breaks.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use runnel_queue::PlantedBug;
use runnel_tests::sim::{Detail, Invariant, Options, Violation, run};

use super::{HELP, say};

/// A bug, and what it breaks.
struct Quarry {
    bug: PlantedBug,
    /// Each of these makes sense as what is seen of it.
    breaks: &'static [Invariant],
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    bug: Option<String>,
    seeds: u64,
    first: u64,
    minutes: u64,
    is_json: bool,
}

/// What came of a seed.
enum Seen {
    /// It is green without faults, and so it is with them.
    Nothing,
    /// It is not green without faults.
    Obvious(Violation),
    /// With faults it names something that the bug breaks, or other things only.
    Violations(Vec<Violation>),
}

/// What came of a bug.
enum Catch {
    Found { seed: u64, named: Violation },
    Obvious { seed: u64, named: Violation },
    Missed { others: BTreeSet<Invariant> },
}

/// Hunts the bugs that are asked for. Fails if one is not found, or shows without faults.
pub(super) fn hunt(words: Vec<OsString>) -> ExitCode {
    let words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(fault) => {
            say(&format!("{fault}\n\n{HELP}"));
            return ExitCode::from(2);
        }
    };
    let quarries: Vec<_> = QUARRIES.iter().filter(|quarry| arguments.wants(quarry)).collect();
    if quarries.is_empty() {
        let names: Vec<_> = QUARRIES.iter().map(Quarry::name).collect();
        say(&format!("there is no such bug; there are {}", names.join(", ")));
        return ExitCode::from(2);
    }
    // Nodes with bugs may panic; that is a violation like others.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = 0;
    for quarry in &quarries {
        let begun_at = Instant::now();
        let catch = quarry.hunt(&arguments);
        missed += usize::from(!matches!(catch, Catch::Found { .. }));
        say(&arguments.line(quarry, &catch, begun_at.elapsed()));
    }
    if !arguments.is_json {
        say(&format!("{} of {} planted bugs found", quarries.len() - missed, quarries.len()));
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { bug: None, seeds: 20, first: 1, minutes: 10, is_json: false };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
            match word.as_str() {
                "--bug" => arguments.bug = Some(value()?),
                "--seeds" => arguments.seeds = number(value()?)?,
                "--seed" => arguments.first = number(value()?)?,
                "--minutes" => arguments.minutes = number(value()?)?,
                "--json" => arguments.is_json = true,
                _ => return Err(format!("there is no argument {word}")),
            }
        }
        Ok(arguments)
    }

    fn wants(&self, quarry: &Quarry) -> bool {
        self.bug.as_ref().is_none_or(|name| *name == quarry.name())
    }

    fn faults_for(&self) -> Duration {
        Duration::from_secs(60 * self.minutes)
    }

    fn line(&self, quarry: &Quarry, catch: &Catch, took: Duration) -> String {
        let (name, took) = (quarry.name(), took.as_secs_f64());
        let seeds = match catch {
            Catch::Found { seed, .. } | Catch::Obvious { seed, .. } => seed + 1 - self.first,
            Catch::Missed { .. } => self.seeds,
        };
        if self.is_json {
            let (result, invariant) = match catch {
                Catch::Found { named, .. } => ("found", named.invariant.to_string()),
                Catch::Obvious { named, .. } => ("shows without faults", named.invariant.to_string()),
                Catch::Missed { .. } => ("missed", String::new()),
            };
            return format!(
                r#"{{"bug":"{name}","result":"{result}","seeds":{seeds},"invariant":"{invariant}","seconds":{took:.1}}}"#
            );
        }
        let what = match catch {
            Catch::Found { named, .. } => {
                format!("{}: {}", named.invariant, named.text.split_at(named.text.floor_char_boundary(60)).0)
            }
            Catch::Obvious { seed, named } => format!("NOT HIDDEN: seed {seed} without faults: {named}"),
            Catch::Missed { others } if others.is_empty() => "NOT FOUND".to_owned(),
            Catch::Missed { others } => format!("NOT FOUND, but {others:?}"),
        };
        format!("{name:<24} {seeds:>3} seeds {took:>6.1} s  {what}")
    }
}

impl Quarry {
    const fn new(bug: PlantedBug, breaks: &'static [Invariant]) -> Self {
        Self { bug, breaks }
    }

    /// Its name as it is written on a command line.
    fn name(&self) -> String {
        let mut name = String::new();
        for letter in format!("{:?}", self.bug).chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }

    /// Runs seed after seed, as many at once as there are processors, and says what came of the first that tells.
    fn hunt(&self, arguments: &Arguments) -> Catch {
        let mut others = BTreeSet::new();
        let seeds: Vec<_> = (arguments.first..arguments.first + arguments.seeds).collect();
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        for seeds in seeds.chunks(at_once) {
            PlantedBug::plant(Some(self.bug));
            let seen: Vec<_> = thread::scope(|scope| {
                let runs: Vec<_> =
                    seeds.iter().map(|seed| scope.spawn(|| look(*seed, arguments.faults_for()))).collect();
                runs.into_iter().map(|run| run.join().expect("worlds do not panic")).collect()
            });
            PlantedBug::plant(None);
            for (seed, seen) in seeds.iter().copied().zip(seen) {
                match seen {
                    Seen::Nothing => {}
                    Seen::Obvious(named) => return Catch::Obvious { seed, named },
                    Seen::Violations(violations) => {
                        let named = violations.iter().find(|it| self.breaks.contains(&it.invariant));
                        match named {
                            Some(named)
                                if is_green(Options::draw(seed).sharpened(), arguments.faults_for()) =>
                            {
                                return Catch::Found { seed, named: named.clone() };
                            }
                            _ => others.extend(violations.iter().map(|it| it.invariant)),
                        }
                    }
                }
            }
        }
        Catch::Missed { others }
    }
}

/// Runs a seed without faults, and then with them.
fn look(seed: u64, faults_for: Duration) -> Seen {
    let options = Options::draw(seed).sharpened();
    let calm = run(options.clone().without_faults(), faults_for, Detail::None);
    if let Some(violation) = calm.violations.into_iter().next() {
        return Seen::Obvious(violation);
    }
    let violations = run(options, faults_for, Detail::None).violations;
    if violations.is_empty() { Seen::Nothing } else { Seen::Violations(violations) }
}

fn is_green(options: Options, faults_for: Duration) -> bool {
    run(options, faults_for, Detail::None).violations.is_empty()
}

/// All of them. A bug that makes a command run again also breaks what follows from it; only what says so by itself is
/// named here.
const QUARRIES: &[Quarry] = &[
    Quarry::new(PlantedBug::NoDeduplication, &[Invariant::NothingTwice]),
    Quarry::new(PlantedBug::StoredBeforeSync, &[Invariant::NothingLost]),
    Quarry::new(PlantedBug::StartBeforeSync, &[Invariant::NothingTwice, Invariant::DurableFirst]),
    Quarry::new(PlantedBug::OutcomeBeforeJournal, &[Invariant::DurableFirst]),
    Quarry::new(PlantedBug::SettleBeforeDurable, &[Invariant::AllEnd]),
    Quarry::new(PlantedBug::NoSenderFence, &[Invariant::NoGhosts]),
    Quarry::new(PlantedBug::NoReceiverFence, &[Invariant::NothingTwice, Invariant::NoGhosts]),
    Quarry::new(PlantedBug::AttachWithoutDetach, &[Invariant::AllEnd]),
    Quarry::new(PlantedBug::CancelWithoutTombstone, &[Invariant::AllEnd]),
    Quarry::new(PlantedBug::SequenceRestarted, &[Invariant::NothingTwice]),
    Quarry::new(PlantedBug::UpdateOffsetOff, &[Invariant::SameBytes]),
    Quarry::new(PlantedBug::OutcomeForgotten, &[Invariant::NothingLost]),
    Quarry::new(PlantedBug::PositionBeforeStored, &[Invariant::SoonBack]),
];

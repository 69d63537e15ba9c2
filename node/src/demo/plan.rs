//! What the demo's commands are: pure, from numbers alone.

use std::fmt::Write;
use std::time::Duration;

use runnel::codec::Class;

use super::Sabotage;

/// One command, before it is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) class: Class,
    /// Index of the worker.
    pub(super) worker: usize,
    pub(super) task: Task,
    pub(super) sabotage: Option<Sabotage>,
}

/// What a command does after it has written down that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// It writes its output and exits with this code.
    Exit(i32),
    /// It runs longer than the longest blackout, then writes its output.
    Outlast,
    /// It waits until it is cancelled.
    AwaitCancel,
    /// It waits until its deadline passes.
    AwaitDeadline,
}

impl Planned {
    /// Plans all commands: of a hundred, five exit with a code other than 0, two are cancelled while they run, two run
    /// into their deadline, and one outlasts the blackout. Classes and workers take turns.
    pub(super) fn all(count: u32, workers: usize, sabotage: Option<Sabotage>) -> Vec<Self> {
        let plan = |number: u32| Self {
            class: Class::ALL[number as usize % Class::ALL.len()],
            worker: number as usize % workers,
            task: match number % 100 {
                13 | 63 => Task::AwaitCancel,
                31 | 81 => Task::AwaitDeadline,
                57 => Task::Outlast,
                rest if rest % 20 == 7 => Task::Exit(1 + i32::try_from(number % 100).unwrap_or(0)),
                _ => Task::Exit(0),
            },
            sabotage: sabotage.filter(|_| number == count / 2),
        };
        (0..count).map(plan).collect()
    }

    /// Returns the shell script: it appends its id and a nonce to the tally, then does its task.
    pub(super) fn script(&self, outlast: Duration) -> String {
        let append =
            "read nonce < /proc/sys/kernel/random/uuid; echo \"$RUNNEL_ID $nonce\" >> \"$RUNNEL_TALLY\"";
        let append = match self.sabotage {
            None => append.to_owned(),
            Some(Sabotage::Lose) => ":".to_owned(),
            Some(Sabotage::Double) => format!("{append}; {append}"),
        };
        let print = format!("i=1; while [ $i -le {LINES} ]; do echo \"$i $RUNNEL_ID\"; i=$((i+1)); done");
        match self.task {
            Task::Exit(code) => format!("{append}; {print}; exit {code}"),
            Task::Outlast => format!("{append}; sleep {}; {print}", outlast.as_secs_f64()),
            Task::AwaitCancel | Task::AwaitDeadline => format!("{append}; sleep 600"),
        }
    }
}

impl Task {
    /// Returns whether it ends as soon as it can.
    pub(super) fn is_quick(self) -> bool {
        matches!(self, Self::Exit(_))
    }

    /// Returns the exit code that it should end with, if it should end by itself.
    pub(super) fn exit_code(self) -> Option<i32> {
        match self {
            Self::Exit(code) => Some(code),
            Self::Outlast => Some(0),
            Self::AwaitCancel | Self::AwaitDeadline => None,
        }
    }
}

/// Returns the output that a command which ends by itself must have: lines made of its id.
pub(super) fn expected_output(id: &str) -> String {
    let mut text = String::new();
    for line in 1..=LINES {
        writeln!(text, "{line} {id}").expect("a String takes everything");
    }
    text
}

/// Lines that each command writes: some 10 KiB.
const LINES: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_demo_has_enough_of_everything() {
        let all = Planned::all(super::super::COMMANDS_DEFAULT, 3, None);
        let count = |task: &dyn Fn(Task) -> bool| all.iter().filter(|planned| task(planned.task)).count();
        assert!(all.len() >= 500);
        for class in Class::ALL {
            assert!(all.iter().filter(|planned| planned.class == class).count() >= 50, "{class}");
        }
        assert!(count(&|task| matches!(task, Task::Exit(1..))) >= 20);
        assert!(count(&|task| task == Task::AwaitCancel) >= 10);
        assert!(count(&|task| task == Task::AwaitDeadline) >= 10);
        assert!(count(&|task| task == Task::Outlast) >= 5);
    }

    #[test]
    fn sabotage_strikes_one_command() {
        for sabotage in [Sabotage::Lose, Sabotage::Double] {
            let all = Planned::all(20, 3, Some(sabotage));
            let struck: Vec<_> = all.iter().filter(|planned| planned.sabotage.is_some()).collect();
            assert_eq!(struck.len(), 1);
            assert_eq!(struck[0].task, Task::Exit(0), "one that would end well");
        }
    }
}

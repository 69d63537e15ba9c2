//! Signals that end a conversation, and those that must not.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Failure};

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// Ctrl-C.
    Interrupt,
    /// The terminal has gone.
    HangUp,
    /// Somebody wants us to stop.
    Terminate,
}

/// Waits for signals, except those that whoever started us made us ignore (`nohup`, `&` in a script).
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    /// Catches signals from now on: before anything is submitted, so that none hits us between submitting and telling.
    pub(super) fn catch() -> std::io::Result<Self> {
        let ignored = ignored_signals();
        let catch = |kind: SignalKind| {
            let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
            if is_ignored { Ok(None) } else { signal(kind).map(Some) }
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: catch(SignalKind::hangup())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Does what comes before there is a command to watch; a signal breaks it off.
    pub(super) async fn unless_caught<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            caught = self.next() => {
                let text = "left before the node answered; runnel ps shows whether it has the command";
                Err(Failure::new(caught.exit(), text))
            }
        }
    }

    /// Waits for the next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Caught {
        tokio::select! {
            () = wait(&mut self.interrupt) => Caught::Interrupt,
            () = wait(&mut self.hang_up) => Caught::HangUp,
            () = wait(&mut self.terminate) => Caught::Terminate,
        }
    }
}

impl Caught {
    /// Returns how the program ends if it leaves because of this.
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::HangUp => Exit::HungUp,
            Self::Terminate => Exit::Terminated,
        }
    }
}

async fn wait(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Returns the signals that this process ignores, as a mask: signal 1 is bit 0. Without /proc: none.
fn ignored_signals() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| parse_ignored(&status))
}

fn parse_ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_kernels_list() {
        let status = "Name:\trunnel\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000003\nSigCgt:\t0\n";
        assert_eq!(parse_ignored(status), 0b11, "hang-up and interrupt");
        assert_eq!(parse_ignored("Name:\trunnel\n"), 0);
    }
}

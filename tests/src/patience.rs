//! The longest wait for anything in a test. It decides nothing: a test that reaches it has failed already.

use std::io::Write;
use std::time::Duration;

use tokio::time::timeout;

/// Waits for `event` and returns what comes of it.
///
/// # Panics
///
/// When nothing has come after [`PATIENCE`].
///
/// # Cancel safety
///
/// That of `event`.
pub async fn patient<F: Future>(event: &str, future: F) -> F::Output {
    match timeout(PATIENCE, Box::pin(future)).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {event}"),
    }
}

/// Writes a measured figure to standard output, past the test runner's capture: figures inform, they never decide.
///
/// # Panics
///
/// When standard output is closed.
pub fn report(figure: &str) {
    writeln!(std::io::stdout().lock(), "    {figure}").expect("the runner reads standard output");
}

/// Longer than a blackout, the silence after it and a slow machine together.
pub const PATIENCE: Duration = Duration::from_secs(100);

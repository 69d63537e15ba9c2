//! How exact emulated links are: round trips of single datagrams, and what one TCP connection of the kernel gets.
//!
//! Usage: `link [--links N] [--seconds S]`
//!
//! Runs so many links of 20 Mbit/s, 50 ms and a buffer of 50 ms at once, on which the machine's load shows: each row is
//! the mean over them, or the worst of them where that is said. Needs Linux and root; without root it says so and ends well.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    check::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    // Emulated links are made of Linux's network namespaces.
    runnel_benches::needs_linux("link")
}

#[cfg(target_os = "linux")]
mod check {
    use std::io::{self, Write as _};
    use std::net::UdpSocket;
    use std::num::NonZeroU64;
    use std::process::ExitCode;
    use std::time::{Duration, Instant};

    use runnel_benches::emulated::{Link, LinkConfig, LinkError, TcpFlow};

    /// What is asked for.
    struct Arguments {
        links: usize,
        seconds: u64,
    }

    pub(super) fn main() -> ExitCode {
        let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
            say("usage: link [--links N] [--seconds S]");
            return ExitCode::from(2);
        };
        let config = LinkConfig::symmetric(RATE, RTT, RTT);
        let started: Result<Vec<_>, _> = (0..arguments.links).map(|_| Link::start(&config)).collect();
        let links = match started {
            Ok(links) => links,
            Err(error @ LinkError::Unavailable { .. }) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                say(&format!("skipped: {error}: {}", cause.unwrap_or_default()));
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                say(&error.to_string());
                return ExitCode::FAILURE;
            }
        };
        match report(&links, Duration::from_secs(arguments.seconds)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("a socket failed: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn report(links: &[Link], time: Duration) -> io::Result<()> {
        say("| what | expected | measured |");
        say("| --- | --- | --- |");
        let times = round_trips(&links[0])?;
        say(&format!("| round trip, p50 ms | {:.2} | {:.2} |", ms(RTT), ms(times[times.len() / 2])));
        say(&format!("| round trip, p99 ms | {:.2} | {:.2} |", ms(RTT), ms(times[times.len() * 99 / 100])));
        for control in ["cubic", "bbr"] {
            say(&format!(
                "| TCP {control}, payload, of the link | > 95 % | {:.1} % |",
                goodput(links, control, time)?
            ));
        }
        let traffic = links.iter().map(|link| link.traffic().up);
        let (mean, longest) = traffic.fold((Duration::ZERO, Duration::ZERO), |(mean, longest), traffic| {
            (
                mean + traffic.lateness_mean() / links.len().try_into().unwrap_or(1),
                longest.max(traffic.lateness_max),
            )
        });
        say(&format!("| the relay's own lateness, mean ms | | {:.3} |", ms(mean)));
        say(&format!("| the relay's own lateness, worst ms | | {:.3} |", ms(longest)));
        Ok(())
    }

    /// Sends small datagrams there and back, one after the other, and returns how long they took, in order.
    fn round_trips(link: &Link) -> io::Result<Vec<Duration>> {
        let (left, right) = (link.left().clone(), link.right().clone());
        let there = right.run(|| UdpSocket::bind((right.address(), 0)))?;
        let here = left.run(|| UdpSocket::bind((left.address(), 0)))?;
        here.connect(there.local_addr()?)?;
        there.connect(here.local_addr()?)?;
        let mut times = Vec::new();
        std::thread::scope(|scope| {
            let echo = scope.spawn(|| {
                let mut buffer = [0; 8];
                (0..ROUND_TRIPS).try_for_each(|_| there.recv(&mut buffer).and(there.send(&buffer)).map(drop))
            });
            let mut buffer = [0; 8];
            for _ in 0..ROUND_TRIPS {
                let sent_at = Instant::now();
                here.send(&buffer)?;
                here.recv(&mut buffer)?;
                times.push(sent_at.elapsed());
            }
            echo.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        times.sort_unstable();
        Ok(times)
    }

    /// Returns which part of the links' rate their TCP connections got, in percent, after a while to find it.
    fn goodput(links: &[Link], control: &str, time: Duration) -> io::Result<f64> {
        let flows: Vec<_> =
            links.iter().map(|link| TcpFlow::start(link, control)).collect::<Result<_, _>>()?;
        let received = || flows.iter().map(TcpFlow::received).sum::<u64>();
        std::thread::sleep(WARM_UP);
        let (before, began_at) = (received(), Instant::now());
        std::thread::sleep(time);
        let bits = (received() - before) as f64 * 8.0;
        Ok(bits / began_at.elapsed().as_secs_f64() / (RATE.get() as f64 * links.len() as f64) * 100.0)
    }

    impl Arguments {
        fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
            let mut arguments = Self { links: 1, seconds: 10 };
            while let Some(word) = words.next() {
                let value = words.next()?;
                match word.as_str() {
                    "--links" => arguments.links = value.parse().ok().filter(|links| *links > 0)?,
                    "--seconds" => arguments.seconds = value.parse().ok()?,
                    _ => return None,
                }
            }
            Some(arguments)
        }
    }

    fn ms(time: Duration) -> f64 {
        time.as_secs_f64() * 1000.0
    }

    fn say(line: &str) {
        // A reader that has gone away wants no more.
        let _ = writeln!(io::stdout(), "{line}");
    }

    const RATE: NonZeroU64 = NonZeroU64::new(20_000_000).expect("20,000,000 is not 0");

    const RTT: Duration = Duration::from_millis(50);

    const ROUND_TRIPS: usize = 100;

    const WARM_UP: Duration = Duration::from_secs(3);
}

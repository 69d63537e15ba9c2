//! `runnel relay`: a bad network between two addresses.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use runnel::relay::{Blackout, PathConfig, Relay, RelayConfig};
use tokio_util::sync::CancellationToken;

/// Arguments of `runnel relay`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RelayArgs {
    /// Where to take packets.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to send them.
    #[arg(long, value_name = "ADDRESS")]
    target: SocketAddr,
    #[command(flatten)]
    path: PathArgs,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is bad about a network path. All of it is the same in both directions.
#[derive(Clone, Debug, Args)]
pub(crate) struct PathArgs {
    /// Share of packets lost, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    loss: f64,
    /// Mean length of a burst of lost packets; 1 loses each packet by itself.
    #[arg(long, value_name = "PACKETS", default_value_t = 1.0)]
    burst: f64,
    /// Round-trip time.
    #[arg(long, value_name = "DURATION", default_value = "60ms", value_parser = humantime::parse_duration)]
    rtt: Duration,
    /// Random extra delay each way.
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = humantime::parse_duration)]
    jitter: Duration,
    /// Rate each way, in Mbit/s; 0 sets no limit.
    #[arg(long, value_name = "MBIT", default_value_t = 20.0)]
    rate: f64,
    /// Bytes that queue for the rate before packets are dropped.
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 10)]
    queue: u64,
    /// Give the clients new ports this often, as a rebooting NAT does.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    rebind: Option<Duration>,
    /// Drop everything for a time: AFTER+LENGTH, such as 6s+8s. May be repeated.
    #[arg(long, value_name = "AFTER+LENGTH", value_parser = parse_blackout)]
    blackout: Vec<Blackout>,
}

impl PathArgs {
    /// Returns the round-trip time.
    pub(crate) fn rtt(&self) -> Duration {
        self.rtt
    }

    /// Composes the relay's settings.
    pub(crate) fn to_config(&self) -> RelayConfig {
        let bits = (self.rate * 1e6).max(0.0);
        // Rates beyond u64 saturate, which is no limit either.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rate_bits_per_second = NonZeroU64::new(bits as u64);
        let path = PathConfig {
            loss: self.loss / 100.0,
            loss_burst_packets: (self.burst > 1.0).then_some(self.burst),
            delay: self.rtt / 2,
            jitter: self.jitter,
            rate_bits_per_second,
            queue_bytes_max: self.queue,
            ..PathConfig::default()
        };
        RelayConfig {
            up: path.clone(),
            down: path,
            rebind_every: self.rebind,
            blackouts: self.blackout.clone(),
            ..RelayConfig::default()
        }
    }
}

pub(crate) fn run(args: RelayArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let relay = Relay::bind(args.listen, args.target, args.path.to_config(), args.seed)
            .with_context(|| format!("cannot relay from {} to {}", args.listen, args.target))?;
        writeln!(std::io::stdout(), "{}", relay.local_addr())?;
        let stop = CancellationToken::new();
        let run = relay.run(stop.clone());
        tokio::pin!(run);
        let counts = tokio::select! {
            counts = &mut run => counts?,
            _ = tokio::signal::ctrl_c() => {
                stop.cancel();
                run.await?
            }
        };
        writeln!(std::io::stderr(), "{counts:#?}")?;
        Ok(())
    })
}

fn parse_blackout(text: &str) -> Result<Blackout, String> {
    let (after, length) = text.split_once('+').ok_or("a blackout is written AFTER+LENGTH, such as 6s+8s")?;
    let parse = |part| humantime::parse_duration(part).map_err(|error| error.to_string());
    Ok(Blackout { after: parse(after)?, length: parse(length)? })
}

const EXAMPLES: &str = "\
Examples:
  runnel relay --target 127.0.0.1:4433 --listen 127.0.0.1:4434 --loss 5 --rtt 200ms
  runnel relay --target 127.0.0.1:4433 --rebind 5s --blackout 10s+30s --seed 7

Prints the address at which it takes packets. The same seed makes the same decisions. Ctrl-C ends
it and shows what it did.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blackouts_are_written_as_two_durations() {
        let blackout = Blackout { after: Duration::from_secs(6), length: Duration::from_millis(500) };
        assert_eq!(parse_blackout("6s+500ms"), Ok(blackout));
        assert!(parse_blackout("6s").is_err());
        assert!(parse_blackout("soon+1s").is_err());
    }
}

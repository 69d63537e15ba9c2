//! Figures of a link.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::{Connection, FrameStats};

/// Figures of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Congestion window, in bytes.
    pub congestion_window: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets found lost.
    pub packets_lost: u64,
    /// Of a thousand packets, how many were lost of late.
    pub loss_permille: u32,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received.
    pub bytes_received: u64,
    /// Authenticated frames received: the peer's signs of life.
    pub frames_received: u64,
    /// Times the peer's address was found changed.
    pub migrations: u64,
    /// Largest UDP payload that the path is known to carry. Larger ones are tried, see
    /// [`TransportConfig::mtu_max`](crate::TransportConfig::mtu_max).
    pub mtu: u16,
    /// Packets sent to try whether the path carries larger ones.
    pub mtu_probes_sent: u64,
    /// Those of them that were lost, which counts in no other loss.
    pub mtu_probes_lost: u64,
    /// Times that the path seemed to carry less than it had, so that packets went back to the smallest.
    pub black_holes: u64,
}

impl LinkStats {
    /// Returns about how many bytes a second the link carries: a congestion window each round trip.
    pub fn bytes_per_second(&self) -> u64 {
        let rtt_us = u64::try_from(self.rtt.as_micros()).unwrap_or(u64::MAX).max(1);
        self.congestion_window.saturating_mul(1_000_000) / rtt_us
    }
}

/// Where the peer's packets come from, and how often that changed.
#[derive(Debug)]
pub(super) struct Remote {
    address: Cell<SocketAddr>,
    migrations: Cell<u64>,
    loss: Cell<LossMeter>,
}

/// How many packets are lost of late. Pure.
#[derive(Clone, Copy, Debug, Default)]
struct LossMeter {
    sent: u64,
    lost: u64,
    permille: u32,
}

impl LossMeter {
    /// Takes the counts since the link began, and returns the loss in packets of a thousand.
    fn measure(&mut self, sent: u64, lost: u64) -> u32 {
        let (newly_sent, newly_lost) = (sent.saturating_sub(self.sent), lost.saturating_sub(self.lost));
        if newly_sent >= MEASURED_PACKETS {
            let newest = u32::try_from(newly_lost * 1000 / newly_sent).unwrap_or(1000).min(1000);
            *self = Self { sent, lost, permille: (self.permille * 3 + newest) / 4 };
        }
        self.permille
    }
}

impl Remote {
    pub(super) fn new(connection: &Connection) -> Self {
        Self {
            address: Cell::new(connection.remote_address()),
            migrations: Cell::new(0),
            loss: Cell::default(),
        }
    }

    /// Looks where the packets come from now.
    pub(super) fn look(&self, connection: &Connection) -> SocketAddr {
        let address = connection.remote_address();
        if self.address.replace(address) != address {
            self.migrations.set(self.migrations.get() + 1);
        }
        address
    }

    /// Returns how many packets of a thousand were lost of late, as of the last look at the figures.
    pub(super) fn loss_permille(&self) -> u32 {
        self.loss.get().permille
    }

    pub(super) fn stats(&self, connection: &Connection) -> LinkStats {
        self.look(connection);
        let stats = connection.stats();
        let mut loss = self.loss.get();
        let loss_permille = loss.measure(stats.path.sent_packets, stats.path.lost_packets);
        self.loss.set(loss);
        LinkStats {
            rtt: stats.path.rtt,
            congestion_window: stats.path.cwnd,
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
            loss_permille,
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            frames_received: frames_received(&stats.frame_rx),
            migrations: self.migrations.get(),
            mtu: stats.path.current_mtu,
            mtu_probes_sent: stats.path.sent_plpmtud_probes,
            mtu_probes_lost: stats.path.lost_plpmtud_probes,
            black_holes: stats.path.black_holes_detected,
        }
    }
}

/// Everything that only an authenticated packet can carry.
fn frames_received(frames: &FrameStats) -> u64 {
    frames.acks
        + frames.crypto
        + frames.data_blocked
        + u64::from(frames.handshake_done)
        + frames.max_data
        + frames.max_stream_data
        + frames.max_streams_bidi
        + frames.new_connection_id
        + frames.path_challenge
        + frames.path_response
        + frames.ping
        + frames.reset_stream
        + frames.retire_connection_id
        + frames.stop_sending
        + frames.stream
        + frames.stream_data_blocked
        + frames.streams_blocked_bidi
}

/// Packets over which loss is measured: with fewer, one lost packet looks like much.
const MEASURED_PACKETS: u64 = 200;

//! Settings of endpoints and links.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, VarInt};
use runnel_codec::Limits;
use serde::{Deserialize, Serialize};

use crate::congestion::DelayTargetFactory;

/// Settings of endpoints and links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportConfig {
    /// How the rate of a link is found. Default: `delay`.
    pub congestion: CongestionControl,
    /// How long packets shall queue at the bottleneck, with `delay`. Default: 10 ms.
    ///
    /// Too low, a path with jitter is not filled; too high, urgent commands wait as long.
    #[serde(with = "humantime_serde")]
    pub queueing: Duration,
    /// Silence after which a link is given up. Default: 60 s.
    ///
    /// Too low, a blackout costs a new handshake; too high, a dead link is kept beside its successor for as long.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Pause after which an idle link sends a packet, to keep NATs open. Default: 15 s.
    ///
    /// Too low, idle links cost data and power; too high, NATs forget them (many after 30 s).
    #[serde(with = "humantime_serde")]
    pub keep_alive_interval: Duration,
    /// Round-trip time assumed before the first measurement. Default: 100 ms.
    ///
    /// Too low, slow paths see needless repeats; too high, a lost first packet costs that much more.
    #[serde(with = "humantime_serde")]
    pub initial_rtt: Duration,
    /// How long the peer may hold an acknowledgement back. Default: 5 ms.
    ///
    /// Too low, packets that bear nothing else; too high, a lost packet with none behind it is noticed that much later.
    #[serde(with = "humantime_serde")]
    pub ack_delay: Duration,
    /// Loss, in packets of a thousand, from which on urgent commands and their answers travel twice, 10 ms apart. Default: 5;
    /// above 1000, never.
    ///
    /// Too low, it costs packets; too high, an urgent command waits a round trip more for each packet that is lost.
    pub copies_from_loss_permille: u32,
    /// Bytes of all streams that may arrive unread, per link. Default: 16 MiB.
    ///
    /// Too low, fast long paths are not filled; too high, each peer can make this node hold as much.
    pub receive_window: u64,
    /// Bytes of one stream that may arrive unread. Default: 3.25 MiB, the window of a body and what frames it.
    ///
    /// Too low, one transfer does not fill a fast long path; too high, see `receive_window`.
    pub stream_receive_window: u64,
    /// Bytes written and not acknowledged, per link. Default: 10 MiB.
    ///
    /// Too low, urgent writes block behind bulk; too high, a dead link holds as much memory.
    pub send_window: u64,
    /// Largest UDP payload that is taken, and that path probing tries if the first interface of a path carries it: 1452
    /// bytes on an Ethernet, whatever stands here. Default: 1452 bytes. For fast networks with jumbo frames, at both ends,
    /// 6500, of which ten go in one system call: on loopback bodies are 1.9 times as fast, as they are with 8952.
    ///
    /// Too low, more packets than needed; too high, slow paths are not filled, since packets leave ten at a time: through
    /// a relay of 20 Mbit/s that loses 2 % an upload got 3.6 Mbit/s with 6500 bytes, and 10.8 with 1452.
    pub mtu_max: u16,
    /// Bytes asked of the system for each socket's receive buffer, and as many for its send buffer. It may grant less, which
    /// the node's status shows. Default: 4 MiB.
    ///
    /// Too low, packets of a burst are dropped before they are read; too high, they are read late.
    pub socket_buffer_bytes: u32,
    /// Time between the attempts of one dial at different addresses (RFC 8305, section 5). Default: 250 ms.
    ///
    /// Too low, needless handshakes; too high, a dead first address costs as much.
    #[serde(with = "humantime_serde")]
    pub dial_stagger: Duration,
    /// Time after which a dial that meets silence tries its addresses again, beside the attempts that are under way.
    /// Default: 2 s.
    ///
    /// Too low, slow paths see needless handshakes; too high, a path that comes back is noticed late: the repeats of one
    /// attempt's first packet come at 0.3, 0.9, 2.1 and 4.5 s.
    #[serde(with = "humantime_serde")]
    pub dial_again: Duration,
    /// Time in which a head must be complete once its stream is open. Default: 10 s.
    ///
    /// Too low, heads on slow links are cut off; too high, half a head holds memory for as long.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// Handshakes under way before further ones must prove their address by a round trip. Default: 64.
    ///
    /// Too low, a restarted controller takes a round trip more for each worker; too high, forged addresses cost more.
    pub handshakes_max: NonZeroU32,
    /// Share of the node's thread that answering handshakes may take, in percent; 100 or more is no bound. Default: 20.
    ///
    /// Counted is what an offer costs at once: key exchange and signature. Too low, a restarted controller takes its
    /// workers back slowly; too high, a flood of offers holds up the commands of the links that are there.
    pub handshakes_percent: NonZeroU8,
    /// How long a close may take to reach the peers. Default: 1 s.
    #[serde(with = "humantime_serde")]
    pub close_timeout: Duration,
    /// Send several packets with one system call where the system can. Default: true. Switch it off where a network
    /// card fails at it.
    pub segmentation_offload: bool,
}

/// Ways to find the rate of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CongestionControl {
    /// By the queue that it causes, which is held short: urgent commands do not wait behind bulk, and loss at random does not
    /// slow it down.
    Delay,
    /// By measuring rate and delay: fills links that lose packets at random.
    Bbr,
    /// By filling the bottleneck's buffer until it overflows: collapses where packets are lost at random.
    Cubic,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            congestion: CongestionControl::Delay,
            queueing: Duration::from_millis(10),
            idle_timeout: Duration::from_secs(60),
            keep_alive_interval: Duration::from_secs(15),
            initial_rtt: Duration::from_millis(100),
            ack_delay: Duration::from_millis(5),
            copies_from_loss_permille: 5,
            receive_window: 16 << 20,
            stream_receive_window: 3328 << 10,
            send_window: 10 << 20,
            mtu_max: 1452,
            socket_buffer_bytes: 4 << 20,
            dial_stagger: Duration::from_millis(250),
            dial_again: Duration::from_secs(2),
            head_timeout: Duration::from_secs(10),
            handshakes_max: NonZeroU32::new(64).expect("64 is not 0"),
            handshakes_percent: NonZeroU8::new(20).expect("20 is not 0"),
            close_timeout: Duration::from_secs(1),
            segmentation_offload: true,
        }
    }
}

impl TransportConfig {
    /// Returns how large things on the wire may be.
    pub fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Returns these settings as quinn takes them, to measure quinn without this crate around it, with UDP payloads up to
    /// `payload_max` bytes.
    #[cfg(feature = "raw")]
    pub fn raw(&self, payload_max: u16) -> quinn::TransportConfig {
        self.to_quinn(payload_max)
    }

    pub(crate) fn to_quinn(&self, payload_max: u16) -> quinn::TransportConfig {
        let mut config = quinn::TransportConfig::default();
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(payload_max);
        let mut acks = AckFrequencyConfig::default();
        // What comes out of order is acknowledged at once, as without this extension.
        acks.max_ack_delay(Some(self.ack_delay)).reordering_threshold(VarInt::from_u32(1));
        config
            .max_idle_timeout(IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(Some(self.keep_alive_interval))
            .initial_rtt(self.initial_rtt)
            .receive_window(varint(self.receive_window))
            .stream_receive_window(varint(self.stream_receive_window))
            .send_window(self.send_window)
            .max_concurrent_bidi_streams(INITIAL_STREAMS)
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX))
            .datagram_send_buffer_size(DATAGRAM_BYTES_MAX)
            .mtu_discovery_config(Some(mtu))
            .ack_frequency_config(Some(acks))
            .enable_segmentation_offload(self.segmentation_offload)
            .congestion_controller_factory(self.congestion_controller());
        config
    }

    fn congestion_controller(&self) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self.congestion {
            CongestionControl::Delay => Arc::new(DelayTargetFactory { queueing: self.queueing }),
            CongestionControl::Bbr => Arc::new(BbrConfig::default()),
            CongestionControl::Cubic => Arc::new(CubicConfig::default()),
        }
    }
}

pub(crate) fn varint(number: u64) -> VarInt {
    VarInt::from_u64(number).unwrap_or(VarInt::MAX)
}

/// Streams allowed before the hello: the control stream and commands behind it. The engine sets the real limit.
const INITIAL_STREAMS: VarInt = VarInt::from_u32(16);

/// Bytes of datagrams that wait, in either direction. They are copies: what finds no room is dropped.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

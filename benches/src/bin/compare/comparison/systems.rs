//! Who takes part.

use std::fmt;

use clap::ValueEnum;
use runnel_workload::{Congestion, Kind};
use serde::{Deserialize, Serialize};

/// A system, with the congestion control that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    RunnelInline,
    RunnelHere,
    Runnel,
    Quinn,
    QuinnCubic,
    QuinnHashed,
    Tonic,
    TonicBbr,
    Tarpc,
    TarpcBbr,
    Multiplexer,
    MultiplexerBbr,
}

impl System {
    /// On loopback the congestion control of TCP does not matter.
    pub(crate) const LOOPBACK: [Self; 9] = [
        Self::Quinn,
        Self::QuinnCubic,
        Self::QuinnHashed,
        Self::RunnelInline,
        Self::RunnelHere,
        Self::Runnel,
        Self::Tonic,
        Self::Tarpc,
        Self::Multiplexer,
    ];

    /// All that differ where the path decides.
    pub(crate) const EMULATED: [Self; 9] = [
        Self::Runnel,
        Self::Quinn,
        Self::QuinnCubic,
        Self::Tonic,
        Self::TonicBbr,
        Self::Tarpc,
        Self::TarpcBbr,
        Self::Multiplexer,
        Self::MultiplexerBbr,
    ];

    /// The name by which its process knows it.
    pub(crate) fn process_name(self) -> &'static str {
        match self {
            Self::RunnelInline => "runnel-inline",
            Self::RunnelHere => "runnel-here",
            Self::Runnel => "runnel",
            Self::Quinn => "quinn",
            Self::QuinnCubic => "quinn-cubic",
            Self::QuinnHashed => "quinn-hashed",
            Self::Tonic | Self::TonicBbr => "tonic",
            Self::Tarpc | Self::TarpcBbr => "tarpc",
            Self::Multiplexer | Self::MultiplexerBbr => "multiplexer",
        }
    }

    /// Whether it is in `benches/peers`.
    pub(crate) fn is_peer(self) -> bool {
        !matches!(
            self,
            Self::RunnelInline
                | Self::RunnelHere
                | Self::Runnel
                | Self::Quinn
                | Self::QuinnCubic
                | Self::QuinnHashed
        )
    }

    /// Whether it does something else than another system with this workload.
    pub(crate) fn takes_part(self, kind: Kind) -> bool {
        self != Self::QuinnHashed || kind == Kind::Bulk
    }

    pub(crate) fn congestion(self) -> Congestion {
        match self {
            Self::TonicBbr | Self::TarpcBbr | Self::MultiplexerBbr => Congestion::Bbr,
            _ => Congestion::Cubic,
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RunnelInline => "Runnel, inline",
            Self::RunnelHere => "Runnel, beside",
            Self::Runnel => "Runnel",
            Self::Quinn => "raw quinn",
            Self::QuinnCubic => "raw quinn, CUBIC",
            Self::QuinnHashed => "raw quinn, hashed",
            Self::Tonic => "tonic, CUBIC",
            Self::TonicBbr => "tonic, BBR",
            Self::Tarpc => "tarpc, CUBIC",
            Self::TarpcBbr => "tarpc, BBR",
            Self::Multiplexer => "multiplexer, CUBIC",
            Self::MultiplexerBbr => "multiplexer, BBR",
        })
    }
}

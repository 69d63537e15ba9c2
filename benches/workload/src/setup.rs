//! What a process is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The only argument of a process, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Which end it is.
    pub role: Role,
    /// Which system, by its name.
    pub system: String,
    /// Folder of the identities.
    pub identities: PathBuf,
    /// Where the server listens; with port 0 it chooses one and says so.
    pub address: SocketAddr,
    /// The processor that it may have; all of them if there is none.
    pub core: Option<usize>,
    /// How its TCP connections find their rate.
    pub congestion: Congestion,
}

/// An end of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Answers.
    Serve,
    /// Asks, and measures.
    Drive,
}

/// A congestion control of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Congestion {
    /// By loss.
    Cubic,
    /// By a model of the path.
    Bbr,
}

impl Setup {
    /// Reads the arguments of this process, or returns `None` if it has not exactly one that is a setup.
    #[must_use]
    pub fn from_arguments() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        let setup = serde_json::from_str(&arguments.next()?).ok()?;
        arguments.next().is_none().then_some(setup)
    }

    /// Writes it as the argument of a process.
    ///
    /// # Panics
    ///
    /// When the folder's name is not UTF-8.
    #[must_use]
    pub fn to_argument(&self) -> String {
        serde_json::to_string(self).expect("names of folders are UTF-8")
    }
}

impl Congestion {
    /// The name by which the kernel knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }
}

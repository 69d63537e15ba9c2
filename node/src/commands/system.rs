//! `sys.ping` and `sys.info`: is the node there, and what is it?

use runnel_codec::{Command, Decode, Encode};

use crate::handler::Handlers;

/// `sys.ping/1`: gives back the number it is called with. Harmless to run again, and answered on the engine's thread.
#[derive(Debug)]
pub enum Ping {}

/// `sys.info/1`: says what the node is.
#[derive(Debug)]
pub enum SystemInfo {}

/// Answer of [`SystemInfo`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct SystemInfoResult {
    /// Version of the program.
    pub version: String,
    /// Operating system, such as `linux`.
    pub os: String,
    /// Processor architecture, such as `x86_64`.
    pub arch: String,
    /// Processors that it may use.
    pub cpus: u32,
}

impl Command for Ping {
    const NAME: &'static str = "sys.ping/1";
    const IDEMPOTENT: bool = true;
    type Args = u64;
    type Update = runnel_codec::Never;
    type Result = u64;
}

impl Command for SystemInfo {
    const NAME: &'static str = "sys.info/1";
    const IDEMPOTENT: bool = true;
    type Args = ();
    type Update = runnel_codec::Never;
    type Result = SystemInfoResult;
}

pub(super) fn register(handlers: &mut Handlers) {
    handlers.on_inline::<Ping, _>(Ok);
    handlers.on_inline::<SystemInfo, _>(|()| {
        Ok(SystemInfoResult {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism()
                .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
        })
    });
}

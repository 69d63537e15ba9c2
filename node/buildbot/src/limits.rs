//! How much a peer may make this side hold.

/// Bounds on what is read from a peer and on what is kept for it. They hold for one connection.
///
/// The peer is a Buildbot master that the operator runs, so the defaults are generous: they keep a broken master from
/// taking the memory of a gateway that serves others too.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest byte string, in bytes, read or written. Default: 655360 (640 KiB), which is Twisted's own limit. Less
    /// than 64 KiB counts as that. Over msgpack there is no such limit beside that of messages.
    ///
    /// Lower, a master's file blocks or patches end the connection; higher, Twisted ends it when it reads one.
    pub string_bytes_max: usize,
    /// Longest message, in encoded bytes, read or written; over msgpack only read. Default: 2 MiB. Less than 128 KiB counts
    /// as that.
    ///
    /// Too low, a command with a long environment and a patch ends the connection; as much may be held unread.
    pub message_bytes_max: usize,
    /// Most elements of one message: strings, numbers and lists. Default: 131072. Less than 1024 counts as that.
    ///
    /// Too low, a master with very many builders ends the connection; each element takes about 50 bytes.
    pub elements_max: usize,
    /// How deep lists may be nested in a message. Default: 64. It counts as 16 at least and as 256 at most.
    ///
    /// A dictionary in a dictionary takes two levels. Too low, nested arguments end the connection; what is nested is
    /// walked by functions that call themselves, so it costs as many frames of the stack.
    pub depth_max: usize,
    /// Most calls to the peer that wait for their answer. Default: 4096.
    ///
    /// Too low, output waits for round trips; each takes some 100 bytes.
    pub calls_max: usize,
    /// Most calls of the peer that wait for our answer. Default: 1024. A call above it is answered with an error.
    pub requests_max: usize,
    /// Most objects of ours that the peer may know. Default: 4096: a few more than the builders of a worker.
    pub objects_max: usize,
    /// Most references to objects of the peer that are held. Default: 4096. More of them end the connection.
    ///
    /// Each running command holds up to three; the peer itself keeps at most about 1024 objects.
    pub references_max: usize,
    /// How many bytes may wait to be written before no further calls are taken and nothing is read. Default: 1 MiB.
    ///
    /// Too low, long blocks alternate with waiting; higher, an interrupt waits behind as much output.
    pub output_bytes_max: usize,
}

/// The deepest nesting that any configuration allows: it is walked by functions that call themselves.
const DEPTH_CEILING: usize = 256;

impl Limits {
    /// Returns how deep lists may be nested, whatever the configuration says.
    pub(crate) fn depth(&self) -> usize {
        self.depth_max.min(DEPTH_CEILING)
    }

    /// Returns limits within which a connection can work: an error, or what belongs to the login, always fits into a
    /// message.
    pub(crate) fn for_connection(self) -> Self {
        Self {
            string_bytes_max: self.string_bytes_max.max(64 << 10),
            message_bytes_max: self.message_bytes_max.max(128 << 10),
            elements_max: self.elements_max.max(1024),
            depth_max: self.depth_max.max(16),
            objects_max: self.objects_max.max(1),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            string_bytes_max: 640 << 10,
            message_bytes_max: 2 << 20,
            elements_max: 1 << 17,
            depth_max: 64,
            calls_max: 4096,
            requests_max: 1024,
            objects_max: 4096,
            references_max: 4096,
            output_bytes_max: 1 << 20,
        }
    }
}

//! What a system must be able to do.

use std::future::Future;

use bytes::Bytes;

/// A way to the server of a system. Many callers share it.
pub trait Client: Clone + Send + Sync + 'static {
    /// Asks for the same bytes again and returns how many came.
    fn echo(&self, bytes: Bytes) -> impl Future<Output = usize> + Send;

    /// Sends bytes and waits until the server says that it has handled them.
    fn message(&self, bytes: Bytes) -> impl Future<Output = ()> + Send;

    /// Sends a body that gives way to everything else, and returns how many bytes the server says it has read.
    fn body(&self, bytes: Bytes) -> impl Future<Output = u64> + Send;

    /// Echoes like [`echo`](Self::echo), as fast as the system can beside bodies.
    fn urgent(&self, bytes: Bytes) -> impl Future<Output = usize> + Send;
}

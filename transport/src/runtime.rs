//! quinn's idea of a runtime, made of an [`Env`].

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TimeSource};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::time::{Sleep, sleep_until};

use crate::env::Env;

/// Lends an [`Env`] to quinn and rustls.
#[derive(Clone, Debug)]
pub(crate) struct EnvRuntime(pub(crate) Arc<dyn Env>);

#[derive(Debug)]
struct Timer(Pin<Box<Sleep>>);

impl Runtime for EnvRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(Box::pin(sleep_until(at.into()))))
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }

    fn wrap_udp_socket(&self, _: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "sockets come from the environment"))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self.0.as_mut(), cx)
    }
}

impl TimeSource for EnvRuntime {
    fn now(&self) -> SystemTime {
        self.0.wall_clock()
    }
}

impl TimeProvider for EnvRuntime {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.wall_clock().duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

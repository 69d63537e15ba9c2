//! The socket of the API: where it is, whose it is, and how many may use it at once.

mod private;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::private::{SocketFile, bind_private};

/// Returns where the socket is if nobody says otherwise: the same place for the node and its clients.
pub(crate) fn default_path() -> anyhow::Result<PathBuf> {
    choose_path(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from), is_root())
        .context("there is no place for the socket: set RUNNEL_SOCKET, or HOME")
}

fn choose_path(variable: impl Fn(&str) -> Option<PathBuf>, is_root: bool) -> Option<PathBuf> {
    if let Some(path) = variable("RUNNEL_SOCKET") {
        return Some(path);
    }
    if is_root {
        return Some(PathBuf::from("/run/runnel/api.sock"));
    }
    let folder = variable("XDG_RUNTIME_DIR")
        .or_else(|| variable("XDG_STATE_HOME"))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))?;
    Some(folder.join("runnel/api.sock"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A socket that listens. Its file goes when it is dropped.
#[derive(Debug)]
pub(super) struct ApiSocket {
    listener: UnixListener,
    places: Arc<Semaphore>,
    file: SocketFile,
}

/// A connection; it takes one of the places.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl ApiSocket {
    /// Listens at `path`, for this user only.
    ///
    /// # Errors
    ///
    /// Another node listens there, something else is there, or the system refuses.
    pub(super) fn bind(path: &Path, connections_max: usize) -> anyhow::Result<Self> {
        let (listener, file) = bind_private(path, "node", "`socket` under [api]")?;
        let places = Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Self { listener, places, file })
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }
}

impl axum::serve::Listener for ApiSocket {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed, so the place always comes; without one the connection waits in the kernel.
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        (Connection { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, content: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, content)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], is_root: bool, expected: Option<&str>) {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
        };
        assert_eq!(choose_path(variable, is_root), expected.map(PathBuf::from), "{variables:?}");
    }

    #[test]
    fn the_place_of_the_socket_follows_from_user_and_environment() {
        let all = [
            ("RUNNEL_SOCKET", "/s"),
            ("XDG_RUNTIME_DIR", "/run/user/1"),
            ("XDG_STATE_HOME", "/st"),
            ("HOME", "/h"),
        ];
        check(&all, true, Some("/s"));
        check(&all[1..], true, Some("/run/runnel/api.sock"));
        check(&all[1..], false, Some("/run/user/1/runnel/api.sock"));
        check(&all[2..], false, Some("/st/runnel/api.sock"));
        check(&all[3..], false, Some("/h/.local/state/runnel/api.sock"));
        check(&[], false, None);
    }

    #[tokio::test]
    async fn the_socket_is_for_its_user_alone_and_goes_with_its_node() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("new/api.sock");
        let socket = ApiSocket::bind(&path, 1).expect("it is free");
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("new"))), (0o600, 0o700));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone_and_a_stale_one_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("api.sock");
        let stale = std::os::unix::net::UnixListener::bind(&path).expect("it is free");
        let error = ApiSocket::bind(&path, 1).expect_err("somebody listens");
        assert!(error.to_string().contains("another node listens"), "{error:#}");
        drop(stale);
        let socket = ApiSocket::bind(&path, 1).expect("nobody listens any more");
        assert_eq!(socket.path(), path);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_not_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("api.sock");
        std::fs::write(&path, "precious").expect("written");
        let error = ApiSocket::bind(&path, 1).expect_err("a file is there");
        assert!(error.to_string().contains("no socket"), "{error:#}");
        assert!(path.exists());
    }
}

//! The thread that carries packets between two TUN devices.

use std::io::{self, PipeReader, PipeWriter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::setpriority_process;
use tun_rs::SyncDevice;

use super::MTU;
use super::direction::{Direction, Traffic};

/// What a link has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTraffic {
    /// From left to right.
    pub up: Traffic,
    /// From right to left.
    pub down: Traffic,
}

/// A relay at work, until it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    traffic: Arc<Mutex<LinkTraffic>>,
    is_dark: Arc<AtomicBool>,
    /// Closed, it ends the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

struct Carrier {
    devices: [SyncDevice; 2],
    /// What enters at the device of the same index.
    directions: [Direction; 2],
    traffic: Arc<Mutex<LinkTraffic>>,
    is_dark: Arc<AtomicBool>,
    stop: PipeReader,
}

impl Relay {
    pub(super) fn start(devices: [SyncDevice; 2], directions: [Direction; 2]) -> io::Result<Self> {
        for device in &devices {
            device.set_nonblocking(true)?;
        }
        let (stopped, stop) = io::pipe()?;
        let traffic = Arc::new(Mutex::new(LinkTraffic::default()));
        let is_dark = Arc::new(AtomicBool::new(false));
        let (traffic_there, dark_there) = (traffic.clone(), is_dark.clone());
        let carrier =
            Carrier { devices, directions, traffic: traffic_there, is_dark: dark_there, stop: stopped };
        let thread = std::thread::Builder::new().name("emulated link".to_owned());
        let thread = thread.spawn(move || carrier.run())?;
        Ok(Self { traffic, is_dark, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn set_dark(&self, is_dark: bool) {
        self.is_dark.store(is_dark, Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> LinkTraffic {
        *self.traffic.lock().expect("the thread of the relay does not panic")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Carrier {
    fn run(mut self) {
        // The network must not be slowed down by what it carries. On Linux this is for the calling thread alone; where it
        // is not allowed, the traffic's lateness shows it.
        let _ = setpriority_process(None, NICENESS);
        let mut buffer = [0; MTU];
        while self.wait() {
            for side in 0..2 {
                self.take(side, &mut buffer);
                self.give(side);
            }
            let [up, down] = &self.directions;
            *self.traffic.lock().expect("readers do not panic") =
                LinkTraffic { up: up.traffic, down: down.traffic };
        }
    }

    /// Waits until there is something to do. Returns false when it is to end.
    fn wait(&self) -> bool {
        let due_at = self.directions.iter().filter_map(Direction::poll_timeout).min();
        let timeout = due_at.map(|at| at.saturating_duration_since(Instant::now())).map(timespec);
        let [left, right] = &self.devices;
        let mut files = [
            PollFd::new(left, PollFlags::IN),
            PollFd::new(right, PollFlags::IN),
            PollFd::new(&self.stop, PollFlags::IN),
        ];
        // An interrupted wait is a short one.
        let _ = poll(&mut files, timeout.as_ref());
        files[2].revents().is_empty()
    }

    /// Takes what waits at one device.
    fn take(&mut self, side: usize, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Ok(len) = self.devices[side].recv(buffer) else { return };
            if self.is_dark.load(Ordering::Relaxed) {
                self.directions[side].traffic.lost += 1;
                continue;
            }
            self.directions[side].handle_packet(Instant::now(), &buffer[..len]);
        }
    }

    /// Gives the other device what has arrived.
    fn give(&mut self, side: usize) {
        while let Some(packet) = self.directions[side].poll_packet(Instant::now()) {
            // A device takes every packet; one that the system then has no room for is lost as in any network.
            let _ = self.devices[1 - side].send(&packet);
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
}

/// The most favourable there is.
const NICENESS: i32 = -20;

/// Packets that are taken before others are given.
const BATCH: usize = 64;

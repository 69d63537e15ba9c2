//! Files that a process writes, followed while it runs: what [`Process`](super::Process) looks at now and then.
//!
//! A file is left alone until it differs from what it was when the process started. It is read in pieces, and never ahead
//! of the caller; how far it has come is remembered, not what is in it. What is written, cut off and written again to more
//! than the same length between two looks cannot be told from what was added, and a file that comes and goes between them
//! is not seen. Reading waits for the disk, and so may block for a moment.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use runnel_codec::{Decode, Encode};
use rustix::fs::OFlags;
use tokio::time::Instant;

use super::event::Piece;
use super::spec::ProcessSpec;

/// A file that is followed while a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct LogFile {
    /// What its pieces are told under.
    pub name: String,
    /// Where it is; a relative path counts from the working directory. It need not exist yet.
    pub path: String,
    /// Whether only what is added is told: reading begins where the file ended when the process started, and not at its
    /// beginning.
    pub follow: bool,
}

/// The followed files of one process.
#[derive(Debug)]
pub(super) struct LogFiles {
    files: Vec<Followed>,
    /// The file that is asked first, so that none can keep the others waiting.
    turn: usize,
    poll_interval: Duration,
    poll_at: Option<Instant>,
    has_ended: bool,
    buffer: Box<[u8]>,
}

impl LogFiles {
    /// Remembers what the files are like before the process starts.
    pub(super) fn new(now: Instant, spec: &ProcessSpec) -> Self {
        let folder = spec.cwd.as_deref().unwrap_or(Path::new(""));
        let files: Vec<Followed> = spec.log_files.iter().map(|file| Followed::new(folder, file)).collect();
        let poll_interval = spec.log_poll_interval.max(POLL_INTERVAL_MIN);
        let poll_at = now.checked_add(poll_interval).filter(|_| !files.is_empty());
        let buffer = if files.is_empty() { 0 } else { PIECE_BYTES_MAX };
        Self { files, turn: 0, poll_interval, poll_at, has_ended: false, buffer: vec![0; buffer].into() }
    }

    /// Returns when [`Self::handle_timeout`] has something to do next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.poll_at
    }

    /// Looks whether there is something to read.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.look();
        self.poll_at = now.checked_add(self.poll_interval);
    }

    /// Looks at all files once more: from now on no more is read than there is.
    pub(super) fn end(&mut self) {
        if !self.has_ended {
            self.has_ended = true;
            self.poll_at = None;
            self.files.iter_mut().for_each(Followed::end);
        }
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Looks whether there is something that was written and not read.
    pub(super) fn is_waiting(&mut self) -> bool {
        self.look();
        self.has_unread()
    }

    /// Returns whether the last look, and what was read since, leaves something to read.
    pub(super) fn has_unread(&self) -> bool {
        self.files.iter().any(Followed::has_unread)
    }

    /// Reads the next piece of what the last look found.
    pub(super) fn read(&mut self) -> Option<Piece> {
        for _ in 0..self.files.len() {
            let next = (self.turn + 1) % self.files.len();
            let file = &mut self.files[std::mem::replace(&mut self.turn, next)];
            if let Some(bytes) = file.read(&mut self.buffer) {
                return Some(Piece::Log { name: file.name.clone(), bytes });
            }
        }
        None
    }

    fn look(&mut self) {
        if !self.has_ended {
            self.files.iter_mut().for_each(Followed::look);
        }
    }
}

/// One file, or two while one takes the place of the other.
#[derive(Debug)]
struct Followed {
    name: String,
    path: PathBuf,
    /// What was there when the process started.
    at_start: Option<Stamp>,
    follow: bool,
    open: Option<Open>,
    /// What has taken the place of `open`, at the end.
    successor: Option<Open>,
}

impl Followed {
    fn new(folder: &Path, file: &LogFile) -> Self {
        let path = folder.join(&file.path);
        let at_start = Stamp::of(&path);
        Self { name: file.name.clone(), path, at_start, follow: file.follow, open: None, successor: None }
    }

    /// Looks how long the file is, and whether it is still the same.
    fn look(&mut self) {
        let Some(open) = &mut self.open else {
            let found = Stamp::of(&self.path);
            if found.is_some() && found != self.at_start {
                self.open = self.open();
            }
            return;
        };
        open.look();
        if !open.has_unread() && Stamp::of(&self.path).is_some_and(|found| !found.is_same_file(&open.stamp)) {
            // All of the older one was read.
            self.open = self.open();
        }
    }

    /// Looks for the last time.
    fn end(&mut self) {
        self.look();
        if let Some(open) = &self.open
            && Stamp::of(&self.path).is_some_and(|found| !found.is_same_file(&open.stamp))
        {
            self.successor = self.open();
        }
    }

    /// Opens what is there now, to be read from its beginning, unless it is the file that was there at the start and only
    /// what was added is wanted.
    fn open(&self) -> Option<Open> {
        let mut open = Open::new(&self.path)?;
        if let Some(at_start) = &self.at_start
            && self.follow
            && self.open.is_none()
            && at_start.is_same_file(&open.stamp)
            && at_start.len <= open.stamp.len
        {
            open.position = at_start.len;
        }
        Some(open)
    }

    fn has_unread(&self) -> bool {
        [&self.open, &self.successor].into_iter().flatten().any(Open::has_unread)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Option<Bytes> {
        let older = self.open.as_mut().and_then(|open| open.read(buffer));
        older.or_else(|| self.successor.as_mut()?.read(buffer))
    }
}

/// A file that is read.
#[derive(Debug)]
struct Open {
    file: File,
    /// What it was like at the last look.
    stamp: Stamp,
    /// How much of it has been read.
    position: u64,
}

impl Open {
    fn new(path: &Path) -> Option<Self> {
        // Should it be no file after all, opening must not wait for anybody, and take no terminal.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).ok()?;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file =
            opened.inspect_err(|error| tracing::debug!(path = %path.display(), %error, "log file")).ok()?;
        let stamp = Stamp::new(&file.metadata().ok()?)?;
        Some(Self { file, stamp, position: 0 })
    }

    fn look(&mut self) {
        let Some(stamp) = self.file.metadata().ok().as_ref().and_then(Stamp::new) else { return };
        if stamp.len < self.position {
            // It was cut off, and is begun again.
            self.position = 0;
        }
        self.stamp = stamp;
    }

    fn has_unread(&self) -> bool {
        self.position < self.stamp.len
    }

    fn read(&mut self, buffer: &mut [u8]) -> Option<Bytes> {
        let wanted = self.stamp.len.saturating_sub(self.position);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return None;
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.position).unwrap_or(0);
        if read == 0 {
            // It is shorter than it was, or cannot be read: the next look decides.
            self.stamp.len = self.position;
            return None;
        }
        self.position += read as u64;
        Some(Bytes::copy_from_slice(&buffer[..read]))
    }
}

/// What tells a state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns that of what `path` leads to; `None` if it is no file.
    fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().and_then(Self::new)
    }

    fn new(metadata: &Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Less would be nothing but looks.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Largest piece, as that of output.
const PIECE_BYTES_MAX: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    /// A folder with a file `log` that was there before.
    struct World {
        folder: tempfile::TempDir,
        logs: LogFiles,
    }

    impl World {
        fn new(before: Option<&str>, follow: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            if let Some(before) = before {
                fs::write(folder.path().join("log"), before).unwrap();
            }
            let file = LogFile { name: "test".to_owned(), path: "log".to_owned(), follow };
            let spec = ProcessSpec {
                cwd: Some(folder.path().to_owned()),
                log_files: vec![file],
                ..ProcessSpec::new("true")
            };
            Self { logs: LogFiles::new(Instant::now(), &spec), folder }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("log")
        }

        fn append(&self, text: &str) {
            let mut file = OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// Puts another file in its place.
        fn replace(&self, text: &str) {
            let other = self.folder.path().join("other");
            fs::write(&other, text).unwrap();
            fs::rename(other, self.path()).unwrap();
        }

        fn told(&mut self) -> String {
            let mut told = Vec::new();
            while let Some(piece) = self.logs.read() {
                let Piece::Log { name, bytes } = piece else { panic!("{piece:?}") };
                assert_eq!(name, "test");
                assert!((1..=PIECE_BYTES_MAX).contains(&bytes.len()));
                told.extend_from_slice(&bytes);
            }
            assert!(!self.logs.has_unread());
            String::from_utf8(told).unwrap()
        }

        fn look(&mut self) -> String {
            self.logs.handle_timeout(Instant::now());
            self.told()
        }

        fn end(&mut self) -> String {
            self.logs.end();
            self.told()
        }
    }

    #[test]
    fn a_file_that_stays_as_it_was_tells_nothing() {
        for follow in [false, true] {
            let mut world = World::new(Some("before\n"), follow);
            assert_eq!(world.look(), "");
            assert_eq!(world.end(), "");
        }
    }

    #[test]
    fn a_file_that_changes_is_told_from_its_beginning_or_from_its_end() {
        for (follow, first) in [(false, "before\nfirst\n"), (true, "first\n")] {
            let mut world = World::new(Some("before\n"), follow);
            world.append("first\n");
            assert_eq!(world.look(), first);
            assert_eq!(world.look(), "");
            world.append("second\n");
            assert_eq!(world.look(), "second\n");
            world.append("last\n");
            assert_eq!(world.end(), "last\n");
        }
    }

    #[test]
    fn a_file_that_comes_later_is_told_whole() {
        for follow in [false, true] {
            let mut world = World::new(None, follow);
            assert_eq!(world.look(), "");
            world.append("first\n");
            assert_eq!(world.look(), "first\n");
        }
    }

    #[test]
    fn what_came_after_the_last_look_is_told_at_the_end_and_nothing_behind_that() {
        let mut world = World::new(None, false);
        world.append("only\n");
        world.logs.end();
        world.append("too late\n");
        assert_eq!(world.told(), "only\n");
        assert_eq!(world.logs.poll_timeout(), None);
    }

    #[test]
    fn a_file_that_is_cut_off_or_replaced_is_begun_again() {
        for follow in [false, true] {
            let mut world = World::new(None, follow);
            world.append("a long first\n");
            assert_eq!(world.look(), "a long first\n");
            fs::write(world.path(), "cut\n").unwrap();
            assert_eq!(world.look(), "cut\n");
            world.append("rest\n");
            world.replace("replaced\n");
            assert_eq!(world.look(), "rest\n", "what was written to the older one is not lost");
            assert_eq!(world.look(), "replaced\n");
            world.append("rest again\n");
            world.replace("last\n");
            assert_eq!(world.end(), "rest again\nlast\n");
        }
    }

    #[test]
    fn one_that_was_there_before_and_is_cut_off_or_replaced_is_told_whole() {
        for replace in [false, true] {
            let mut world = World::new(Some("quite long before\n"), true);
            if replace {
                world.replace("new, and longer than before\n")
            } else {
                fs::write(world.path(), "new\n").unwrap()
            }
            assert!(world.look().starts_with("new"));
        }
    }

    #[test]
    fn a_long_file_comes_in_pieces_and_none_keeps_the_others_waiting() {
        let mut world = World::new(None, false);
        let second = LogFile { name: "second".to_owned(), path: "second".to_owned(), follow: false };
        world.logs.files.push(Followed::new(world.folder.path(), &second));
        let long = "x".repeat(3 * PIECE_BYTES_MAX);
        world.append(&long);
        fs::write(world.folder.path().join("second"), &long).unwrap();
        world.logs.handle_timeout(Instant::now());
        let names: Vec<String> = std::iter::from_fn(|| world.logs.read())
            .map(|piece| match piece {
                Piece::Log { name, .. } => name,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["test", "second", "test", "second", "test", "second"]);
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let mut world = World::new(None, false);
        fs::create_dir(world.path()).unwrap();
        assert_eq!(world.look(), "");
        fs::remove_dir(world.path()).unwrap();
        let status = std::process::Command::new("mkfifo").arg(world.path()).status();
        assert!(status.expect("mkfifo is installed").success());
        assert_eq!(world.end(), "");
    }

    #[test]
    fn without_files_there_is_nothing_to_look_for() {
        let mut logs = LogFiles::new(Instant::now(), &ProcessSpec::new("true"));
        assert_eq!(logs.poll_timeout(), None);
        assert!(!logs.is_waiting());
        assert_eq!(logs.read(), None);
    }
}

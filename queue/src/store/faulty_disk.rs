//! A disk in memory that fails like real ones: for tests and simulations of whole nodes.
//!
//! What was not synced may be lost, kept or torn when the power goes. Any call can be made to fail, space can end, and a
//! failed sync leaves pages behind that look written and are not. Everything is drawn from a seed: equal seeds and equal
//! calls give equal disks.

mod file;
mod image;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;
use redb::StorageBackend;

use self::file::File;
pub use self::image::DiskImage;
use super::blobs::{BlobName, Blobs};

/// The disk of one machine. Clones are the same disk.
///
/// A process gets at it through [`file`](FaultyDisk::file) and [`blobs`](FaultyDisk::blobs). When the process is
/// [killed](FaultyDisk::kill) or the [power is cut](FaultyDisk::cut_power), what it was given fails from then on and
/// changes nothing: the next process asks anew.
#[derive(Clone, Debug)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

/// One file of a [`FaultyDisk`], for a store's database.
#[derive(Clone, Debug)]
pub struct DiskFile {
    access: Access,
    name: String,
}

/// A folder of side files on a [`FaultyDisk`].
#[derive(Clone, Debug)]
pub struct DiskBlobs {
    access: Access,
    folder: String,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    files: BTreeMap<String, File>,
    /// Which process has the disk: what earlier ones were given is dead.
    process: u64,
    calls: u64,
    fault: Option<(u64, Fault)>,
    /// The power is off until somebody cuts it for good.
    is_off: bool,
    failing_syncs: u64,
    lying_syncs: Option<u64>,
    syncs: u64,
    failed_syncs: u64,
    pages_max: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// This call fails, the next one does not.
    Error(io::ErrorKind),
    /// This call and all later ones fail. What a write would have written may be on the disk.
    PowerCut,
}

impl FaultyDisk {
    /// Makes an empty disk without faults.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: StdRng::seed_from_u64(seed),
            files: BTreeMap::new(),
            process: 0,
            calls: 0,
            fault: None,
            is_off: false,
            failing_syncs: 0,
            lying_syncs: None,
            syncs: 0,
            failed_syncs: 0,
            pages_max: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Returns a file for the process that has the disk now. It is made when it is first written.
    pub fn file(&self, name: &str) -> DiskFile {
        DiskFile { access: self.access(), name: name.to_owned() }
    }

    /// Returns a folder of side files for the process that has the disk now.
    pub fn blobs(&self, folder: &str) -> DiskBlobs {
        DiskBlobs { access: self.access(), folder: format!("{folder}/") }
    }

    /// Ends the process that has the disk. Everything that it wrote is there, durable or not.
    pub fn kill(&self) {
        let mut state = self.state();
        state.process += 1;
        state.clear_faults();
    }

    /// Cuts the power: what was not synced is lost, kept or torn, and the process that had the disk is gone.
    pub fn cut_power(&self) {
        let mut state = self.state();
        state.process += 1;
        state.clear_faults();
        let State { random, files, .. } = &mut *state;
        files.retain(|_, file| file.cut_power(random));
    }

    /// Cuts the power at the `number`th call from now, the first being 1. Nothing works until [`cut_power`] is called.
    ///
    /// [`cut_power`]: FaultyDisk::cut_power
    pub fn cut_power_at(&self, number: u64) {
        let mut state = self.state();
        state.fault = Some((state.calls + number, Fault::PowerCut));
    }

    /// Lets the `number`th call from now fail, the first being 1.
    pub fn fail_at(&self, number: u64, error: io::ErrorKind) {
        let mut state = self.state();
        state.fault = Some((state.calls + number, Fault::Error(error)));
    }

    /// Lets the next `count` syncs fail. What they should have written is on the disk or is not; all of it counts as
    /// written, and what is read later is the one or the other.
    pub fn fail_syncs(&self, count: u64) {
        self.state().failing_syncs = count;
    }

    /// Makes the disk a liar: each sync whose number is divisible by `every` only pretends. No store survives that; a
    /// test that must notice lost writes notices it here.
    pub fn lie_at_syncs(&self, every: u64) {
        self.state().lying_syncs = Some(every.max(1));
    }

    /// Bounds the disk, in bytes, rounded down to pages of 4 KiB. `None`: it has no end.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().pages_max = bytes.map(|bytes| bytes / file::PAGE_BYTES);
    }

    /// Flips bits of a byte of a file, on the disk and as it is read. Nothing happens beyond the file's end.
    pub fn damage(&self, name: &str, offset: usize, bits: u8) {
        if let Some(file) = self.state().files.get_mut(name) {
            file.damage(offset, bits);
        }
    }

    /// Returns the number of calls so far, those that failed included.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Returns the number of syncs so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Returns how many syncs were made to [fail](FaultyDisk::fail_syncs) so far.
    pub fn failed_syncs(&self) -> u64 {
        self.state().failed_syncs
    }

    /// Returns the length of a file in bytes; 0 if there is none.
    pub fn file_bytes(&self, name: &str) -> usize {
        self.state().files.get(name).map_or(0, File::len)
    }

    /// Returns whether a file is on the disk as it is read: neither a write that waits for its sync nor a page that a failed
    /// sync has left behind makes a difference.
    pub fn is_durable(&self, name: &str) -> bool {
        self.state().files.get(name).is_none_or(File::is_durable)
    }

    /// Returns what is allocated on the disk, in bytes.
    pub fn used_bytes(&self) -> usize {
        self.state().used_pages() * file::PAGE_BYTES
    }

    fn access(&self) -> Access {
        Access { state: Arc::clone(&self.state), process: self.state().process }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clear_faults(&mut self) {
        self.is_off = false;
        self.fault = None;
        self.failing_syncs = 0;
    }

    fn used_pages(&self) -> usize {
        self.files.values().map(File::used_pages).sum()
    }

    /// Counts a call, and fails it if its turn has come.
    fn begin_call(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.is_off {
            return Err(power_is_off());
        }
        match self.fault {
            Some((at, fault)) if at <= self.calls => {
                self.fault = None;
                Err(self.strike(fault))
            }
            _ => Ok(()),
        }
    }

    fn strike(&mut self, fault: Fault) -> io::Error {
        match fault {
            Fault::Error(kind) => io::Error::new(kind, "a planned fault"),
            Fault::PowerCut => {
                self.is_off = true;
                power_is_off()
            }
        }
    }

    fn write(&mut self, name: &str, offset: usize, content: &[u8]) -> io::Result<()> {
        let was_on = !self.is_off;
        let begun = self.begin_call();
        if begun.is_err() && !(was_on && self.is_off) {
            return begun;
        }
        // The write during which the power goes is under way to the disk: it may get there.
        let free = self.pages_max.map(|max| max.saturating_sub(self.used_pages()));
        let file = self.files.entry(name.to_owned()).or_default();
        let fits = file.fits(offset, content.len(), free);
        file.write(offset, &content[..fits]);
        begun?;
        if fits < content.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.begin_call()?;
        self.syncs += 1;
        let Some(file) = self.files.get_mut(name) else {
            return Ok(());
        };
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            self.failed_syncs += 1;
            file.fail_sync(&mut self.random);
            return Err(io::Error::other("a sync that was made to fail"));
        }
        if self.lying_syncs.is_none_or(|every| !self.syncs.is_multiple_of(every)) {
            file.sync();
        }
        Ok(())
    }
}

/// The disk as one process has it.
#[derive(Clone, Debug)]
struct Access {
    state: Arc<Mutex<State>>,
    process: u64,
}

impl Access {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.process == self.process { Ok(state) } else { Err(io::Error::other("the process is gone")) }
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.access.state()?;
        state.begin_call()?;
        Ok(state.files.get(&self.name).map_or(0, File::len) as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.access.state()?;
        state.begin_call()?;
        state.files.get(&self.name).ok_or(io::ErrorKind::UnexpectedEof)?.read(place(offset)?, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.access.state()?;
        state.begin_call()?;
        state.files.entry(self.name.clone()).or_default().set_len(place(len)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.access.state()?.sync(&self.name)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.access.state()?.write(&self.name, place(offset)?, data)
    }
}

impl DiskBlobs {
    fn path(&self, name: BlobName) -> String {
        format!("{}{name}", self.folder)
    }
}

impl Blobs for DiskBlobs {
    fn write(&self, name: BlobName, offset: u64, content: &[u8]) -> io::Result<()> {
        self.access.state()?.write(&self.path(name), place(offset)?, content)
    }

    fn sync(&self, name: BlobName) -> io::Result<()> {
        self.access.state()?.sync(&self.path(name))
    }

    fn read(&self, name: BlobName, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.access.state()?;
        state.begin_call()?;
        let file = state.files.get(&self.path(name)).filter(|file| !file.is_removed());
        file.ok_or(io::ErrorKind::NotFound)?.read(place(offset)?, out)
    }

    fn remove(&self, name: BlobName) -> io::Result<()> {
        let mut state = self.access.state()?;
        state.begin_call()?;
        if let Some(file) = state.files.get_mut(&self.path(name)) {
            file.remove();
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<BlobName>> {
        let mut state = self.access.state()?;
        state.begin_call()?;
        let present = state.files.iter().filter(|(_, file)| !file.is_removed());
        let names = present.filter_map(|(path, _)| BlobName::from_hex(path.strip_prefix(&self.folder)?));
        Ok(names.collect())
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_and_the_rest_may_not() {
        let mut kept = Vec::new();
        for seed in 0..50 {
            let disk = FaultyDisk::new(seed);
            let file = disk.file("f");
            file.write(0, b"synced").expect("written");
            file.sync_data().expect("synced");
            file.write(6, b" and more").expect("written");
            disk.cut_power();
            assert!(file.len().is_err(), "the process is gone");
            let file = disk.file("f");
            let mut content = [0; 6];
            file.read(0, &mut content).expect("read");
            assert_eq!(&content, b"synced");
            kept.push(file.len().expect("a length") > 6);
        }
        assert!(kept.contains(&true) && kept.contains(&false), "both happens: {kept:?}");
    }

    #[test]
    fn a_killed_process_loses_nothing() {
        let disk = FaultyDisk::new(1);
        disk.file("f").write(0, b"there").expect("written");
        disk.kill();
        assert_eq!(disk.file("f").len().expect("a length"), 5);
    }

    #[test]
    fn each_call_counts_and_the_planned_one_fails() {
        let disk = FaultyDisk::new(1);
        let file = disk.file("f");
        disk.fail_at(2, io::ErrorKind::PermissionDenied);
        file.write(0, b"1").expect("the first");
        let error = file.sync_data().expect_err("the second");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        file.sync_data().expect("the third");
        assert_eq!((disk.calls(), disk.syncs()), (3, 1));
    }

    #[test]
    fn space_ends_within_a_write_and_comes_back() {
        let disk = FaultyDisk::new(1);
        disk.set_capacity(Some(8192));
        let (file, blobs) = (disk.file("f"), disk.blobs("b"));
        let name = BlobName::from_bytes([1; 16]);
        blobs.write(name, 0, &[1; 4000]).expect("one page");
        let error = file.write(0, &[2; 8192]).expect_err("one page is left");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        file.write(0, &[3; 4096]).expect("what is allocated can be written again");
        blobs.remove(name).expect("removed");
        file.write(4096, &[4; 4096]).expect("room was made");
        assert_eq!(disk.used_bytes(), 8192);
    }

    #[test]
    fn after_a_failed_sync_some_of_it_is_there_and_a_later_sync_writes_none_of_it() {
        let mut lost_although_read = 0;
        for seed in 0..50 {
            let disk = FaultyDisk::new(seed);
            let file = disk.file("f");
            file.write(0, &[7; 4096]).expect("written");
            disk.fail_syncs(1);
            file.sync_data().expect_err("made to fail");
            let mut seen = [0; 4096];
            file.read(0, &mut seen).expect("read");
            file.sync_data().expect("works again");
            disk.cut_power();
            let mut later = [0; 4096];
            disk.file("f").read(0, &mut later).expect("read");
            lost_although_read += u32::from(seen != later);
        }
        assert!(lost_although_read > 0, "this is what makes failed syncs dangerous");
    }

    #[test]
    fn removed_side_files_are_gone_or_come_back_with_the_power() {
        let mut came_back = Vec::new();
        for seed in 0..50 {
            let disk = FaultyDisk::new(seed);
            let (blobs, name) = (disk.blobs("b"), BlobName::from_bytes([1; 16]));
            blobs.write(name, 0, b"content").expect("written");
            blobs.sync(name).expect("synced");
            blobs.remove(name).expect("removed");
            assert!(blobs.names().expect("names").is_empty());
            disk.cut_power();
            came_back.push(!disk.blobs("b").names().expect("names").is_empty());
        }
        assert!(came_back.contains(&true) && came_back.contains(&false), "{came_back:?}");
    }
}

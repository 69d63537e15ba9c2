//! A backup of a disk, and what is on it again afterwards.

use std::collections::BTreeMap;

use super::FaultyDisk;
use super::file::File;

/// What is durable on a disk at one moment: its files by name.
#[derive(Clone, Debug)]
pub struct DiskImage(BTreeMap<String, Vec<u8>>);

impl FaultyDisk {
    /// Returns what would be on the disk if the power went now and nothing got there that was not synced.
    pub fn image(&self) -> DiskImage {
        let state = self.state();
        let durable = |(name, file): (&String, &File)| Some((name.clone(), file.durable()?.to_vec()));
        DiskImage(state.files.iter().filter_map(durable).collect())
    }

    /// Replaces all that is on the disk by what was on it once. Whoever had the disk has it no more.
    pub fn restore(&self, image: &DiskImage) {
        self.kill();
        let restored = |(name, content): (&String, &Vec<u8>)| (name.clone(), File::restored(content.clone()));
        self.state().files = image.0.iter().map(restored).collect();
    }
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend;

    use super::*;

    #[test]
    fn what_was_durable_is_back_and_nothing_else() {
        let disk = FaultyDisk::new(1);
        let file = disk.file("a");
        file.write(0, b"durable").unwrap();
        file.sync_data().unwrap();
        file.write(0, b"written").unwrap();
        disk.file("b").write(0, b"written").unwrap();
        let image = disk.image();
        file.sync_data().unwrap();
        disk.restore(&image);
        assert!(file.len().is_err(), "its process is gone");
        let mut content = [0; 7];
        disk.file("a").read(0, &mut content).unwrap();
        assert_eq!((&content, disk.file_bytes("b")), (b"durable", 0));
        assert!(disk.is_durable("a"));
    }
}

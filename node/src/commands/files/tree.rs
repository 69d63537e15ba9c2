//! A folder as a stream of bytes and back: tar, with names relative to the folder.
//!
//! Blocking code, for threads that may block. Nothing that is unpacked gets out of its folder: names with `..`, absolute
//! names and ways through links are refused.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;

/// What was in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeCount {
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// A channel as blocking [`Write`].
#[derive(Debug)]
pub(super) struct PieceWriter(pub(super) mpsc::Sender<Bytes>);

/// Writes what is in `folder` as a tar stream. Returns what it was, and the writer.
///
/// Links are written as links. What is neither file, folder nor link is left out. Of a file that grows meanwhile as much
/// is written as it had.
///
/// # Errors
///
/// Those of reading the folder and of the writer; and a file that becomes shorter meanwhile.
pub fn pack<W: Write>(folder: &Path, writer: W) -> io::Result<(TreeCount, W)> {
    let mut archive = tar::Builder::new(writer);
    archive.follow_symlinks(false);
    let mut packed = TreeCount::default();
    walk(folder, &mut |path, metadata| {
        let name = path.strip_prefix(folder).map_err(io::Error::other)?;
        if metadata.is_dir() {
            archive.append_dir(name, path)
        } else if metadata.is_file() {
            packed.files += 1;
            packed.bytes += metadata.len();
            append_file(&mut archive, path, name, metadata)
        } else {
            archive.append_path_with_name(path, name)
        }
    })?;
    Ok((packed, archive.into_inner()?))
}

/// Writes a file as long as `metadata` says: its length stands before its content.
fn append_file<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &Path,
    name: &Path,
    metadata: &Metadata,
) -> io::Result<()> {
    let mut file = File::open(path)?;
    if metadata.blocks().saturating_mul(BLOCK_BYTES) < metadata.len() {
        // It has holes. The crate writes what is between them, of the length that it had.
        return archive.append_file(name, &mut file);
    }
    let mut header = tar::Header::new_gnu();
    header.set_metadata(metadata);
    let mut content = file.take(metadata.len());
    archive.append_data(&mut header, name, &mut content)?;
    if content.limit() > 0 { Err(became_shorter(path)) } else { Ok(()) }
}

pub(super) fn became_shorter(path: &Path) -> io::Error {
    io::Error::other(format!("{} became shorter while it was read", path.display()))
}

/// Makes `folder`, which must not exist, of a tar stream, and reads the stream to its end.
///
/// # Errors
///
/// Those of the reader and of writing the folder; and names that lead out of the folder.
pub fn unpack(mut reader: impl Read, folder: &Path) -> io::Result<TreeCount> {
    std::fs::create_dir(folder)?;
    let mut unpacked = TreeCount::default();
    let mut archive = tar::Archive::new(&mut reader);
    archive.set_preserve_permissions(true);
    archive.set_overwrite(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let (is_file, bytes) = (entry.header().entry_type().is_file(), entry.size());
        if !entry.unpack_in(folder)? {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{name} leads out of the folder"),
            ));
        }
        if is_file {
            unpacked.files += 1;
            unpacked.bytes += bytes;
        }
    }
    // Only the end of the stream says that it came whole.
    io::copy(&mut reader, &mut io::sink())?;
    Ok(unpacked)
}

/// Counts what is in a folder.
///
/// # Errors
///
/// Those of reading the folder.
pub fn count(folder: &Path) -> io::Result<TreeCount> {
    let mut counted = TreeCount::default();
    walk(folder, &mut |_, metadata| {
        if metadata.is_file() {
            counted.files += 1;
            counted.bytes += metadata.len();
        }
        Ok(())
    })?;
    Ok(counted)
}

/// Visits what is below a folder, parents first, in the order of names. Links are not followed; sockets, pipes and
/// devices are passed over.
fn walk(folder: &Path, visit: &mut impl FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            paths.push(entry?.path());
        }
        paths.sort_unstable();
        for path in paths {
            let metadata = std::fs::symlink_metadata(&path)?;
            if metadata.is_dir() || metadata.is_file() || metadata.is_symlink() {
                visit(&path, &metadata)?;
            }
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(())
}

impl Write for PieceWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Bytes::copy_from_slice(buffer)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a file's length on the disk is counted in.
const BLOCK_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder with files, an empty folder, a link and modes.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        fs::create_dir(path("empty")).unwrap();
        fs::write(path("a/one"), "one").unwrap();
        fs::write(path("a/b/two"), vec![7; 100_000]).unwrap();
        fs::write(path("nothing"), "").unwrap();
        fs::set_permissions(path("a/one"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("a/one", path("link")).unwrap();
        folder
    }

    #[test]
    fn a_folder_comes_back_as_it_was() {
        let (from, to) = (folder(), tempfile::tempdir().unwrap());
        let to = to.path().join("copy");
        let (packed, bytes) = pack(from.path(), Vec::new()).unwrap();
        assert_eq!(packed, TreeCount { files: 3, bytes: 100_003 });
        assert_eq!(count(from.path()).unwrap(), packed);
        assert_eq!(unpack(&bytes[..], &to).unwrap(), packed);
        assert_eq!(fs::read(to.join("a/b/two")).unwrap(), vec![7; 100_000]);
        assert_eq!(fs::metadata(to.join("a/one")).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a/one"));
        assert!(to.join("empty").is_dir() && to.join("nothing").is_file());
    }

    /// Changes a file once the first header is written, and keeps what is written.
    struct Changing<F: FnMut()> {
        written: Vec<u8>,
        change: F,
    }

    impl<F: FnMut()> Write for Changing<F> {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            if self.written.is_empty() {
                (self.change)();
            }
            self.written.write(buffer)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_that_grows_is_packed_as_it_was_and_one_that_shrinks_is_an_error() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = from.path().join("log");
        fs::write(&log, "one").unwrap();
        fs::write(from.path().join("other"), "two").unwrap();
        let grow = || fs::write(&log, vec![1; 5000]).unwrap();
        let (packed, stream) = pack(from.path(), Changing { written: Vec::new(), change: grow }).unwrap();
        assert_eq!(packed, TreeCount { files: 2, bytes: 6 });
        let copy = to.path().join("copy");
        assert_eq!(unpack(&stream.written[..], &copy).unwrap(), packed);
        assert_eq!(
            (fs::read(copy.join("log")).unwrap(), fs::read(copy.join("other")).unwrap()),
            (vec![1; 3], b"two".to_vec())
        );

        let shrink = || fs::write(&log, "").unwrap();
        let shrunk = pack(from.path(), Changing { written: Vec::new(), change: shrink });
        assert!(shrunk.is_err_and(|error| error.to_string().contains("shorter")));
    }

    #[test]
    fn holes_are_not_packed() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = File::create(from.path().join("disk")).unwrap();
        file.set_len(100 << 20).unwrap();
        let (packed, stream) = pack(from.path(), Vec::new()).unwrap();
        assert_eq!(packed, TreeCount { files: 1, bytes: 100 << 20 });
        assert!(stream.len() < 1 << 20, "{} bytes", stream.len());
        let copy = to.path().join("copy");
        unpack(&stream[..], &copy).unwrap();
        assert_eq!(fs::metadata(copy.join("disk")).unwrap().len(), 100 << 20);
    }

    #[test]
    fn nothing_gets_out_of_its_folder() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "way", &outside).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        archive.append_data(&mut header, "way/evil", &b"evil"[..]).unwrap();
        let bytes = archive.into_inner().unwrap();
        assert!(unpack(&bytes[..], &place.path().join("inside")).is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);

        // A name that the writer of the library refuses, by hand.
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        let name = b"../outside/evil";
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_cksum();
        archive.append(&header, &b"evil"[..]).unwrap();
        let bytes = archive.into_inner().unwrap();
        assert!(unpack(&bytes[..], &place.path().join("inside-2")).is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn a_stream_that_ends_too_early_is_an_error() {
        let (from, to) = (folder(), tempfile::tempdir().unwrap());
        let (_, bytes) = pack(from.path(), Vec::new()).unwrap();
        assert!(unpack(&bytes[..bytes.len() / 2], &to.path().join("copy")).is_err());
    }
}

//! Counting heap blocks by whose code asked for them.

use std::io;

use serde::Deserialize;
use tempfile::TempDir;

use super::cost::{Heap, Owners};

/// Counts all blocks that the process asks for until it is finished.
pub(crate) struct Profile {
    profiler: dhat::Profiler,
    folder: TempDir,
}

/// What dhat writes, as far as it is read here: places in the code, by the numbers of their frames from the innermost out.
#[derive(Deserialize)]
struct Written {
    pps: Vec<Place>,
    ftbl: Vec<String>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(rename = "tbk")]
    blocks: u64,
    #[serde(rename = "tb")]
    bytes: u64,
    #[serde(rename = "fs")]
    frames: Vec<usize>,
}

impl Profile {
    /// Begins to count.
    ///
    /// # Errors
    ///
    /// When there is no folder for what is counted.
    pub(crate) fn begin() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let builder = dhat::Profiler::builder().trim_backtraces(Some(FRAMES_MAX));
        let profiler = builder.file_name(folder.path().join(FILE)).build();
        Ok(Self { profiler, folder })
    }

    /// Ends it, and returns what was counted.
    ///
    /// # Errors
    ///
    /// When that could not be written or is not understood.
    pub(crate) fn finish(self) -> io::Result<Owners> {
        drop(self.profiler);
        let written: Written = serde_json::from_slice(&std::fs::read(self.folder.path().join(FILE))?)?;
        let mut owners = Owners::default();
        for place in &written.pps {
            let frames = place.frames.iter().filter_map(|frame| written.ftbl.get(*frame));
            let heap = Heap { blocks: place.blocks, bytes: place.bytes };
            *(if is_quinns(frames.map(String::as_str)) { &mut owners.quinn } else { &mut owners.ours }) +=
                heap;
        }
        Ok(owners)
    }
}

/// Returns whether quinn's code, or that of the cryptography under it, asked for a block: the innermost frame that names a
/// crate says whose it is, be it in a type or in a path. What the runtime asks for by itself counts as ours.
fn is_quinns<'a>(frames: impl Iterator<Item = &'a str>) -> bool {
    let names = |frame: &str, words: &[&str]| words.iter().any(|word| frame.contains(word));
    let mut owners = frames.filter_map(|frame| {
        if names(frame, &QUINNS) { Some(true) } else { names(frame, &OURS).then_some(false) }
    });
    owners.next().unwrap_or(false)
}

const QUINNS: [&str; 3] = ["quinn", "rustls", "ring-"];

const OURS: [&str; 5] = ["runnel", "codec/src", "queue/src", "transport/src", "node/src"];

const FILE: &str = "heap.json";

/// Frames that are looked at: enough to get from the allocator through generic code to a crate's own.
const FRAMES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_that_of_the_nearest_code() {
        let ours = "0x1: new<runnel_queue::send_queue::entry::Entry> (alloc/src/boxed.rs:286:19)";
        let quinns = "0x2: {closure#0} (quinn-0.11.12/src/send_stream.rs:100:50)";
        let neither = "0x3: grow_one<alloc::alloc::Global> (src/raw_vec/mod.rs:491:41)";
        assert!(!is_quinns([neither, ours, quinns].into_iter()));
        assert!(is_quinns([neither, quinns, ours].into_iter()));
        assert!(!is_quinns([neither].into_iter()));
    }
}

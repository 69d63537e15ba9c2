//! What is stored of a durable command's body: from what it can be produced again.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::source::{Source, Stamp};

impl Source {
    /// Writes it down; `None` for what only this process can produce.
    pub(crate) fn to_stored(&self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        match self {
            Self::Bytes(content) if content.len() <= STORED_BYTES_MAX => {
                out.put_u8(BYTES);
                out.put_slice(content);
            }
            Self::File(path, stamp) => {
                out.put_u8(FILE);
                stamp.put(&mut out);
                out.put_slice(path.as_os_str().as_bytes());
            }
            Self::Bytes(_) | Self::Live(_) => return None,
        }
        Some(out.freeze())
    }

    /// Reads it again; `None` for what was not written by [`to_stored`](Self::to_stored).
    pub(crate) fn from_stored(mut stored: Bytes) -> Option<Self> {
        match stored.try_get_u8().ok()? {
            BYTES => Some(Self::Bytes(stored)),
            FILE => {
                let stamp = Stamp::take(&mut stored)?;
                Some(Self::File(PathBuf::from(OsString::from_vec(stored.to_vec())), stamp))
            }
            _ => None,
        }
    }
}

const BYTES: u8 = 1;
const FILE: u8 = 2;

/// Longest content that is stored with its command: as long as an inline payload may be. A longer one is to be a file.
const STORED_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_produced_again_reads_back() {
        let bytes = Source::Bytes(Bytes::from_static(b"content"));
        let stored = bytes.to_stored().expect("it is short");
        assert!(matches!(Source::from_stored(stored), Some(Source::Bytes(content)) if content == "content"));
        let stamp = Stamp { bytes: 5, inode: 7, modified_ns: -1 };
        let file = Source::File(PathBuf::from("/a/b c"), stamp);
        let read = Source::from_stored(file.to_stored().expect("it is a file"));
        assert!(matches!(read, Some(Source::File(path, read)) if path == *"/a/b c" && read == stamp));
    }

    #[test]
    fn what_only_this_process_has_is_not_stored() {
        let (live, _awaited) = tokio::sync::oneshot::channel();
        assert_eq!(Source::Live(live).to_stored(), None);
        assert_eq!(Source::Bytes(vec![0; STORED_BYTES_MAX + 1].into()).to_stored(), None);
        for damaged in [&b""[..], &[9], &[FILE, 1, 2]] {
            assert!(Source::from_stored(Bytes::copy_from_slice(damaged)).is_none(), "{damaged:?}");
        }
    }
}

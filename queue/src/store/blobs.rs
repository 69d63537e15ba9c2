//! Side files: contents too large for the database, each under a name of its own.

use std::fmt;
use std::io;

/// Where side files are kept: a folder of its own, or a simulated disk.
///
/// A content is durable once [`sync`](Blobs::sync) has returned. Until then a power cut may lose it, keep it or tear it.
pub trait Blobs: fmt::Debug + Send + Sync {
    /// Writes `content` at `offset` of a file, which is made if there is none.
    ///
    /// # Errors
    ///
    /// What the disk said. Part of the content may be there.
    fn write(&self, name: BlobName, offset: u64, content: &[u8]) -> io::Result<()>;

    /// Makes a file durable, its name included.
    ///
    /// # Errors
    ///
    /// What the disk said. Nothing is known of the file then.
    fn sync(&self, name: BlobName) -> io::Result<()>;

    /// Fills `out` from `offset` of a file.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file, `UnexpectedEof` if it ends earlier, else what the disk said.
    fn read(&self, name: BlobName, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Deletes a file; nothing happens if there is none. A power cut may bring it back.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn remove(&self, name: BlobName) -> io::Result<()>;

    /// Returns the names of all files.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn names(&self) -> io::Result<Vec<BlobName>>;
}

/// Name of a side file. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName([u8; 16]);

impl BlobName {
    /// Makes a name of 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads a name as it is shown. `None`: that is not one.
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_shown_so = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_shown_so) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_are_shown() {
        let name = BlobName::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(name.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(BlobName::from_hex(&name.to_string()), Some(name));
        for other in ["", "00", "000102030405060708090A0B0C0D0EFF", "+00102030405060708090a0b0c0d0eff"] {
            assert_eq!(BlobName::from_hex(other), None, "{other}");
        }
    }
}

//! A body compressed on its way out.

use std::io::{self, Write};

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use runnel_codec::{Decode, Encode};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As `gzip` does.
    Gzip,
    /// As `bzip2` does: smaller, and several times the work.
    Bzip2,
}

/// Compresses what is written to it.
pub(super) enum Compressor<W: Write> {
    None(W),
    Gzip(GzEncoder<W>),
    Bzip2(BzEncoder<W>),
}

impl<W: Write> Compressor<W> {
    pub(super) fn new(compression: Compression, writer: W) -> Self {
        match compression {
            Compression::None => Self::None(writer),
            Compression::Gzip => Self::Gzip(GzEncoder::new(writer, flate2::Compression::default())),
            Compression::Bzip2 => Self::Bzip2(BzEncoder::new(writer, bzip2::Compression::default())),
        }
    }

    /// Writes what is left, and the end.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(writer) => Ok(writer),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Bzip2(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(writer) => writer.write(buffer),
            Self::Gzip(encoder) => encoder.write(buffer),
            Self::Bzip2(encoder) => encoder.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(writer) => writer.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Bzip2(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_compressed_reads_back() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for compression in [Compression::None, Compression::Gzip, Compression::Bzip2] {
            for content in [&content[..], &[]] {
                let mut compressor = Compressor::new(compression, Vec::new());
                compressor.write_all(content).unwrap();
                let written = compressor.finish().unwrap();
                let mut read = Vec::new();
                match compression {
                    Compression::None => read.extend_from_slice(&written),
                    Compression::Gzip => {
                        flate2::read::GzDecoder::new(&written[..]).read_to_end(&mut read).map(|_| ()).unwrap()
                    }
                    Compression::Bzip2 => {
                        bzip2::read::BzDecoder::new(&written[..]).read_to_end(&mut read).map(|_| ()).unwrap()
                    }
                }
                assert!(read == content, "{compression:?}");
            }
        }
    }
}

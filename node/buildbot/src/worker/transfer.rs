//! Commands that move files between the master and the worker, block by block.

use std::num::NonZeroUsize;

use super::Refusal;
use super::arguments::Arguments;
use crate::ids::RemoteId;
use crate::jelly::Value;

/// `uploadFile`: a file that is sent to the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The folder that the path counts from.
    pub folder: String,
    /// The file. May begin with `~`.
    pub path: String,
    /// The object of the master that takes blocks.
    pub writer: RemoteId,
    /// Longest block, in bytes.
    pub block_bytes: NonZeroUsize,
    /// How much of the file is sent, in bytes. A longer one is cut, which is an error.
    pub bytes_max: Option<u64>,
    /// Whether the file's times are sent too.
    pub keep_times: bool,
}

/// `uploadDirectory`: a folder that is sent to the master as a tar archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadFolder {
    /// The folder that the path counts from.
    pub folder: String,
    /// The folder that is sent. May begin with `~`.
    pub path: String,
    /// The object of the master that takes blocks.
    pub writer: RemoteId,
    /// Longest block, in bytes.
    pub block_bytes: NonZeroUsize,
    /// How much of the archive is sent, in bytes. A longer one is cut, which is an error.
    pub bytes_max: Option<u64>,
    /// How the archive is compressed.
    pub compression: Compression,
}

/// `downloadFile`: a file that is written with what the master has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The folder that the path counts from.
    pub folder: String,
    /// The file. May begin with `~`.
    pub path: String,
    /// The object of the master that gives blocks.
    pub reader: RemoteId,
    /// Longest block, in bytes.
    pub block_bytes: NonZeroUsize,
    /// How much is written, in bytes. Of a longer file the rest is missing, which is an error.
    pub bytes_max: Option<u64>,
    /// The file's permissions; none are set if there are none.
    pub mode: Option<u32>,
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// With gzip.
    Gzip,
    /// With bzip2.
    Bzip2,
}

impl Upload {
    pub(super) fn of(args: Arguments<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            writer: args.remote("writer")?,
            folder: args.path_or_empty("workdir")?,
            path: args.path("workersrc")?,
            block_bytes: block_bytes_of(args)?,
            bytes_max: bytes_max_of(args)?,
            keep_times: args.flag("keepstamp", false)?,
        })
    }
}

impl UploadFolder {
    pub(super) fn of(args: Arguments<'_>) -> Result<Self, Refusal> {
        let argument = "compress";
        let compression = match args.given(argument).map(Value::as_text) {
            None => Compression::None,
            Some(Some("gz")) => Compression::Gzip,
            Some(Some("bz2")) => Compression::Bzip2,
            Some(_) => return Err(Refusal::Wrong { argument, expected: "gz, bz2 or None" }),
        };
        Ok(Self {
            writer: args.remote("writer")?,
            folder: args.path_or_empty("workdir")?,
            path: args.path("workersrc")?,
            block_bytes: block_bytes_of(args)?,
            bytes_max: bytes_max_of(args)?,
            compression,
        })
    }
}

impl Download {
    pub(super) fn of(args: Arguments<'_>) -> Result<Self, Refusal> {
        let mode = args.count("mode")?.map(|mode| u32::try_from(mode).ok().filter(|mode| *mode <= MODE_MAX));
        if mode == Some(None) {
            return Err(Refusal::Wrong { argument: "mode", expected: "permissions" });
        }
        Ok(Self {
            reader: args.remote("reader")?,
            folder: args.path_or_empty("workdir")?,
            path: args.path("workerdest")?,
            block_bytes: block_bytes_of(args)?,
            bytes_max: bytes_max_of(args)?,
            mode: mode.flatten(),
        })
    }
}

/// Returns the length of a block: at most what one message can have, whatever the master says, so that a transfer that
/// is set up with longer blocks works all the same.
fn block_bytes_of(args: Arguments<'_>) -> Result<NonZeroUsize, Refusal> {
    let argument = "blocksize";
    let bytes = args.count(argument)?.ok_or(Refusal::Missing { argument })?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(BLOCK_BYTES_MAX);
    NonZeroUsize::new(bytes).ok_or(Refusal::Wrong { argument, expected: "a length" })
}

/// Returns how much may be transferred. Less than nothing is nothing.
fn bytes_max_of(args: Arguments<'_>) -> Result<Option<u64>, Refusal> {
    match args.given("maxsize") {
        Some(Value::Int(negative)) if *negative < 0 => Ok(Some(0)),
        _ => args.count("maxsize"),
    }
}

/// Twisted's own limit of a string.
const BLOCK_BYTES_MAX: usize = 640 << 10;

const MODE_MAX: u32 = 0o7777;

#[cfg(test)]
mod tests {
    use super::*;

    fn args(pairs: Vec<(&str, Value)>) -> Value {
        let object = |key: &str| (key.into(), Value::Remote(RemoteId::from_wire(5)));
        let given = pairs.into_iter().map(|(key, value)| (key.into(), value));
        let mut all = vec![
            object("writer"),
            object("reader"),
            ("workdir".into(), "build".into()),
            ("workersrc".into(), "~/a".into()),
            ("workerdest".into(), "b".into()),
            ("blocksize".into(), Value::Int(16384)),
            ("maxsize".into(), Value::None),
        ];
        all.extend(given);
        Value::Dict(all)
    }

    #[test]
    fn an_upload_is_read() {
        let upload = Upload::of(Arguments(&args(vec![]))).expect("it is good");
        let block_bytes = NonZeroUsize::new(16384).expect("not 0");
        let expected = Upload {
            folder: "build".to_owned(),
            path: "~/a".to_owned(),
            writer: RemoteId::from_wire(5),
            block_bytes,
            bytes_max: None,
            keep_times: false,
        };
        assert_eq!(upload, expected);
        let args = args(vec![("keepstamp", Value::Bool(true)), ("maxsize", Value::Int(7))]);
        let upload = Upload::of(Arguments(&args)).expect("it is good");
        assert_eq!((upload.keep_times, upload.bytes_max), (true, Some(7)));
    }

    #[test]
    fn blocks_are_never_longer_than_a_message_can_have() {
        let block = |len| {
            let args = args(vec![("blocksize", Value::Int(len))]);
            Upload::of(Arguments(&args)).map(|upload| upload.block_bytes.get())
        };
        assert_eq!(block(1), Ok(1));
        assert_eq!(block(1 << 20), Ok(640 << 10));
        assert_eq!(block(i64::MAX), Ok(640 << 10));
        assert_eq!(block(0), Err(Refusal::Wrong { argument: "blocksize", expected: "a length" }));
        assert!(block(-1).is_err());
    }

    #[test]
    fn a_folder_is_compressed_in_a_known_way() {
        let compression = |value| {
            let args = args(vec![("compress", value)]);
            UploadFolder::of(Arguments(&args)).map(|upload| upload.compression)
        };
        assert_eq!(compression(Value::None), Ok(Compression::None));
        assert_eq!(compression("gz".into()), Ok(Compression::Gzip));
        assert_eq!(compression("bz2".into()), Ok(Compression::Bzip2));
        assert!(matches!(compression("xz".into()), Err(Refusal::Wrong { argument: "compress", .. })));
        assert!(matches!(compression(Value::Int(1)), Err(Refusal::Wrong { argument: "compress", .. })));
    }

    #[test]
    fn a_download_has_permissions_or_none() {
        let mode = |value| {
            let args = args(vec![("mode", value), ("maxsize", Value::Int(-1))]);
            Download::of(Arguments(&args)).map(|download| (download.mode, download.bytes_max))
        };
        assert_eq!(mode(Value::None), Ok((None, Some(0))));
        assert_eq!(mode(Value::Int(0o755)), Ok((Some(0o755), Some(0))));
        assert!(mode(Value::Int(0o10000)).is_err());
        assert!(mode(Value::Int(-1)).is_err());
    }
}

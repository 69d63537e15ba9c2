//! `fs.put` and `fs.get`: files and folders as bodies, whole or not at all.
//!
//! A file travels as it is, a folder as a tar stream. What is put appears under its name only once it is complete and
//! checked; until then it lies beside it under a name that begins with a dot.

mod compress;
mod get;
mod put;
mod tree;

use std::sync::Arc;

use runnel_codec::{Command, Decode, Encode};

use crate::handler::Handlers;
use crate::process::Confinement;

pub use self::compress::Compression;
pub use self::tree::{TreeCount, count, pack, unpack};

/// `fs.put/1`: makes a file or folder of the command's body.
#[derive(Debug)]
pub enum FsPut {}

/// `fs.get/1`: brings a file or folder as the body of the result. Harmless to run again.
#[derive(Debug)]
pub enum FsGet {}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum FileKind {
    /// The content of one file.
    File,
    /// A tar stream of what is in a folder, with names relative to it.
    Folder,
}

/// Where to put what.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsPutArgs {
    /// Where it is to be; relative paths count from the worker's root, or its working directory.
    pub path: String,
    /// What the body is.
    pub kind: FileKind,
    /// Permission bits of a file, such as `0o644`; if none, those of the file that it replaces, else the worker's default.
    /// Those in a folder come with it.
    pub mode: Option<u32>,
    /// Whether something of that name is replaced; otherwise it is an error.
    pub replace: bool,
    /// Whether missing folders above it are made.
    pub make_parents: bool,
}

/// What to bring.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsGetArgs {
    /// The file or folder; relative paths count from the worker's root, or its working directory.
    pub path: String,
    /// How the body is compressed on the worker, so that links carry less.
    pub compress: Compression,
}

/// What was found, said before the body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsFound {
    /// What the body is.
    pub kind: FileKind,
    /// Bytes of all files in it: the length of a file's body, a little less than a folder's, as far as it is not compressed.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// When it was last read, in nanoseconds since 1970; before that, negative.
    pub accessed_ns: i64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// What was brought from one machine to the other, or copied on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct FsDone {
    /// Files; 1 unless it was a folder.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Command for FsPut {
    const NAME: &'static str = "fs.put/1";
    type Args = FsPutArgs;
    type Update = runnel_codec::Never;
    type Result = FsDone;
}

impl Command for FsGet {
    const NAME: &'static str = "fs.get/1";
    const IDEMPOTENT: bool = true;
    type Args = FsGetArgs;
    type Update = FsFound;
    type Result = FsDone;
}

pub(super) fn register(handlers: &mut Handlers, confinement: &Arc<Confinement>) {
    let for_put = confinement.clone();
    handlers.on::<FsPut, _, _>(move |context, args| put::run(context, args, for_put.clone()));
    let for_get = confinement.clone();
    handlers.on::<FsGet, _, _>(move |context, args| get::run(context, args, for_get.clone()));
}

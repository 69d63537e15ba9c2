//! What the tests of these commands share: a root, and beside it a folder that is out of bounds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use runnel_codec::{FailureKind, Outcome};

use super::{FoldersConfig, Work};
use crate::handler::HandlerError;
use crate::process::Confinement;

/// A root and what lies beside it.
pub(super) struct Yard {
    place: tempfile::TempDir,
    pub(super) confinement: Confinement,
}

impl Yard {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for name in ["root", "outside"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let root = Some(place.path().join("root"));
        Self { place, confinement: Confinement { root, ..Confinement::default() } }
    }

    /// With a folder `tree` that has files, folders, and links within and outside.
    pub(super) fn with_tree() -> Self {
        let yard = Self::new();
        fs::create_dir_all(yard.inside("tree/sub/deep")).unwrap();
        fs::write(yard.inside("tree/file"), "file").unwrap();
        fs::write(yard.inside("tree/sub/deep/file"), "deep").unwrap();
        symlink("sub/deep/file", yard.inside("tree/link")).unwrap();
        symlink(yard.outside(""), yard.inside("tree/sub/way")).unwrap();
        yard
    }

    pub(super) fn inside(&self, name: &str) -> PathBuf {
        self.place.path().canonicalize().unwrap().join("root").join(name)
    }

    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.place.path().canonicalize().unwrap().join("outside").join(name)
    }

    pub(super) fn work(&self) -> Work {
        Work {
            confinement: Arc::new(self.confinement.clone()),
            config: Arc::new(FoldersConfig::default()),
            stopped: Box::new(|| None),
        }
    }
}

/// Returns what a failure says.
#[track_caller]
pub(super) fn message<T: std::fmt::Debug>(done: Result<T, HandlerError>) -> String {
    match done.expect_err("it should have failed").into_outcome() {
        Outcome::Failed(failure) if failure.kind == FailureKind::Handler => failure.message,
        other => panic!("{other:?}"),
    }
}

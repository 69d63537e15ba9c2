//! What a worker lets others run, and where: a guard rail, not a sandbox.
//!
//! A program that is let in may do whatever the worker's user may do. Names are checked here, once, before
//! the start; somebody who may rename directories below the root at the same moment can slip past.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::spec::ProcessSpec;

/// Which programs may be started and below which directory work is done. By default nothing is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Confinement {
    /// The programs that may be started, written as in the command: `"make"` is looked up in the worker's own
    /// `PATH` and does not allow `"/tmp/make"`. Default: any program; an empty list allows none.
    ///
    /// Too short, commands are refused; too long, the list protects from nothing: a shell, an interpreter or
    /// a build tool on it stands for every program.
    pub allowed_programs: Option<Vec<String>>,
    /// The directory that working directories and named files must lie in; relative ones count from it.
    /// Default: any.
    ///
    /// Too deep, commands cannot reach what they need; too shallow, they may be sent to what they should not
    /// see.
    pub root: Option<PathBuf>,
}

impl Confinement {
    /// Checks `spec` and returns it with program and working directory resolved, ready to be started.
    ///
    /// Asks the file system, and so may block for a moment.
    ///
    /// # Errors
    /// See [`ConfinementError`].
    pub fn confine(&self, mut spec: ProcessSpec) -> Result<ProcessSpec, ConfinementError> {
        if let Some(allowed) = &self.allowed_programs {
            check_environment(&spec)?;
            spec.program = resolve_program(allowed, spec.program)?;
        }
        if self.root.is_some() {
            let cwd = spec.cwd.take().unwrap_or_default();
            let cwd = self.resolve(&cwd)?;
            for file in &spec.log_files {
                self.resolve(&cwd.join(&file.path))?;
            }
            spec.cwd = Some(cwd);
        }
        Ok(spec)
    }

    /// Returns where `path` lies below the root, with symbolic links followed as far as the path exists. The
    /// rest need not exist. Without a root returns `path` as it is.
    ///
    /// Asks the file system, and so may block for a moment.
    ///
    /// # Errors
    /// See [`ConfinementError`].
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, ConfinementError> {
        let Some(root) = &self.root else { return Ok(path.to_owned()) };
        // `a/..` is not where `a` lies if `a` is a link, so no reading of `..` is safe by its text alone.
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(ConfinementError::ParentComponent { path: path.to_owned() });
        }
        let root = root
            .canonicalize()
            .map_err(|source| ConfinementError::RootMissing { root: root.clone(), source })?;
        let resolved = resolve_existing(&root.join(path))?;
        if !resolved.starts_with(&root) {
            return Err(ConfinementError::OutsideRoot { path: path.to_owned(), root });
        }
        Ok(resolved)
    }
}

/// Why a worker does not do what was asked. Asking again is of no use before the request or the worker's
/// configuration has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfinementError {
    /// The program is not on the worker's list: add it there, written in exactly this way, or use one that
    /// is.
    #[error("program {program} is not among the allowed programs of this worker")]
    ProgramNotAllowed {
        /// The program as it was asked for.
        program: String,
    },
    /// The program is on the list, but not installed on the worker's `PATH`.
    #[error("allowed program {program} is not found in the PATH of this worker")]
    ProgramNotFound {
        /// The program as it was asked for.
        program: String,
    },
    /// The variable would load foreign code into an allowed program: leave it out.
    #[error("variable {name} may not be set on a worker with allowed programs")]
    VariableNotAllowed {
        /// The variable's name.
        name: String,
    },
    /// The path has a part `..`: write it without.
    #[error("path {} contains ..", path.display())]
    ParentComponent {
        /// The path as it was asked for.
        path: PathBuf,
    },
    /// The path, or a symbolic link on it, leads out of the worker's root: choose one inside.
    #[error("path {} is outside the root {}", path.display(), root.display())]
    OutsideRoot {
        /// The path as it was asked for.
        path: PathBuf,
        /// The worker's root, resolved.
        root: PathBuf,
    },
    /// A symbolic link on the path leads to nothing, so where it would lead later cannot be checked: remove
    /// it.
    #[error("symbolic link {} leads to nothing", link.display())]
    DanglingLink {
        /// The link.
        link: PathBuf,
    },
    /// The worker's root cannot be used: create it, or correct the configuration.
    #[error("root {} cannot be used", root.display())]
    RootMissing {
        /// The root as configured.
        root: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path cannot be examined: a directory may not be read, a file stands in its place, or links go in
    /// circles.
    #[error("path {} cannot be examined", path.display())]
    Io {
        /// The part of the path that was looked at.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Refuses variables of the dynamic loader: with them any program would run any code.
fn check_environment(spec: &ProcessSpec) -> Result<(), ConfinementError> {
    let loads_code = |name: &str| name.starts_with("LD_") || name.starts_with("DYLD_");
    match spec.env.iter().find(|(name, value)| value.is_some() && loads_code(name)) {
        Some((name, _)) => Err(ConfinementError::VariableNotAllowed { name: name.clone() }),
        None => Ok(()),
    }
}

/// Finds an allowed program on the worker's own `PATH`: the request may bring a `PATH` with other programs.
fn resolve_program(allowed: &[String], program: String) -> Result<String, ConfinementError> {
    if !allowed.contains(&program) {
        return Err(ConfinementError::ProgramNotAllowed { program });
    }
    if program.contains('/') {
        return Ok(program);
    }
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    find_in_path(&search_path, &program).ok_or(ConfinementError::ProgramNotFound { program })
}

fn find_in_path(search_path: &OsStr, program: &str) -> Option<String> {
    std::env::split_paths(search_path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|candidate| is_executable(candidate))
        .and_then(|found| found.into_os_string().into_string().ok())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Follows the links of the part of `path` that exists and appends the part that does not.
pub(crate) fn resolve_existing(path: &Path) -> Result<PathBuf, ConfinementError> {
    let examine = |source| ConfinementError::Io { path: path.to_owned(), source };
    let mut existing = path;
    let mut missing = Vec::new();
    loop {
        match existing.canonicalize() {
            Ok(resolved) if missing.is_empty() => return Ok(resolved),
            Ok(resolved) => return Ok(resolved.join(missing.iter().rev().collect::<PathBuf>())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(examine(error)),
            // A link to nothing looks missing too, yet a file made under its name would lie wherever it
            // points.
            Err(_) if existing.is_symlink() => {
                return Err(ConfinementError::DanglingLink { link: existing.to_owned() });
            }
            Err(error) => {
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                    return Err(examine(error));
                };
                missing.push(name);
                existing = parent;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::process::LogFile;

    fn allowing(programs: &[&str]) -> Confinement {
        let programs = programs.iter().map(|&program| program.to_owned()).collect();
        Confinement { allowed_programs: Some(programs), root: None }
    }

    /// A root with a directory `inside` and, beside it, one that is out of bounds.
    fn rooted() -> (tempfile::TempDir, PathBuf, Confinement) {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("root/inside")).unwrap();
        fs::create_dir(base.join("root-beside")).unwrap();
        let root = base.join("root");
        let confinement = Confinement { allowed_programs: None, root: Some(root.clone()) };
        (place, root, confinement)
    }

    #[test]
    fn nothing_is_confined_by_default() {
        let spec = ProcessSpec { cwd: Some("../x".into()), ..ProcessSpec::new("anything") };
        assert_eq!(Confinement::default().confine(spec.clone()).unwrap(), spec);
    }

    #[test]
    fn an_allowed_name_becomes_the_workers_own_program() {
        let spec = ProcessSpec {
            env: vec![("PATH".to_owned(), Some("/tmp/elsewhere".to_owned()))],
            ..ProcessSpec::new("cat")
        };
        let confined = allowing(&["cat"]).confine(spec).unwrap();
        assert!(
            confined.program.starts_with('/') && confined.program.ends_with("/cat"),
            "{}",
            confined.program
        );
    }

    #[test]
    fn a_program_must_be_listed_exactly() {
        for program in ["sh", "/tmp/cat", "./cat", "cat ", ""] {
            let refusal = allowing(&["cat"]).confine(ProcessSpec::new(program)).unwrap_err();
            assert!(matches!(refusal, ConfinementError::ProgramNotAllowed { .. }), "{program}: {refusal}");
        }
    }

    #[test]
    fn a_listed_program_that_is_not_installed_is_said_to_be_missing() {
        let refusal =
            allowing(&["no-such-program"]).confine(ProcessSpec::new("no-such-program")).unwrap_err();
        assert!(matches!(refusal, ConfinementError::ProgramNotFound { .. }), "{refusal}");
    }

    #[test]
    fn a_variable_that_loads_code_is_refused_beside_a_list() {
        let spec = ProcessSpec {
            env: vec![("LD_PRELOAD".to_owned(), Some("./mine.so".to_owned()))],
            ..ProcessSpec::new("cat")
        };
        assert!(Confinement::default().confine(spec.clone()).is_ok());
        let refusal = allowing(&["cat"]).confine(spec).unwrap_err();
        assert!(matches!(refusal, ConfinementError::VariableNotAllowed { .. }), "{refusal}");
        let removed = ProcessSpec { env: vec![("LD_PRELOAD".to_owned(), None)], ..ProcessSpec::new("cat") };
        assert!(allowing(&["cat"]).confine(removed).is_ok());
    }

    #[test]
    fn the_working_directory_is_the_root_or_lies_in_it() {
        let (_place, root, confinement) = rooted();
        for (asked, found) in [
            (None, root.clone()),
            (Some(PathBuf::from("inside")), root.join("inside")),
            (Some(root.join("inside")), root.join("inside")),
        ] {
            let spec = ProcessSpec { cwd: asked, ..ProcessSpec::new("true") };
            assert_eq!(confinement.confine(spec).unwrap().cwd, Some(found));
        }
    }

    #[test]
    fn followed_files_lie_in_the_root_wherever_work_is_done() {
        let (_place, root, confinement) = rooted();
        symlink("../../root-beside", root.join("inside/out")).unwrap();
        let confine = |path: &str| {
            let file = LogFile { name: "log".to_owned(), path: path.to_owned(), follow: false };
            let cwd = Some(PathBuf::from("inside"));
            confinement.confine(ProcessSpec { cwd, log_files: vec![file], ..ProcessSpec::new("true") })
        };
        for path in ["log", "new/log", &root.join("log").display().to_string()] {
            assert_eq!(confine(path).unwrap().log_files[0].path, path);
        }
        for path in ["../log", "out/log", "/etc/passwd"] {
            assert!(confine(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_does_not_exist_yet_is_resolved_below_what_does() {
        let (_place, root, confinement) = rooted();
        symlink("inside", root.join("link")).unwrap();
        assert_eq!(confinement.resolve(Path::new("link/new/file")).unwrap(), root.join("inside/new/file"));
        assert_eq!(confinement.resolve(Path::new("./new")).unwrap(), root.join("new"));
    }

    #[test]
    fn no_path_escapes_by_its_text() {
        let (_place, root, confinement) = rooted();
        for path in ["..", "inside/../../root-beside", "inside/.."] {
            let refusal = confinement.resolve(Path::new(path)).unwrap_err();
            assert!(matches!(refusal, ConfinementError::ParentComponent { .. }), "{path}: {refusal}");
        }
        for path in [PathBuf::from("/etc"), root.with_file_name("root-beside"), PathBuf::from("/")] {
            let refusal = confinement.resolve(&path).unwrap_err();
            assert!(matches!(refusal, ConfinementError::OutsideRoot { .. }), "{}: {refusal}", path.display());
        }
    }

    #[test]
    fn no_path_escapes_by_a_link() {
        let (_place, root, confinement) = rooted();
        symlink("../root-beside", root.join("out")).unwrap();
        for path in ["out", "out/new"] {
            let refusal = confinement.resolve(Path::new(path)).unwrap_err();
            assert!(matches!(refusal, ConfinementError::OutsideRoot { .. }), "{path}: {refusal}");
        }
        symlink("../root-beside/later", root.join("dangling")).unwrap();
        for path in ["dangling", "dangling/new"] {
            let refusal = confinement.resolve(Path::new(path)).unwrap_err();
            assert!(matches!(refusal, ConfinementError::DanglingLink { .. }), "{path}: {refusal}");
        }
    }

    #[test]
    fn a_path_through_a_file_cannot_be_examined() {
        let (_place, root, confinement) = rooted();
        fs::write(root.join("file"), "").unwrap();
        let refusal = confinement.resolve(Path::new("file/below")).unwrap_err();
        assert!(matches!(refusal, ConfinementError::Io { .. }), "{refusal}");
    }

    #[test]
    fn a_missing_root_is_not_blamed_on_the_path() {
        let (place, _root, _confinement) = rooted();
        let confinement = Confinement { allowed_programs: None, root: Some(place.path().join("nowhere")) };
        let refusal = confinement.resolve(Path::new("inside")).unwrap_err();
        assert!(matches!(refusal, ConfinementError::RootMissing { .. }), "{refusal}");
    }

    #[test]
    #[cfg(feature = "daemon")]
    fn a_misspelt_setting_is_refused() {
        let read = |text: &str| toml::from_str::<Confinement>(text);
        assert_eq!(read("allowed_programs = [\"make\"]").unwrap(), allowing(&["make"]));
        assert!(read("allowed_program = [\"make\"]").is_err());
    }
}

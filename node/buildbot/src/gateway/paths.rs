//! Paths on a node, as a master names them: relative to the builder's folder, with `~` for the home.

/// The folder from which the paths of a command count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The builder's folder, absolute.
    folder: String,
    /// The home of the user as whom the node runs, if that is known.
    home: Option<String>,
}

impl Place {
    pub(super) fn new(folder: String, home: Option<String>) -> Self {
        Self { folder, home }
    }

    /// Returns the absolute path of one that counts from `folder`, itself relative to the builder's. An absolute part
    /// wins over what is before it, and `..` stays as it is: the node's system resolves it.
    pub(super) fn path(&self, folder: &str, path: &str) -> String {
        join(&join(&self.folder, &self.expand(folder)), &self.expand(path))
    }

    /// Replaces a `~` at the beginning. Other users' homes are not known.
    fn expand(&self, path: &str) -> String {
        match (path.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
            _ => path.to_owned(),
        }
    }
}

/// Returns the absolute path of a part that counts from `folder`.
pub(super) fn join(folder: &str, part: &str) -> String {
    match part {
        "" => folder.to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        part => format!("{}/{part}", folder.strip_suffix('/').unwrap_or(folder)),
    }
}

/// Returns the last part of a path.
pub(super) fn name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_counts_from_the_builders_folder_unless_it_is_absolute() {
        let place = Place::new("/srv/w/b".to_owned(), Some("/home/w".to_owned()));
        for (folder, path, absolute) in [
            ("build", "a", "/srv/w/b/build/a"),
            ("", "a/b", "/srv/w/b/a/b"),
            ("build", "", "/srv/w/b/build"),
            ("build", "../a", "/srv/w/b/build/../a"),
            ("/tmp", "a", "/tmp/a"),
            ("build", "/etc/hosts", "/etc/hosts"),
            ("build", "~/a", "/home/w/a"),
            ("~", "a", "/home/w/a"),
            ("build", "~other/a", "/srv/w/b/build/~other/a"),
        ] {
            assert_eq!(place.path(folder, path), absolute);
        }
    }

    #[test]
    fn the_last_part_is_the_name() {
        assert_eq!((name("/a/b"), name("/a/b/"), name("a"), name("/")), ("b", "b", "a", ""));
    }
}

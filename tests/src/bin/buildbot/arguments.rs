//! What is asked for.

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// What takes minutes, for each change of the project.
    pub(crate) is_quick: bool,
    /// Figures instead of results.
    pub(crate) is_measuring: bool,
    /// Only what has this text in its name.
    pub(crate) only: String,
    /// Only names.
    pub(crate) is_list: bool,
    pub(crate) is_json: bool,
    /// Folders of the run stay, whatever comes of it.
    pub(crate) keeps: bool,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => arguments.is_quick = true,
                "--measure" => arguments.is_measuring = true,
                "--list" => arguments.is_list = true,
                "--json" => arguments.is_json = true,
                "--keep" => arguments.keeps = true,
                "--only" => arguments.only = words.next().ok_or("--only needs a value")?,
                _ => return Err(format!("there is no argument {word}")),
            }
        }
        Ok(arguments)
    }

    /// Returns whether something of this name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

pub(crate) const USAGE: &str =
    "usage: buildbot [--quick | --measure] [--only TEXT] [--list] [--json] [--keep]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let words = ["--quick", "--only", "runnel/direct", "--json"].map(str::to_owned);
        let only = "runnel/direct".to_owned();
        let expected = Arguments { is_quick: true, is_json: true, only, ..Arguments::default() };
        assert_eq!(Arguments::parse(words.into_iter()), Ok(expected));
        assert!(Arguments::parse(["--only".to_owned()].into_iter()).is_err());
        assert!(Arguments::parse(["--fast".to_owned()].into_iter()).is_err());
    }
}

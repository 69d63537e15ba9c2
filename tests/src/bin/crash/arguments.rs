//! What is asked for.

use super::plan::Sabotage;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) rounds: u64,
    pub(super) seed: u64,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) is_json: bool,
}

impl Arguments {
    pub(super) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { rounds: 20, seed: 1, sabotage: None, is_json: false };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => arguments.rounds = number(&value()?)?,
                "--seed" => arguments.seed = number(&value()?)?,
                "--sabotage" => arguments.sabotage = Some(Sabotage::parse(&value()?)?),
                "--json" => arguments.is_json = true,
                _ => return Err(format!("there is no argument {word}")),
            }
        }
        Ok(arguments)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

pub(super) const USAGE: &str =
    "usage: crash [--rounds N] [--seed S] [--sabotage lose|double|output] [--json]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let words = ["--rounds", "5", "--sabotage", "double", "--json"].map(str::to_owned);
        let expected = Arguments { rounds: 5, seed: 1, sabotage: Some(Sabotage::Double), is_json: true };
        assert_eq!(Arguments::parse(words.into_iter()), Ok(expected));
        assert!(Arguments::parse(["--sabotage".to_owned(), "all".to_owned()].into_iter()).is_err());
        assert!(Arguments::parse(["--round".to_owned()].into_iter()).is_err());
    }
}

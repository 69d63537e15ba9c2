//! What has to come of a step.

/// What has to come of a builder's build.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    pub(crate) name: &'static str,
    pub(crate) result: i64,
    pub(crate) steps: Vec<Expected>,
    /// Another builder whose build runs beside it.
    pub(crate) beside: Option<&'static str>,
    /// Whether it is part of the quick run.
    pub(crate) is_quick: bool,
    /// Why it is not run with the reference worker.
    pub(crate) not_for_reference: Option<&'static str>,
}

/// What has to come of a step.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) step: &'static str,
    /// Any of these.
    pub(crate) results: Vec<i64>,
    pub(crate) checks: Vec<Check>,
    /// What is known to be wrong with the reference worker there.
    pub(crate) known: Option<&'static str>,
    /// What has to come of it instead where the master speaks msgpack.
    pub(crate) over_msgpack: Option<Box<Expected>>,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    /// The log of this name has this text, in which lines begin with `o`, `e` or `h`.
    Says(&'static str, String),
    /// No log has this text.
    Hides(&'static str),
    /// The whole standard output.
    Output(String),
    /// How often a character is in the standard output.
    Count(char, usize),
    /// A whole log.
    Log(&'static str, String),
    /// A field of the answer of a command, as JSON.
    Answer(&'static str, serde_json::Value),
    /// A file of the master.
    AtMaster(String, File),
    /// A file in the builder's folder on the worker.
    AtWorker(&'static str, File),
}

/// What a file is like.
#[derive(Clone, Debug)]
pub(crate) enum File {
    Holds(Vec<u8>),
    IsMissing,
    /// Permission bits.
    HasMode(u32),
    /// Seconds since 1970.
    WasModifiedAt(u64),
    LinksTo(&'static str),
    /// A field of its JSON, by a pointer such as `/properties/branch`.
    HasField(&'static str, serde_json::Value),
}

impl Builder {
    pub(crate) fn new(name: &'static str, result: i64, steps: Vec<Expected>) -> Self {
        Self { name, result, steps, beside: None, is_quick: false, not_for_reference: None }
    }

    pub(crate) fn quick(self) -> Self {
        Self { is_quick: true, ..self }
    }

    pub(crate) fn beside(self, other: &'static str) -> Self {
        Self { beside: Some(other), ..self }
    }

    pub(crate) fn not_for_reference(self, why: &'static str) -> Self {
        Self { not_for_reference: Some(why), ..self }
    }
}

impl Expected {
    pub(crate) fn new(step: &'static str, results: &[i64]) -> Self {
        Self { step, results: results.to_vec(), checks: Vec::new(), known: None, over_msgpack: None }
    }

    pub(crate) fn known(self, known: &'static str) -> Self {
        Self { known: Some(known), ..self }
    }

    /// Says what a master that speaks msgpack cannot do.
    pub(crate) fn over_msgpack(self, instead: Self) -> Self {
        Self { over_msgpack: Some(Box::new(instead)), ..self }
    }

    pub(crate) fn says(self, text: impl Into<String>) -> Self {
        self.says_in("stdio", text)
    }

    pub(crate) fn says_in(self, log: &'static str, text: impl Into<String>) -> Self {
        self.with(Check::Says(log, text.into()))
    }

    pub(crate) fn hides(self, text: &'static str) -> Self {
        self.with(Check::Hides(text))
    }

    pub(crate) fn output(self, text: impl Into<String>) -> Self {
        self.with(Check::Output(text.into()))
    }

    pub(crate) fn count(self, character: char, count: usize) -> Self {
        self.with(Check::Count(character, count))
    }

    pub(crate) fn log(self, name: &'static str, text: impl Into<String>) -> Self {
        self.with(Check::Log(name, text.into()))
    }

    pub(crate) fn answer(self, field: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.with(Check::Answer(field, value.into()))
    }

    pub(crate) fn at_master(self, path: impl Into<String>, file: File) -> Self {
        self.with(Check::AtMaster(path.into(), file))
    }

    pub(crate) fn at_worker(self, path: &'static str, file: File) -> Self {
        self.with(Check::AtWorker(path, file))
    }

    fn with(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }
}

//! The commands that a master has started on a connection, and what is said of them.
//!
//! This protocol has no objects: what a command says goes by the master's name for it. The commands of the
//! [`worker`](crate::worker) name objects, so each has one here, which is its sink, its writer and its reader.

use std::collections::{BTreeMap, HashMap};

use super::lines::{Lines, Said};
use crate::ids::RemoteId;
use crate::jelly::Value;
use crate::worker::{Command, MasterCall, MasterCommandId, Refusal, Start, Update};

/// The commands of one connection that have not been closed.
#[derive(Debug, Default)]
pub struct Commands {
    open: HashMap<RemoteId, Open>,
    last: i64,
}

/// What is to be asked of the master, for [`Exchange::call`](super::Exchange::call).
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The operation.
    pub op: &'static str,
    /// Its arguments by name.
    pub fields: Vec<(Value, Value)>,
}

/// This protocol has no such call, or the command is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such call of a command in this protocol")]
pub struct NoSuchCall;

#[derive(Debug)]
struct Open {
    id: MasterCommandId,
    transfer: Option<Transfer>,
    texts: BTreeMap<Stream, Lines>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    Upload,
    UploadFolder,
    Download,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Stdout,
    Stderr,
    Header,
    Log(String),
}

impl Commands {
    /// Reads a command and gives it an object, by which its calls are told.
    ///
    /// # Errors
    ///
    /// When there is no such command, or its arguments are not what they have to be.
    pub fn open(&mut self, id: MasterCommandId, name: &str, args: Value) -> Result<Start, Refusal> {
        let sink = RemoteId::from_wire(self.last + 1);
        let command = Command::of_msgpack(name, args, sink)?;
        let transfer = match &command {
            Command::Upload(_) => Some(Transfer::Upload),
            Command::UploadFolder(_) => Some(Transfer::UploadFolder),
            Command::Download(_) => Some(Transfer::Download),
            _ => None,
        };
        self.last += 1;
        self.open.insert(sink, Open { id: id.clone(), transfer, texts: BTreeMap::new() });
        Ok(Start { sink, id, command })
    }

    /// Forgets a command, of which nothing more is said.
    pub fn close(&mut self, sink: RemoteId) {
        self.open.remove(&sink);
    }

    /// Returns what is to be asked of the master, in order, for a call that is made `now`, in seconds since 1970. The
    /// answer to the last is the answer to the call.
    ///
    /// There may be nothing: a text that ends within a line waits for its rest.
    ///
    /// # Errors
    ///
    /// When this protocol has no such call.
    pub fn say(&mut self, sink: RemoteId, call: MasterCall, now: f64) -> Result<Vec<Outgoing>, NoSuchCall> {
        let open = self.open.get_mut(&sink).ok_or(NoSuchCall)?;
        let one = |op, args: Option<(&str, Value)>| Ok(vec![open.id.outgoing(op, args)]);
        let args = |value| Some(("args", value));
        match (call, open.transfer) {
            (MasterCall::Update(updates), _) => Ok(open.update(updates, now).into_iter().collect()),
            (MasterCall::Complete(failure), _) => {
                let end = failure.map_or(Value::None, |failure| failure.to_string().into());
                let rest = open.rest(now);
                let end = open.id.outgoing("complete", args(end));
                Ok(rest.into_iter().chain([end]).collect())
            }
            (MasterCall::Write(block), Some(Transfer::Upload)) => {
                one("update_upload_file_write", args(Value::Bytes(block)))
            }
            (MasterCall::Write(block), Some(Transfer::UploadFolder)) => {
                one("update_upload_directory_write", args(Value::Bytes(block)))
            }
            (MasterCall::Close, Some(Transfer::Upload)) => one("update_upload_file_close", None),
            (MasterCall::Close, Some(Transfer::Download)) => one("update_read_file_close", None),
            (MasterCall::Unpack, Some(Transfer::UploadFolder)) => one("update_upload_directory_unpack", None),
            (MasterCall::SetTimes { accessed_at, modified_at }, Some(Transfer::Upload)) => {
                let mut times =
                    open.id.outgoing("update_upload_file_utime", Some(("access_time", accessed_at.into())));
                times.fields.push(("modified_time".into(), modified_at.into()));
                Ok(vec![times])
            }
            (MasterCall::Read { bytes_max }, Some(Transfer::Download)) => {
                let len = Value::Int(i64::try_from(bytes_max).unwrap_or(i64::MAX));
                one("update_read_file", Some(("length", len)))
            }
            _ => Err(NoSuchCall),
        }
    }
}

impl Open {
    /// Returns the update of what has whole lines, if anything has.
    fn update(&mut self, updates: Vec<Update>, now: f64) -> Option<Outgoing> {
        let mut pairs = Vec::new();
        for update in updates {
            match update {
                Update::Stdout(text) => self.push(Stream::Stdout, &text, now, &mut pairs),
                Update::Stderr(text) => self.push(Stream::Stderr, &text, now, &mut pairs),
                Update::Log { name, text } => self.push(Stream::Log(name), &text, now, &mut pairs),
                Update::Header(text) => {
                    // What the worker says stands behind what the program has said before, be it a whole line or not.
                    self.finish(&[Stream::Stdout, Stream::Stderr], now, &mut pairs);
                    self.push(Stream::Header, &text, now, &mut pairs);
                    self.finish(&[Stream::Header], now, &mut pairs);
                }
                update @ Update::ReturnCode(_) => {
                    self.finish_all(now, &mut pairs);
                    pairs.push(pair_of(update));
                }
                update => pairs.push(pair_of(update)),
            }
        }
        self.outgoing(pairs)
    }

    /// Returns the update of lines that were never finished, if there are any.
    fn rest(&mut self, now: f64) -> Option<Outgoing> {
        let mut pairs = Vec::new();
        self.finish_all(now, &mut pairs);
        self.outgoing(pairs)
    }

    fn push(&mut self, stream: Stream, text: &str, now: f64, pairs: &mut Vec<Value>) {
        let said = self.texts.entry(stream.clone()).or_default().push(text, now);
        pairs.extend(stream.pair(said));
    }

    fn finish(&mut self, streams: &[Stream], now: f64, pairs: &mut Vec<Value>) {
        for stream in streams {
            if let Some(lines) = self.texts.get_mut(stream) {
                pairs.extend(stream.pair(lines.finish(now)));
            }
        }
    }

    fn finish_all(&mut self, now: f64, pairs: &mut Vec<Value>) {
        for (stream, lines) in &mut self.texts {
            pairs.extend(stream.pair(lines.finish(now)));
        }
    }

    fn outgoing(&self, pairs: Vec<Value>) -> Option<Outgoing> {
        (!pairs.is_empty()).then(|| self.id.outgoing("update", Some(("args", Value::List(pairs)))))
    }
}

impl Stream {
    /// Returns a pair of an update, unless there are no lines: a master takes no empty text.
    fn pair(&self, said: Said) -> Option<Value> {
        if said.is_empty() {
            return None;
        }
        let lines = said.into_value();
        let (key, value) = match self {
            Self::Stdout => ("stdout", lines),
            Self::Stderr => ("stderr", lines),
            Self::Header => ("header", lines),
            Self::Log(name) => ("log", Value::List(vec![name.as_str().into(), lines])),
        };
        Some(Value::List(vec![key.into(), value]))
    }
}

impl MasterCommandId {
    fn outgoing(&self, op: &'static str, args: Option<(&str, Value)>) -> Outgoing {
        let id = ("command_id".into(), self.to_string().into());
        let args = args.map(|(name, value)| (name.into(), value));
        Outgoing { op, fields: [id].into_iter().chain(args).collect() }
    }
}

fn pair_of(update: Update) -> Value {
    let (key, value) = update.into_pair();
    Value::List(vec![key.into(), value])
}

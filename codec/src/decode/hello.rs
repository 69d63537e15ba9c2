//! Reading a hello and its lists.

use super::fields::Fields;
use crate::error::DecodeError;
use crate::head::CommandName;
use crate::hello::{HELLO_COMMANDS_MAX, HELLO_SETTLED_MAX, Hello, HelloAnswer, Settled};
use crate::id::{Epoch, FleetId, LinkNumber, Seq};
use crate::lineage::{LINEAGE_MAX, Lineage, REACHES_MAX, Reach};

pub(super) fn decode_answer(fields: &mut Fields) -> Result<HelloAnswer, DecodeError> {
    match fields.u8()? {
        0 => decode_hello(fields).map(HelloAnswer::Welcome),
        1 => Ok(HelloAnswer::TooLow { highest: fields.nonzero(LinkNumber::from_wire)? }),
        _ => Err(fields.malformed()),
    }
}

pub(super) fn decode_hello(fields: &mut Fields) -> Result<Hello, DecodeError> {
    Ok(Hello {
        fleet: fields.name(str::parse::<FleetId>)?,
        link: fields.nonzero(LinkNumber::from_wire)?,
        boot: fields.nonzero(Epoch::from_wire)?,
        store: fields.u64().map(Epoch::from_wire)?,
        receiver: fields.u64().map(Epoch::from_wire)?,
        expected_boot: fields.u64().map(Epoch::from_wire)?,
        expected_receiver: fields.u64().map(Epoch::from_wire)?,
        features: fields.u64()?,
        receive_window: fields.u64()?,
        args_bytes_max: fields.u32()?,
        payload_bytes_max: fields.u32()?,
        commands: decode_list(fields, COMMANDS, |fields| fields.name(str::parse::<CommandName>))?,
        settled: decode_list(fields, SETTLED, decode_settled)?,
        lineage: decode_lineage(fields)?,
        sent: decode_reaches(fields)?,
        journaled: decode_reaches(fields)?,
    })
}

fn decode_lineage(fields: &mut Fields) -> Result<Lineage, DecodeError> {
    let processes = fields.u64()?;
    let boots = decode_list(fields, BOOTS, |fields| fields.nonzero(Epoch::from_wire))?;
    Lineage::from_parts(processes, boots).ok_or_else(|| fields.malformed())
}

fn decode_reaches(fields: &mut Fields) -> Result<Vec<Reach>, DecodeError> {
    let mut last = None::<Reach>;
    decode_list(fields, REACHES, |fields| {
        let reach = Reach { process: fields.u64()?, position: fields.u64()? };
        let is_further =
            last.is_none_or(|last| last.process < reach.process && last.position < reach.position);
        if reach.process == 0 || reach.position == 0 || !is_further {
            return Err(fields.malformed());
        }
        last = Some(reach);
        Ok(reach)
    })
}

pub(super) fn decode_settled(fields: &mut Fields) -> Result<Settled, DecodeError> {
    let epoch = fields.nonzero(Epoch::from_wire)?;
    let low = fields.u64().map(Seq::from_wire)?;
    let ranges = decode_ranges(fields, low)?;
    Ok(Settled { epoch, low, ranges })
}

/// Reads ranges of numbers above `low`, which ascend and leave at least one number between them.
pub(super) fn decode_ranges(fields: &mut Fields, low: Option<Seq>) -> Result<Vec<(Seq, Seq)>, DecodeError> {
    let mut end = low.map_or(0, Seq::to_wire);
    let mut is_first = true;
    decode_list(fields, RANGES, |fields| {
        let first = fields.nonzero(Seq::from_wire)?;
        let last = fields.nonzero(Seq::from_wire)?;
        // A range may follow the low mark at once, but not another range: those two would be one.
        let gap = if std::mem::take(&mut is_first) { 0 } else { 1 };
        let is_ascending = first.to_wire().checked_sub(end).is_some_and(|distance| distance > gap);
        if !is_ascending || last < first {
            return Err(fields.malformed());
        }
        end = last.to_wire();
        Ok((first, last))
    })
}

/// How many entries a list may have, and how short they can be.
struct ListRule {
    entries_max: usize,
    entry_bytes_min: usize,
}

/// The shortest name is `a/1` with its length.
const COMMANDS: ListRule = ListRule { entries_max: HELLO_COMMANDS_MAX, entry_bytes_min: 4 };

/// The shortest entry is an epoch and a mark without ranges.
const SETTLED: ListRule = ListRule { entries_max: HELLO_SETTLED_MAX, entry_bytes_min: 17 };

const BOOTS: ListRule = ListRule { entries_max: LINEAGE_MAX, entry_bytes_min: 8 };

const REACHES: ListRule = ListRule { entries_max: REACHES_MAX, entry_bytes_min: 16 };

/// A range takes as much in memory as on the wire: the frame's length is its bound.
const RANGES: ListRule = ListRule { entries_max: usize::MAX, entry_bytes_min: 16 };

fn decode_list<T>(
    fields: &mut Fields,
    rule: ListRule,
    mut decode: impl FnMut(&mut Fields) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = fields.count(rule.entry_bytes_min)?;
    if count > rule.entries_max {
        return Err(fields.malformed());
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(decode(fields)?);
    }
    Ok(entries)
}

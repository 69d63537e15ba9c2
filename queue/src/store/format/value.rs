//! Contents of rows as bytes, by kind.

use bytes::{BufMut, BytesMut};
use runnel_codec::{Class, Lineage, Reach, Seq, Settled, StoreProcess, UpdatePolicy};

use super::fields::{Fields, Malformed, put_bytes, put_duration, put_epoch, put_list, put_option};
use super::outcome::{outcome, put_outcome};
use crate::clock::ClockReading;
use crate::store::row::{
    AcceptedRow, CommandRow, Idempotency, OutcomeRow, ProgressRow, ReceiverRow, Row, RowKey, RunRow,
    SenderRow, StoreRow, StoredDeadline,
};

/// Writes what goes under a row's key.
pub(super) fn put_row(row: &Row, out: &mut BytesMut) {
    match row {
        Row::Store(row) => put_store(row, out),
        Row::Receiver(_, row) => put_receiver(row, out),
        Row::Command(_, _, row) => put_command(row, out),
        Row::Progress(_, _, row) => put_progress(row, out),
        Row::Outcome(_, _, row) => put_outcome_row(row, out),
        Row::Sender(_, row) => put_sender(row, out),
        Row::Run(_, _, row) => put_run(row, out),
        Row::Update(_, _, _, content)
        | Row::Token(_, _, content)
        | Row::Output(_, _, _, content)
        | Row::ResultPiece(_, _, _, content) => put_bytes(content, out),
    }
}

/// Reads what is under this key.
pub(super) fn row(key: RowKey, fields: &mut Fields) -> Result<Row, Malformed> {
    Ok(match key {
        RowKey::Store => Row::Store(store(fields)?),
        RowKey::Receiver(peer) => Row::Receiver(peer, receiver(fields)?),
        RowKey::Command(peer, key) => Row::Command(peer, key, Box::new(command(fields)?)),
        RowKey::Progress(peer, key) => Row::Progress(peer, key, progress(fields)?),
        RowKey::Update(peer, key, number) => Row::Update(peer, key, number, fields.bytes()?),
        RowKey::Outcome(peer, key) => Row::Outcome(peer, key, outcome_row(fields)?),
        RowKey::Sender(peer) => Row::Sender(peer, sender(fields)?),
        RowKey::Run(peer, key) => Row::Run(peer, key, Box::new(run(fields)?)),
        RowKey::Token(peer, key) => Row::Token(peer, key, fields.bytes()?),
        RowKey::Output(peer, key, number) => Row::Output(peer, key, number, fields.bytes()?),
        RowKey::ResultPiece(peer, key, offset) => Row::ResultPiece(peer, key, offset, fields.bytes()?),
    })
}

fn put_store(row: &StoreRow, out: &mut BytesMut) {
    put_epoch(row.epoch, out);
    out.put_u64(row.lineage.processes());
    put_list(row.lineage.boots(), out, |boot, out| put_epoch(*boot, out));
}

fn store(fields: &mut Fields) -> Result<StoreRow, Malformed> {
    let (epoch, processes) = (fields.epoch()?, fields.u64()?);
    let lineage = Lineage::from_parts(processes, fields.list(Fields::epoch)?);
    Ok(StoreRow { epoch, lineage: lineage.ok_or(Malformed("lineage that no store has"))? })
}

fn put_receiver(row: &ReceiverRow, out: &mut BytesMut) {
    put_list(&row.sent, out, put_reach);
    put_settled(&row.settled, out);
    put_option(row.receiver, out, put_epoch);
    put_reach(&row.journaled, out);
}

fn receiver(fields: &mut Fields) -> Result<ReceiverRow, Malformed> {
    Ok(ReceiverRow {
        sent: fields.list(reach)?,
        settled: settled(fields)?,
        receiver: fields.option(Fields::epoch)?,
        journaled: reach(fields)?,
    })
}

fn put_command(row: &CommandRow, out: &mut BytesMut) {
    out.put_u8(row.class.to_wire());
    put_bytes(row.name.as_str().as_bytes(), out);
    out.put_u8(row.idempotent.into());
    put_bytes(&row.args, out);
    put_bytes(&row.payload, out);
    put_option(row.body.as_ref(), out, |body, out| put_bytes(body, out));
    out.put_u64(row.body_held_bytes);
    out.put_u8(row.wants_result_body.into());
    put_policy(row.updates, out);
    put_option(row.deadline.as_ref(), out, put_deadline);
    put_option(row.idempotency.as_ref(), out, put_idempotency);
    put_bytes(&row.label, out);
}

fn command(fields: &mut Fields) -> Result<CommandRow, Malformed> {
    Ok(CommandRow {
        class: class(fields)?,
        name: fields.command_name()?,
        idempotent: fields.flag()?,
        args: fields.bytes()?,
        payload: fields.bytes()?,
        body: fields.option(Fields::bytes)?,
        body_held_bytes: fields.u64()?,
        wants_result_body: fields.flag()?,
        updates: policy(fields)?,
        deadline: fields.option(deadline)?,
        idempotency: fields.option(idempotency)?,
        label: fields.bytes()?,
    })
}

fn put_progress(row: &ProgressRow, out: &mut BytesMut) {
    put_option(row.bound, out, put_epoch);
    out.put_u8(row.is_cancelled.into());
    out.put_u8(row.has_started.into());
    out.put_u32(row.runs);
    out.put_u64(row.updates);
    out.put_u64(row.update_bytes);
}

fn progress(fields: &mut Fields) -> Result<ProgressRow, Malformed> {
    Ok(ProgressRow {
        bound: fields.option(Fields::epoch)?,
        is_cancelled: fields.flag()?,
        has_started: fields.flag()?,
        runs: fields.u32()?,
        updates: fields.u64()?,
        update_bytes: fields.u64()?,
    })
}

fn put_outcome_row(row: &OutcomeRow, out: &mut BytesMut) {
    out.put_u8(row.class.to_wire());
    put_bytes(row.name.as_str().as_bytes(), out);
    put_outcome(&row.outcome, out);
    put_clock(&row.ended_at, out);
    out.put_u8(row.is_taken.into());
    put_option(row.idempotency.as_ref(), out, put_idempotency);
    put_bytes(&row.label, out);
}

fn outcome_row(fields: &mut Fields) -> Result<OutcomeRow, Malformed> {
    Ok(OutcomeRow {
        class: class(fields)?,
        name: fields.command_name()?,
        outcome: outcome(fields)?,
        ended_at: clock(fields)?,
        is_taken: fields.flag()?,
        idempotency: fields.option(idempotency)?,
        label: fields.bytes()?,
    })
}

fn put_sender(row: &SenderRow, out: &mut BytesMut) {
    put_option(row.store, out, put_epoch);
    put_option(row.process, out, put_process);
    put_list(&row.settled, out, put_settled);
    put_list(&row.fenced, out, |epoch, out| put_epoch(*epoch, out));
    out.put_u64(row.generation);
    put_list(&row.journaled, out, put_reach);
    put_clock(&row.met_at, out);
}

fn sender(fields: &mut Fields) -> Result<SenderRow, Malformed> {
    Ok(SenderRow {
        store: fields.option(Fields::epoch)?,
        process: fields.option(process)?,
        settled: fields.list(settled)?,
        fenced: fields.list(Fields::epoch)?,
        generation: fields.u64()?,
        journaled: fields.list(reach)?,
        met_at: clock(fields)?,
    })
}

fn put_run(row: &RunRow, out: &mut BytesMut) {
    put_option(row.accepted.as_ref(), out, put_accepted);
    put_option(row.outcome.as_ref(), out, put_outcome);
    out.put_u32(row.runs);
    out.put_u64(row.updates.0);
    out.put_u64(row.updates.1);
}

fn run(fields: &mut Fields) -> Result<RunRow, Malformed> {
    Ok(RunRow {
        accepted: fields.option(accepted)?,
        outcome: fields.option(outcome)?,
        runs: fields.u32()?,
        updates: (fields.u64()?, fields.u64()?),
    })
}

fn put_accepted(row: &AcceptedRow, out: &mut BytesMut) {
    out.put_u8(row.class.to_wire());
    put_bytes(row.name.as_str().as_bytes(), out);
    out.put_u8(row.idempotent.into());
    put_policy(row.updates, out);
    out.put_u8(row.has_body.into());
    out.put_u8(row.wants_result_body.into());
    put_option(row.result_end, out, |(len, hash), out| {
        out.put_u64(len);
        out.put_slice(&hash);
    });
    put_option(row.deadline.as_ref(), out, put_deadline);
}

fn accepted(fields: &mut Fields) -> Result<AcceptedRow, Malformed> {
    Ok(AcceptedRow {
        class: class(fields)?,
        name: fields.command_name()?,
        idempotent: fields.flag()?,
        updates: policy(fields)?,
        has_body: fields.flag()?,
        wants_result_body: fields.flag()?,
        result_end: fields.option(|fields| Ok((fields.u64()?, fields.array()?)))?,
        deadline: fields.option(deadline)?,
    })
}

fn put_reach(reach: &Reach, out: &mut BytesMut) {
    out.put_u64(reach.process);
    out.put_u64(reach.position);
}

fn reach(fields: &mut Fields) -> Result<Reach, Malformed> {
    Ok(Reach { process: fields.u64()?, position: fields.u64()? })
}

fn put_process(process: StoreProcess, out: &mut BytesMut) {
    out.put_u64(process.number);
    put_epoch(process.boot, out);
}

fn process(fields: &mut Fields) -> Result<StoreProcess, Malformed> {
    Ok(StoreProcess { number: fields.u64()?, boot: fields.epoch()? })
}

fn put_settled(settled: &Settled, out: &mut BytesMut) {
    put_epoch(settled.epoch, out);
    out.put_u64(settled.low.map_or(0, Seq::to_wire));
    put_list(&settled.ranges, out, |(first, last), out| {
        out.put_u64(first.to_wire());
        out.put_u64(last.to_wire());
    });
}

fn settled(fields: &mut Fields) -> Result<Settled, Malformed> {
    let (epoch, low) = (fields.epoch()?, Seq::from_wire(fields.u64()?));
    let ranges = fields.list(|fields| Ok((fields.seq()?, fields.seq()?)))?;
    Ok(Settled { epoch, low, ranges })
}

fn put_idempotency(idempotency: &Idempotency, out: &mut BytesMut) {
    put_bytes(idempotency.key.as_bytes(), out);
    out.put_slice(&idempotency.fingerprint);
}

fn idempotency(fields: &mut Fields) -> Result<Idempotency, Malformed> {
    Ok(Idempotency { key: fields.text()?, fingerprint: fields.array()? })
}

fn put_deadline(deadline: &StoredDeadline, out: &mut BytesMut) {
    put_duration(deadline.remaining, out);
    put_clock(&deadline.read_at, out);
}

fn deadline(fields: &mut Fields) -> Result<StoredDeadline, Malformed> {
    Ok(StoredDeadline { remaining: fields.duration()?, read_at: clock(fields)? })
}

fn put_clock(reading: &ClockReading, out: &mut BytesMut) {
    out.put_u128(reading.machine);
    put_duration(reading.uptime, out);
    put_duration(reading.wall, out);
}

fn clock(fields: &mut Fields) -> Result<ClockReading, Malformed> {
    Ok(ClockReading { machine: fields.u128()?, uptime: fields.duration()?, wall: fields.duration()? })
}

fn class(fields: &mut Fields) -> Result<Class, Malformed> {
    Class::from_wire(fields.u8()?).ok_or(Malformed("class of an unknown number"))
}

fn put_policy(policy: UpdatePolicy, out: &mut BytesMut) {
    out.put_u8(match policy {
        UpdatePolicy::Follow => 0,
        UpdatePolicy::Store => 1,
        UpdatePolicy::Discard => 2,
    });
}

fn policy(fields: &mut Fields) -> Result<UpdatePolicy, Malformed> {
    fields.choice(&[UpdatePolicy::Follow, UpdatePolicy::Store, UpdatePolicy::Discard])
}

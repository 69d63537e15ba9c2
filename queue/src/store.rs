//! What survives a crash: rows, and where they are kept.
//!
//! A queue never calls a store. It yields batches of changes (`poll_store`) and is told when one is durable
//! (`handle_stored`); until then it says nothing that depends on it.

mod row;

pub use self::row::{
    AcceptedRow, Change, CommandRow, Idempotency, OutcomeRow, ProgressRow, ReceiverRow, Row, RowKey, RunRow,
    SenderRow, StoreRow, StoredDeadline,
};

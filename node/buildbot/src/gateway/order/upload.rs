//! Files and folders on their way to the master.
//!
//! What travels over the fleet is windowed; blocks are acknowledged one by one only between here and the master.

use std::num::NonZeroUsize;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::fetch::{Fetched, Kept, Sink, Taken, fetch};
use super::folders::status_of;
use super::{Order, RESUMES_MAX};
use crate::gateway::fault::Fault;
use crate::gateway::report::Report;
use crate::gateway::spool::{Spool, SpoolReader};
use crate::ids::RemoteId;
use crate::worker::{Compression, MasterCall, Update, Upload, UploadFolder};

/// `uploadFile`. The master's object is closed even if nothing comes.
pub(super) async fn file(order: &Order, report: &mut Report, upload: &Upload) -> Result<i64, Fault> {
    let path = order.place.path(&upload.folder, &upload.path);
    report.push(Update::Header(format!("sending {path}\n")));
    let status = status_of(order, &path, true).await?.ok().filter(|status| status["kind"] == "file");
    let Some(status) = status else {
        report.push(Update::Stderr(format!("Cannot open file '{path}' for upload\n")));
        order.master.ask(upload.writer, MasterCall::Close).await?;
        return Ok(1);
    };
    let sent = send_file(order, upload, &path, &status).await;
    // The master keeps what has come once its object is closed; it has to be, whatever has happened.
    let closed = order.master.ask(upload.writer, MasterCall::Close).await;
    let code = code_of(report, sent?, &path, "Cannot open file");
    closed?;
    if upload.keep_times && code == 0 {
        set_times(order, report, upload, &status).await?;
    }
    Ok(code)
}

/// Has the master set the times of a file that it has got.
async fn set_times(order: &Order, report: &mut Report, upload: &Upload, status: &Value) -> Result<(), Fault> {
    let (accessed_at, modified_at) = times_of(status);
    match order.master.ask(upload.writer, MasterCall::SetTimes { accessed_at, modified_at }).await {
        // The file is whole. That this master never does it is no fault of the build.
        Err(Fault::Failed(failure)) if !order.abilities.sets_times => {
            report.push(Update::Header(format!(
                "the file is whole, but the master cannot set its times over this protocol: {failure}\n"
            )));
            Ok(())
        }
        set => set.map(|_| ()),
    }
}

/// `uploadDirectory`: the folder as one archive, which the master unpacks.
pub(super) async fn folder(order: &Order, report: &mut Report, upload: &UploadFolder) -> Result<i64, Fault> {
    let path = order.place.path(&upload.folder, &upload.path);
    report.push(Update::Header(format!("sending {path}\n")));
    if !status_of(order, &path, true).await?.is_ok_and(|status| status["kind"] == "folder") {
        report.push(Update::Stderr(format!("Cannot read directory '{path}' for upload: it is no folder\n")));
        return Ok(1);
    }
    let compress = match upload.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Bzip2 => "bzip2",
    };
    let args = json!({ "path": path, "compress": compress });
    let (archive, fetched) = fetch_archive(order, &args, upload.bytes_max).await?;
    let code = code_of(report, fetched, &path, "Cannot read directory");
    if code == 0 {
        pass_on(order, upload, archive.reader()).await?;
        order.master.ask(upload.writer, MasterCall::Unpack).await?;
    }
    Ok(code)
}

/// Sends a file, from where it was again if its node's daemon was restarted meanwhile and the file has not changed.
async fn send_file(order: &Order, upload: &Upload, path: &str, status: &Value) -> Result<Fetched, Fault> {
    let mut blocks = Blocks::new(order, upload.writer, upload.block_bytes, upload.bytes_max);
    for _ in 0..RESUMES_MAX {
        match fetch(order, json!({ "path": path }), &mut blocks).await {
            Err(Fault::Unknown(why)) => {
                let now = status_of(order, path, true).await?.ok();
                let is_same = |name: &str| now.as_ref().is_some_and(|now| now[name] == status[name]);
                if !["bytes", "modified_ms", "inode", "device"].into_iter().all(is_same) {
                    return Err(Fault::Unknown(why));
                }
                tracing::info!(node = order.node.name, path, bytes = blocks.passed, "an upload goes on");
                blocks.begin_again();
            }
            fetched => return fetched,
        }
    }
    fetch(order, json!({ "path": path }), &mut blocks).await
}

/// Brings an archive here. It is another each time, so none of it goes to the master before all has come.
async fn fetch_archive(
    order: &Order,
    args: &Value,
    bytes_max: Option<u64>,
) -> Result<(Spool, Fetched), Fault> {
    for _ in 0..RESUMES_MAX {
        match fetch_archive_once(order, args, bytes_max).await {
            Err(Fault::Unknown(why)) => {
                tracing::info!(node = order.node.name, why, "an upload begins again");
            }
            fetched => return fetched,
        }
    }
    fetch_archive_once(order, args, bytes_max).await
}

async fn fetch_archive_once(
    order: &Order,
    args: &Value,
    bytes_max: Option<u64>,
) -> Result<(Spool, Fetched), Fault> {
    let spool = Spool::new(order.spool_bytes_max).await.map_err(Fault::of_disk)?;
    let mut kept = Kept::new(spool, bytes_max);
    let fetched = fetch(order, args.clone(), &mut kept).await?;
    Ok((kept.spool, fetched))
}

async fn pass_on(order: &Order, upload: &UploadFolder, mut archive: SpoolReader) -> Result<(), Fault> {
    let mut blocks = Blocks::new(order, upload.writer, upload.block_bytes, None);
    while let Some(piece) = archive.next().await.map_err(Fault::of_disk)? {
        blocks.take(piece).await?;
    }
    blocks.finish().await.map(|_| ())
}

/// A content on its way to an object of the master's, block by block.
struct Blocks<'a> {
    order: &'a Order,
    writer: RemoteId,
    block_bytes: usize,
    /// How much the master wants.
    bytes_max: u64,
    gathered: BytesMut,
    /// How much has gone to the master.
    passed: u64,
    /// How much of the content to come has gone there before.
    skipped: u64,
}

impl<'a> Blocks<'a> {
    fn new(order: &'a Order, writer: RemoteId, block_bytes: NonZeroUsize, bytes_max: Option<u64>) -> Self {
        let (block_bytes, bytes_max) = (block_bytes.get(), bytes_max.unwrap_or(u64::MAX));
        Self { order, writer, block_bytes, bytes_max, gathered: BytesMut::new(), passed: 0, skipped: 0 }
    }

    /// Expects the same content from its beginning.
    fn begin_again(&mut self) {
        self.gathered.clear();
        self.skipped = self.passed;
    }

    /// Brings one block to the master, or as much of it as it wants.
    async fn pass(&mut self) -> Result<Taken, Fault> {
        let mut block = self.gathered.split_to(self.gathered.len().min(self.block_bytes));
        let wanted = usize::try_from(self.bytes_max - self.passed).unwrap_or(usize::MAX);
        let is_cut = block.len() > wanted;
        block.truncate(wanted);
        if !block.is_empty() {
            self.passed += block.len() as u64;
            self.order.master.ask(self.writer, MasterCall::Write(block.freeze())).await?;
        }
        Ok(if is_cut { Taken::Cut } else { Taken::All })
    }
}

impl Sink for Blocks<'_> {
    async fn take(&mut self, mut piece: Bytes) -> Result<Taken, Fault> {
        let skipped = usize::try_from(self.skipped).unwrap_or(usize::MAX).min(piece.len());
        self.skipped -= skipped as u64;
        self.gathered.extend_from_slice(&piece.split_off(skipped));
        while self.gathered.len() >= self.block_bytes {
            if self.pass().await? == Taken::Cut {
                return Ok(Taken::Cut);
            }
        }
        Ok(Taken::All)
    }

    async fn finish(&mut self) -> Result<Taken, Fault> {
        self.pass().await
    }
}

fn code_of(report: &mut Report, fetched: Fetched, path: &str, cannot: &str) -> i64 {
    match fetched {
        Fetched::Ended(outcome) if outcome.kind == "done" => 0,
        Fetched::Ended(outcome) => {
            let why = outcome.message.unwrap_or(outcome.kind);
            report.push(Update::Stderr(format!("{cannot} '{path}' for upload: {why}\n")));
            1
        }
        Fetched::Cut => {
            report.push(Update::Stderr(format!("Maximum filesize reached, truncating file '{path}'\n")));
            1
        }
    }
}

/// Returns when a file was read and changed last, in seconds since 1970.
fn times_of(status: &Value) -> (f64, f64) {
    let seconds = |name: &str| status[name].as_f64().unwrap_or_default() / 1000.0;
    (seconds("accessed_ms"), seconds("modified_ms"))
}

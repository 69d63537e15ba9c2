//! The body of a command's result, on its way to a program.

use runnel_client::{Client, ClientError};

use super::refusal::Refusal;
use super::window::{Need, Window};
use crate::amp_box::AmpBox;
use crate::session::AskFailure;
use crate::value::integer;

/// Brings the body of a command's result, and says how many bytes it had, or why it did not come whole. What the program
/// does not answer is not read.
///
/// # Errors
///
/// The program will not hear of it, or is gone.
pub(super) async fn download(client: &Client, id: &str, mut window: Window) -> Result<(), AskFailure> {
    let mut offset = 0u64;
    let broken = match bring(client, id, &mut window, &mut offset).await {
        Ok(()) => None,
        Err(Broken::Program(failure)) => return Err(failure),
        Err(Broken::Node(error)) => Some(Refusal::from(error)),
    };
    let end = AmpBox::new()
        .with("id", id.to_owned())
        .with("bytes", integer(offset))
        .with_some("error", broken.map(|refusal| format!("{}: {}", refusal.code, refusal.description)));
    window.ask("DataEnd", end, Need::Needed).await?;
    window.drain().await
}

enum Broken {
    Program(AskFailure),
    Node(ClientError),
}

async fn bring(client: &Client, id: &str, window: &mut Window, offset: &mut u64) -> Result<(), Broken> {
    let path = format!("/v1/commands/{id}/body");
    let mut content = client.content(&path).await.map_err(Broken::Node)?;
    while let Some(piece) = content.next().await.map_err(Broken::Node)? {
        let mut rest = piece;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(window.piece_bytes()));
            let len = piece.len() as u64;
            let said =
                AmpBox::new().with("id", id.to_owned()).with("offset", integer(*offset)).with("data", piece);
            window.ask("Data", said, Need::Needed).await.map_err(Broken::Program)?;
            *offset += len;
        }
    }
    Ok(())
}

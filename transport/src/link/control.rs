//! The control stream of a link, and what is said before it is there.

use bytes::BytesMut;
use runnel_codec::{ControlFrame, Limits, StreamKind, encode_control, encode_stream_kind};

use super::openings::Pair;
use super::stream::{Role, Stream};
use super::streams::{Streams, Turn};

/// Where the control stream is.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// Its index among the streams.
    index: Option<usize>,
    /// Frames said before it was there.
    early: BytesMut,
}

/// There is a control stream already.
#[derive(Debug)]
pub(super) struct SecondControl;

impl Control {
    /// Writes a frame to it, as soon as it is there.
    pub(super) fn push(&mut self, frame: &ControlFrame, streams: &mut Streams) {
        match self.index.and_then(|index| Some((index, streams.with_outbox(index, Role::Control)?))) {
            Some((index, stream)) => {
                stream.push_control(frame);
                streams.wake(Turn::Stream(index));
            }
            None => encode_control(frame, &mut self.early),
        }
    }

    /// It is opened here: its kind is said first.
    pub(super) fn open(
        &mut self,
        pair: Pair,
        limits: Limits,
        streams: &mut Streams,
    ) -> Result<(), SecondControl> {
        let index = streams.add(Stream::control(pair, limits));
        let mut kind = BytesMut::new();
        encode_stream_kind(StreamKind::Control, &mut kind);
        kind.unsplit(std::mem::take(&mut self.early));
        self.early = kind;
        self.take(index, streams)
    }

    /// It is there: what was said before goes out first.
    pub(super) fn take(&mut self, index: usize, streams: &mut Streams) -> Result<(), SecondControl> {
        if self.index.is_some() {
            return Err(SecondControl);
        }
        self.index = Some(index);
        let early = std::mem::take(&mut self.early).freeze();
        if let Some(stream) = streams.get_mut(index) {
            stream.become_control();
            stream.push_bytes(early);
        }
        streams.wake(Turn::Stream(index));
        Ok(())
    }

    /// Returns its index among the streams, once it is there.
    pub(super) fn index(&self) -> Option<usize> {
        self.index
    }
}

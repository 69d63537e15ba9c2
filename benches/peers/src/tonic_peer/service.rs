//! The service: what tonic's generator would write.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, Ready, ready};
use runnel_workload::count_received;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{ClientStreamingService, Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status, Streaming};

use super::codec::Raw;

/// Answers echoes, messages and bodies.
#[derive(Clone, Copy)]
pub(super) struct Peer;

impl NamedService for Peer {
    const NAME: &'static str = "bench.Peer";
}

impl Service<http::Request<Body>> for Peer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        async move {
            let mut grpc = Grpc::new(Raw);
            Ok(match request.uri().path() {
                ECHO => grpc.unary(Echo, request).await,
                MESSAGE => grpc.unary(Message, request).await,
                BODY => grpc.client_streaming(TakeBody, request).await,
                _ => Status::new(Code::Unimplemented, "no such method").into_http(),
            })
        }
        .boxed()
    }
}

struct Echo;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

struct Message;

impl UnaryService<Bytes> for Message {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(Bytes::new())))
    }
}

struct TakeBody;

impl ClientStreamingService<Bytes> for TakeBody {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        async move {
            let mut pieces = request.into_inner();
            let mut bytes = 0u64;
            while let Some(piece) = pieces.message().await? {
                bytes += piece.len() as u64;
                count_received(piece.len());
            }
            Ok(Response::new(Bytes::copy_from_slice(&bytes.to_be_bytes())))
        }
        .boxed()
    }
}

pub(super) const ECHO: &str = "/bench.Peer/Echo";
pub(super) const MESSAGE: &str = "/bench.Peer/Message";
pub(super) const BODY: &str = "/bench.Peer/Body";

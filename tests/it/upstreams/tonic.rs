//! gRPC's interoperability service (`grpc.testing.TestService`) on tonic, as an app that stepgate stands in front of: what
//! each method does stands in gRPC's `doc/interop-test-descriptions.md`, its messages in `src/proto/grpc/testing`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::oracle;

/// Both are sent back where they came: one before the messages, one after them.
const ECHO: HeaderName = HeaderName::from_static("x-grpc-test-echo-initial");
const ECHO_AFTER: HeaderName = HeaderName::from_static("x-grpc-test-echo-trailing-bin");

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(bytes = "vec", tag = "2")]
    body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct EchoStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct SimpleRequest {
    #[prost(int32, tag = "2")]
    response_size: i32,
    #[prost(message, optional, tag = "7")]
    response_status: Option<EchoStatus>,
}

/// Of `SimpleResponse` and of `StreamingOutputCallResponse`.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
struct InputRequest {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
struct InputResponse {
    #[prost(int32, tag = "1")]
    aggregated_payload_size: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Parameters {
    #[prost(int32, tag = "1")]
    size: i32,
    #[prost(int32, tag = "2")]
    interval_us: i32,
}

#[derive(Clone, PartialEq, Message)]
struct OutputRequest {
    #[prost(message, repeated, tag = "2")]
    response_parameters: Vec<Parameters>,
    #[prost(message, optional, tag = "7")]
    response_status: Option<EchoStatus>,
}

type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

fn answer(size: i32) -> Answer {
    let body = vec![0; usize::try_from(size).unwrap()];
    Answer {
        payload: Some(Payload { body }),
    }
}

fn asked_for(status: Option<EchoStatus>) -> Result<(), Status> {
    match status {
        None => Ok(()),
        Some(status) => Err(Status::new(Code::from_i32(status.code), status.message)),
    }
}

async fn empty(_: Request<Empty>) -> Result<Response<Empty>, Status> {
    Ok(Response::new(Empty {}))
}

async fn unary(request: Request<SimpleRequest>) -> Result<Response<Answer>, Status> {
    let request = request.into_inner();
    asked_for(request.response_status)?;
    Ok(Response::new(answer(request.response_size)))
}

async fn input(
    request: Request<Streaming<InputRequest>>,
) -> Result<Response<InputResponse>, Status> {
    let mut messages = request.into_inner();
    let mut sum = 0;
    while let Some(message) = messages.message().await? {
        sum += message.payload.map_or(0, |payload| payload.body.len());
    }
    Ok(Response::new(InputResponse {
        aggregated_payload_size: i32::try_from(sum).unwrap(),
    }))
}

/// What one request asks for, one after the other.
fn outputs(request: OutputRequest) -> Messages<Answer> {
    if let Err(status) = asked_for(request.response_status) {
        return Box::pin(stream::iter([Err(status)]));
    }
    let answers = stream::iter(request.response_parameters).then(|wanted| async move {
        let interval = u64::try_from(wanted.interval_us).unwrap();
        tokio::time::sleep(Duration::from_micros(interval)).await;
        Ok(answer(wanted.size))
    });
    Box::pin(answers)
}

async fn output(request: Request<OutputRequest>) -> Result<Response<Messages<Answer>>, Status> {
    Ok(Response::new(outputs(request.into_inner())))
}

async fn duplex(
    request: Request<Streaming<OutputRequest>>,
) -> Result<Response<Messages<Answer>>, Status> {
    let answers = request.into_inner().flat_map(|request| match request {
        Ok(request) => outputs(request),
        Err(status) => Box::pin(stream::iter([Err(status)])),
    });
    Ok(Response::new(Box::pin(answers)))
}

#[derive(Clone)]
struct Interop(SocketAddr);

impl NamedService for Interop {
    const NAME: &'static str = "grpc.testing.TestService";
}

impl Service<http::Request<Body>> for Interop {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let id = request.headers()["x-request-id"].to_str().unwrap();
        oracle::note(self.0, id);
        let echo = |name| request.headers().get(name).cloned();
        let (before, after) = (echo(&ECHO), echo(&ECHO_AFTER));
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let mut answer = match method.as_str() {
                "EmptyCall" => {
                    let mut grpc = Grpc::new(ProstCodec::<Empty, Empty>::default());
                    grpc.unary(service_fn(empty), request).await
                }
                "UnaryCall" | "CacheableUnaryCall" => {
                    let mut grpc = Grpc::new(ProstCodec::<Answer, SimpleRequest>::default());
                    grpc.unary(service_fn(unary), request).await
                }
                "StreamingInputCall" => {
                    let mut grpc = Grpc::new(ProstCodec::<InputResponse, InputRequest>::default());
                    grpc.client_streaming(service_fn(input), request).await
                }
                "StreamingOutputCall" => {
                    let mut grpc = Grpc::new(ProstCodec::<Answer, OutputRequest>::default());
                    grpc.server_streaming(service_fn(output), request).await
                }
                "FullDuplexCall" => {
                    let mut grpc = Grpc::new(ProstCodec::<Answer, OutputRequest>::default());
                    grpc.streaming(service_fn(duplex), request).await
                }
                _ => Status::unimplemented(method).into_http(),
            };
            if let Some(value) = before {
                answer.headers_mut().insert(ECHO, value);
            }
            Ok(match after {
                Some(value) => answer.map(|body| with_trailer(body, value)),
                None => answer,
            })
        })
    }
}

fn with_trailer(body: Body, value: HeaderValue) -> Body {
    Body::new(body.map_frame(move |mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            trailers.insert(ECHO_AFTER, value.clone());
        }
        frame
    }))
}

/// Without TLS, and watched.
pub(super) async fn serve() -> SocketAddr {
    let (listener, address) = oracle::listen().await;
    let server = tonic::transport::Server::builder().add_service(Interop(address));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

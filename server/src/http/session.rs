//! HTTP/1.1 over one connection: bounded in size and in time, drained when the door closes.

use std::{pin::pin, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use net::{Connection, Limits};

use super::{HEADER_BYTES_MAX, HEADER_FIELDS_MAX, account::Peer};

/// For a request's header, and between two requests.
const HEADER: Duration = Duration::from_secs(30);

/// The bounds of the door. Times the bound of a header, the connections are what strangers can make us keep; whoever
/// reads no answers is not kept for ever.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        connections_max: 512,
        connections_per_peer_max: 256,
        handshake: Duration::from_secs(10),
        idle: HEADER,
        session: Duration::from_secs(3600),
        drain: Duration::from_secs(10),
    }
}

/// Serves one connection.
pub async fn session(connection: Connection, router: Router) {
    let Connection { stream, peer, mut stop } = connection;
    let tls = stream.tls_version().unwrap_or("none");
    let service = TowerToHyperService::new(router.layer(Extension(Peer { ip: peer.ip(), tls })));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.ip(), error = %error, "connection ended early");
    }
}

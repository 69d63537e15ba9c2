//! Why an endpoint could not be made.

use runnel_certs::TlsError;

/// Why an endpoint could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The identity does not make a TLS configuration: look at the node's certificate and key.
    #[error("the identity does not make a TLS configuration")]
    Tls(#[from] TlsError),
    /// The cryptography has no cipher suite for QUIC's first packets: it must have TLS_AES_128_GCM_SHA256.
    #[error("the cryptography lacks TLS_AES_128_GCM_SHA256, which QUIC begins with")]
    NoInitialCipherSuite,
}

/// No further command stream can be opened on this link now: wait for [`LinkEvent::Places`](crate::LinkEvent::Places).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no stream place is free on this link")]
pub struct NoPlace;

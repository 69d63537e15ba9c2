//! Why links end: quinn's errors, TLS alerts and our close codes in one table.

use std::fmt;
use std::time::Duration;

use quinn::{ConnectionError, TransportErrorCode};
use runnel_certs::IdentityError;
use runnel_codec::{CloseCode, CloseText};

/// The end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkClosed {
    /// Why it ended.
    pub reason: CloseReason,
}

/// Why a link ended, or never came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// This node closed it.
    Local {
        /// Our code.
        code: CloseCode,
        /// What we said.
        text: String,
    },
    /// The peer closed it.
    Remote {
        /// Its code; `None` if we do not know it.
        code: Option<CloseCode>,
        /// What it said.
        text: String,
        /// How long it asks not to be dialled.
        retry_after: Option<Duration>,
    },
    /// The TLS handshake failed, here or there.
    Tls(TlsFailure),
    /// The peer was silent for the idle timeout, or never answered.
    TimedOut,
    /// The peer restarted and no longer knows the link.
    Reset,
    /// The peer does not speak our version of QUIC.
    VersionMismatch,
    /// No address could be tried.
    Unreachable {
        /// What went wrong.
        text: String,
    },
    /// The peer broke the rules of QUIC.
    Protocol {
        /// What it did.
        text: String,
    },
}

/// Why a TLS handshake failed. The text says what to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The certificate was signed by another authority.
    UnknownAuthority,
    /// The certificate has expired, or a clock is wrong.
    Expired,
    /// The certificate was revoked.
    Revoked,
    /// The certificate is broken or not for this purpose or name.
    BadCertificate,
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer speaks no version of Runnel's protocol that we do.
    NoCommonProtocol,
    /// Anything else; the number is the TLS alert (RFC 8446, section 6).
    Other(u8),
}

impl LinkClosed {
    /// Returns whether the peer was heard and refused or closed: then it needs a pause, unlike silence.
    pub fn was_answered(&self) -> bool {
        !matches!(
            self.reason,
            CloseReason::TimedOut
                | CloseReason::Reset
                | CloseReason::Unreachable { .. }
                | CloseReason::Local { code: CloseCode::HelloTimeout | CloseCode::Silent, .. }
        )
    }

    /// Returns how long the peer asks not to be dialled, if it closed the link and asks for a pause.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.reason {
            CloseReason::Remote { retry_after, .. } => retry_after,
            _ => None,
        }
    }
}

impl CloseReason {
    pub(crate) fn of_connection(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::VersionMismatch => Self::VersionMismatch,
            ConnectionError::TransportError(error) => Self::of_code(error.code, &error.reason),
            ConnectionError::ConnectionClosed(close) => {
                Self::of_code(close.error_code, &String::from_utf8_lossy(&close.reason))
            }
            ConnectionError::ApplicationClosed(close) => {
                let CloseText { text, retry_after } = CloseText::decode(&close.reason);
                Self::Remote { code: CloseCode::from_wire(close.error_code.into_inner()), text, retry_after }
            }
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::TimedOut,
            // The link remembers its own code and text; this is the endpoint's close.
            ConnectionError::LocallyClosed => Self::local(CloseCode::Normal, "the endpoint was closed"),
            ConnectionError::CidsExhausted => Self::Protocol { text: error.to_string() },
        }
    }

    pub(crate) fn unreachable(text: &str) -> Self {
        Self::Unreachable { text: text.to_owned() }
    }

    pub(crate) fn local(code: CloseCode, text: &str) -> Self {
        Self::Local { code, text: text.to_owned() }
    }

    fn of_code(code: TransportErrorCode, text: &str) -> Self {
        // RFC 9001, section 4.8: a TLS alert is the QUIC error 0x100 plus its number.
        match u64::from(code).checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok()) {
            Some(alert) => Self::Tls(TlsFailure::of_alert(alert)),
            None if code == TransportErrorCode::CONNECTION_REFUSED => {
                Self::Remote { code: Some(CloseCode::Overloaded), text: text.to_owned(), retry_after: None }
            }
            None => Self::Protocol { text: format!("{code}: {text}") },
        }
    }
}

impl TlsFailure {
    /// RFC 8446, section 6.2. rustls reports a signature by an authority of the same name as alert 51.
    fn of_alert(alert: u8) -> Self {
        match alert {
            48 | 51 => Self::UnknownAuthority,
            45 => Self::Expired,
            44 => Self::Revoked,
            42 | 43 | 46 | 47 => Self::BadCertificate,
            116 => Self::NoCertificate,
            120 => Self::NoCommonProtocol,
            other => Self::Other(other),
        }
    }
}

/// Returns the close code for a verified certificate that is not of a node that we accept.
pub(crate) fn code_of_identity(error: &IdentityError) -> CloseCode {
    match error {
        IdentityError::WrongFleet { .. } => CloseCode::WrongFleet,
        IdentityError::UnknownRole { .. } => CloseCode::RoleRefused,
        _ => CloseCode::BadIdentity,
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { code, text } => write!(f, "closed here ({code}): {text}"),
            Self::Remote { code, text, retry_after } => {
                let code = code.map_or("unknown code", CloseCode::as_str);
                write!(f, "closed by the peer ({code}): {text}")?;
                retry_after.map_or(Ok(()), |pause| write!(f, "; it asks for a pause of {pause:?}"))
            }
            Self::Tls(failure) => failure.fmt(f),
            Self::TimedOut => f.write_str("the peer does not answer; is UDP let through?"),
            Self::Reset => f.write_str("the peer restarted"),
            Self::VersionMismatch => f.write_str("the peer speaks another version of QUIC"),
            Self::Unreachable { text } => write!(f, "no address could be tried: {text}"),
            Self::Protocol { text } => write!(f, "QUIC error: {text}"),
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::UnknownAuthority => "a certificate is of another authority: compare ca.crt on both nodes",
            Self::Expired => {
                "a certificate has expired, or a clock is wrong: issue a new one, or set the clock"
            }
            Self::Revoked => "a certificate was revoked: issue a new one",
            Self::BadCertificate => "a certificate is broken, or not of the node that was dialled",
            Self::NoCertificate => "the peer shows no certificate: is it a Runnel node?",
            Self::NoCommonProtocol => "the peer speaks no version of the protocol that this node does",
            Self::Other(alert) => return write!(f, "the TLS handshake failed with alert {alert}"),
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_alerts_are_told_apart_from_quic_errors() {
        let reason = |number: u8| CloseReason::of_code(TransportErrorCode::crypto(number), "");
        assert_eq!(reason(48), CloseReason::Tls(TlsFailure::UnknownAuthority));
        assert_eq!(reason(45), CloseReason::Tls(TlsFailure::Expired));
        assert_eq!(reason(120), CloseReason::Tls(TlsFailure::NoCommonProtocol));
        assert_eq!(reason(200), CloseReason::Tls(TlsFailure::Other(200)));
        let reason = CloseReason::of_code(TransportErrorCode::FLOW_CONTROL_ERROR, "too much");
        assert!(matches!(reason, CloseReason::Protocol { .. }), "{reason:?}");
    }

    #[test]
    fn silence_is_no_answer() {
        let closed = |reason| LinkClosed { reason };
        assert!(!closed(CloseReason::TimedOut).was_answered());
        assert!(!closed(CloseReason::local(CloseCode::HelloTimeout, "")).was_answered());
        assert!(closed(CloseReason::Tls(TlsFailure::Expired)).was_answered());
        assert!(
            closed(CloseReason::Remote { code: None, text: String::new(), retry_after: None }).was_answered()
        );
    }

    #[test]
    fn the_pause_that_a_peer_asks_for_is_told_apart_from_its_words() {
        let close = |reason: &'static [u8]| {
            let error_code = CloseCode::DuplicateNode.to_wire().into();
            let close = quinn::ApplicationClose { error_code, reason: reason.into() };
            LinkClosed { reason: CloseReason::of_connection(&ConnectionError::ApplicationClosed(close)) }
        };
        let asks = close(b"two of you; retry after 1500 ms");
        assert_eq!(asks.retry_after(), Some(Duration::from_millis(1500)));
        assert_eq!(
            asks.reason.to_string(),
            "closed by the peer (duplicate-node): two of you; it asks for a pause of 1.5s"
        );
        assert_eq!(close(b"two of you").retry_after(), None);
        assert_eq!(LinkClosed { reason: CloseReason::TimedOut }.retry_after(), None);
    }
}

//! What can go wrong, one enum for each operation. Whether a peer, our own side or the caller is at fault
//! stands with each variant.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;
use rustls::server::VerifierBuilderError;
use x509_parser::error::X509Error;

use runnel_codec::{FleetId, NameError};

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{role:?} is no role; roles are controller and worker")]
pub struct RoleError {
    /// The word.
    pub role: String,
}

/// Why two moments are no validity of a certificate: the caller chose them wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidityError {
    /// The end does not come after the beginning.
    #[error("a certificate must end after it begins")]
    Empty,
    /// X.509 cannot name the beginning or the end. The machine's clock may be wrong.
    #[error("a certificate begins and ends between the years 1970 and 9999; check the clock")]
    OutOfRange,
}

/// Why a text holds no certificate or key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// There is no section `CERTIFICATE` in the text.
    #[error("no certificate found in the PEM text")]
    NoCertificate,
    /// There is no section `PRIVATE KEY` in the text; keys of other forms (`EC PRIVATE KEY`) are not read.
    #[error("no private key in PKCS #8 found in the PEM text")]
    NoPrivateKey,
    /// A section is damaged.
    #[error("damaged PEM text")]
    Syntax(#[source] pem::Error),
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file does not exist: the node or the authority has not been set up in this folder.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The system refused to read the file.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refused to write the file. Under its name is the older one or the whole new one.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A private file is open to its group or to everybody. Whoever could read it may hold a copy.
    #[error("{} is open to other users (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is larger than any file of ours.
    #[error("{} is larger than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Allowed, in bytes.
        max: u64,
    },
    /// The file must not be replaced, and exists: for an authority's key that would be the end of its fleet.
    #[error("{} exists and is not replaced; move it away or choose another folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// Why a node's key could not be made, loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The system gave no randomness for a key.
    #[error("cannot generate a key")]
    Generate(#[source] rcgen::Error),
    /// The signing request could not be made.
    #[error("cannot make a signing request")]
    Request(#[source] rcgen::Error),
    /// The key's file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key's file holds no key.
    #[error("{} holds no usable key", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PemError,
    },
    /// The key is not one for Ed25519.
    #[error("{} holds no Ed25519 key", path.display())]
    Algorithm {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rcgen::Error,
    },
}

/// Why a fleet's authority could not be made: our side failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateAuthorityError {
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Random,
    /// The system gave no randomness for a key.
    #[error("cannot generate the authority's key")]
    Key(#[source] rcgen::Error),
    /// The authority could not sign its own certificate.
    #[error("cannot sign the authority's certificate")]
    Sign(#[source] rcgen::Error),
}

/// Why a fleet's authority could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadAuthorityError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file holds no certificate or no key.
    #[error("{} is not usable", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PemError,
    },
    /// The key is not one for Ed25519.
    #[error("{} holds no Ed25519 key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate is damaged.
    #[error("{} holds a damaged certificate", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: X509Error,
    },
    /// The certificate is a node's, or of an authority that names no fleet.
    #[error("{} is not the certificate of a fleet's authority", path.display())]
    NotAnAuthority {
        /// The file.
        path: PathBuf,
    },
    /// The certificate's subject is no name of a fleet.
    #[error("{} names no fleet", path.display())]
    Fleet {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        #[source]
        source: NameError,
    },
    /// Certificate and key do not belong together: one of them was replaced.
    #[error("{} and {} do not belong together; restore both", certificate.display(), key.display())]
    KeyMismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
}

/// Why the authority did not issue a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The requester sent more than any honest request has.
    #[error("signing request of {len} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Sent, in bytes.
        len: usize,
        /// Allowed, in bytes.
        max: usize,
    },
    /// The requester sent something that is no signing request, or asks for an extension that is not
    /// understood.
    #[error("not a usable signing request")]
    Malformed(#[source] rcgen::Error),
    /// The request was not signed by the key in it: it was changed on its way, or the requester does not hold
    /// the key.
    #[error("the signing request is not signed by the key that it names")]
    Signature,
    /// The requester's key is not one for Ed25519.
    #[error("the key in the signing request is not an Ed25519 key")]
    KeyAlgorithm,
    /// The certificate would end after the authority's own: choose a shorter lifetime, or make a new
    /// authority.
    #[error("the certificate would end {excess_secs} s after the authority's own")]
    OutlivesAuthority {
        /// By how much, in seconds.
        excess_secs: u64,
    },
    /// The system gave no randomness for the serial number.
    #[error("the system gave no randomness")]
    Random,
    /// Our side could not sign.
    #[error("cannot sign the certificate")]
    Sign(#[source] rcgen::Error),
}

/// Why a verified leaf names no node that we accept: refuse the link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The leaf is not readable as a certificate, or other bytes follow it.
    #[error("damaged certificate")]
    Malformed(#[source] X509Error),
    /// The leaf does not have one DNS name, one URI and nothing else. It was not issued by `runnel`.
    #[error(
        "a node's certificate has one DNS name and one URI, not {dns} and {uris} and {others} other names"
    )]
    Names {
        /// DNS names found.
        dns: usize,
        /// URIs found.
        uris: usize,
        /// Other names found.
        others: usize,
    },
    /// The URI is not `spiffe://<fleet>/<role>/<node>`.
    #[error("the certificate's URI {uri:?} is not spiffe://<fleet>/<role>/<node>")]
    Uri {
        /// The URI.
        uri: String,
    },
    /// DNS name and URI name different nodes.
    #[error("the certificate's DNS name is {dns:?}, but its URI calls for {expected:?}")]
    Disagree {
        /// The DNS name.
        dns: String,
        /// The DNS name that goes with the URI.
        expected: String,
    },
    /// The role is none that this version knows: the peer may be newer than we are.
    #[error(
        "the certificate's role {role:?} is unknown here; upgrade this node or issue another certificate"
    )]
    UnknownRole {
        /// The role.
        role: String,
    },
    /// The leaf lacks one of the extended key usages `serverAuth` and `clientAuth`, so it would count in one
    /// direction only.
    #[error("the certificate is not for both servers and clients")]
    Usages,
    /// The peer belongs to another fleet.
    #[error(
        "the peer belongs to fleet {theirs}, not to {ours}; check its certificate and the address dialled"
    )]
    WrongFleet {
        /// The peer's fleet.
        theirs: FleetId,
        /// Our fleet.
        ours: FleetId,
    },
}

/// Why roots cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is no root: nobody could be accepted.
    #[error("no root certificate given")]
    NoRoots,
    /// A root is damaged.
    #[error("root certificate {index} is not usable")]
    Root {
        /// Its position, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
}

/// Why a node's own identity could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadIdentityError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key could not be loaded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate's file, or the text that came in its place, holds no certificate.
    #[error("{file} is not usable")]
    Pem {
        /// Its usual name, [`NODE_CERT_FILE`](crate::NODE_CERT_FILE) or
        /// [`AUTHORITY_CERT_FILE`](crate::AUTHORITY_CERT_FILE).
        file: &'static str,
        /// What is wrong with it.
        #[source]
        source: PemError,
    },
    /// There is no leaf.
    #[error("no certificate given")]
    NoLeaf,
    /// Our own leaf names no node.
    #[error("the node's own certificate is not usable")]
    Leaf(#[from] IdentityError),
    /// The fleet's roots are not usable.
    #[error("the fleet's roots are not usable")]
    Roots(#[from] TrustError),
    /// The leaf was issued for another key: join the fleet again, or restore both files from one backup.
    #[error("the node's certificate and key do not belong together")]
    KeyMismatch(#[source] rustls::Error),
    /// None of our roots issued our leaf: peers would refuse it, or we would refuse them.
    #[error("the node's certificate was not issued by the fleet's authority")]
    NotIssued(#[source] rustls::Error),
    /// The roots cannot verify anybody.
    #[error("cannot build a verifier of certificates")]
    Verifier(#[source] VerifierBuilderError),
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The provider has nothing for TLS 1.3: the caller gave the wrong one.
    #[error("the crypto provider does not support TLS 1.3")]
    Provider(#[source] rustls::Error),
    /// The roots cannot verify anybody.
    #[error("cannot build a verifier of certificates")]
    Verifier(#[source] VerifierBuilderError),
    /// The provider does not take our key.
    #[error("the crypto provider does not accept the node's key")]
    Key(#[source] rustls::Error),
}

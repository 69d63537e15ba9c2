//! Identities and trust of a Runnel fleet.
//!
//! A fleet has one private [`Authority`]. A node makes its own [`NodeKey`], which never leaves its machine,
//! and sends a signing request; the authority answers with a [`Certificate`] that says which node of which
//! fleet holds that key and in which [`Role`]. Key, certificate and the fleet's roots together are an
//! [`Identity`]; whom a node accepts in return is its [`Trust`]. [`server_config`] and [`client_config`] turn
//! both into configurations for rustls, and [`read_identity`] says who the peer of a finished handshake is.
//!
//! This crate opens no sockets, starts no tasks and reads no clock: the time is always an argument.
//!
//! ```
//! use std::time::SystemTime;
//! use runnel_certs::{AUTHORITY_LIFETIME, Authority, Identity, LEAF_LIFETIME, NodeKey};
//! use runnel_certs::{Role, Validity, read_identity};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = SystemTime::now();
//! let authority = Authority::create("lab".parse()?, Validity::starting(now, AUTHORITY_LIFETIME)?)?;
//!
//! let key = NodeKey::generate()?;
//! let validity = Validity::starting(now, LEAF_LIFETIME)?;
//! let leaf = authority.issue(&key.csr()?, &"desk".parse()?, Role::Controller, validity)?;
//!
//! let identity = Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem())?;
//! assert_eq!(identity.node().as_str(), "desk");
//! assert_eq!(read_identity(leaf.der())?.role, Role::Controller);
//! # Ok(())
//! # }
//! ```

mod authority;
mod certificate;
mod error;
mod files;
#[cfg(test)]
mod fixtures;
mod identity;
mod key;
mod names;
mod peer;
mod pem;
mod resumption;
mod role;
mod tls;
mod trust;
mod validity;

pub use authority::{Authority, CSR_BYTES_MAX};
pub use certificate::Certificate;
pub use error::{
    CreateAuthorityError, FileError, IdentityError, IssueError, KeyError, LoadAuthorityError,
    LoadIdentityError, PemError, RoleError, TlsError, TrustError, ValidityError,
};
pub use files::{
    AUTHORITY_CERT_FILE, AUTHORITY_KEY_FILE, FILE_BYTES_MAX, NODE_CERT_FILE, NODE_KEY_FILE, read_private,
    write_private,
};
pub use identity::Identity;
pub use key::NodeKey;
pub use names::server_name;
pub use peer::{PeerIdentity, read_identity};
pub use resumption::{ChainCheck, issue_tickets, keep_tickets};
pub use role::Role;
pub use tls::{ALPN, client_config, default_provider, server_config};
pub use trust::{Trust, check_peer};
pub use validity::{AUTHORITY_LIFETIME, CLOCK_SKEW, LEAF_LIFETIME, Validity};

//! Certificates and keys as PEM text (RFC 7468), both ways.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::error::PemError;

/// Writes certificates one after the other, in their order.
pub(crate) fn write_certificates(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|certificate| write("CERTIFICATE", certificate)).collect()
}

/// Writes a private key in PKCS #8.
pub(crate) fn write_private_key(key: &PrivatePkcs8KeyDer<'_>) -> String {
    write("PRIVATE KEY", key.secret_pkcs8_der())
}

/// Reads every certificate in `text`; there is at least one.
pub(crate) fn read_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(PemError::Syntax)?;
    if certificates.is_empty() {
        return Err(PemError::NoCertificate);
    }
    Ok(certificates)
}

/// Reads the first private key in `text`.
pub(crate) fn read_private_key(text: &[u8]) -> Result<PrivatePkcs8KeyDer<'static>, PemError> {
    PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::NoPrivateKey,
        error => PemError::Syntax(error),
    })
}

fn write(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(LINE_BYTES) {
        line.chunks(3).for_each(|group| write_group(group, &mut text));
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Writes one to three bytes as four characters of base64.
fn write_group(group: &[u8], text: &mut String) {
    let byte = |position: usize| usize::from(group.get(position).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for place in 0..4 {
        let character = if place > group.len() { b'=' } else { ALPHABET[bits >> (18 - 6 * place) & 0x3f] };
        text.push(char::from(character));
    }
}

/// Bytes in a full line: 64 characters.
const LINE_BYTES: usize = 48;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_are_read_as_they_are_written() {
        for len in 1..200_u8 {
            let der = CertificateDer::from((0..len).map(|n| n.wrapping_mul(37)).collect::<Vec<_>>());
            let text = write_certificates(std::slice::from_ref(&der));
            assert_eq!(read_certificates(text.as_bytes()).unwrap(), [der], "{text}");
        }
    }

    #[test]
    fn text_is_what_other_programs_write() {
        let text = write("CERTIFICATE", b"any carnal pleasure.");
        assert_eq!(
            text,
            "-----BEGIN CERTIFICATE-----\nYW55IGNhcm5hbCBwbGVhc3VyZS4=\n-----END CERTIFICATE-----\n"
        );
        assert!(write("CERTIFICATE", &[0; 100]).lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn several_certificates_keep_their_order() {
        let all = [CertificateDer::from(vec![1]), CertificateDer::from(vec![2, 2])];
        assert_eq!(read_certificates(write_certificates(&all).as_bytes()).unwrap(), all);
    }

    #[test]
    fn text_without_what_is_sought_is_refused() {
        let key = write_private_key(&PrivatePkcs8KeyDer::from(vec![7]));
        assert!(matches!(read_certificates(key.as_bytes()), Err(PemError::NoCertificate)));
        assert!(matches!(read_private_key(b"no PEM at all"), Err(PemError::NoPrivateKey)));
    }

    #[test]
    fn broken_text_is_refused() {
        let text = b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
        assert!(matches!(read_certificates(text), Err(PemError::Syntax(_))));
    }
}

//! TLS to the nodes: which authorities are trusted, and who the host says it is.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The most certificates in one file of them.
const MAX_CERTIFICATES: usize = 1024;

/// How connections to the fleet are secured.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// A host's own certificate and key, both PEM, for fleets that ask for one.
#[derive(Clone, Copy)]
pub struct TlsIdentity<'a> {
    /// The certificate, then those that signed it.
    pub certificates: &'a [u8],
    /// The certificate's private key.
    pub key: &'a [u8],
}

impl Tls {
    /// Trusts the nodes whose certificates these authorities (PEM) signed, and no others: a fleet is private.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with what is wrong with the certificates or the key.
    pub fn trusting(authorities: &[u8], identity: Option<TlsIdentity<'_>>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authorities)? {
            roots.add(certificate).map_err(invalid)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key).map_err(invalid)?;
                config.with_client_auth_cert(certificates(identity.certificates)?, key).map_err(invalid)?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// Secures a connection to the server of this name.
    pub(super) async fn connect(&self, server: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let server = ServerName::try_from(server.to_owned()).map_err(invalid)?;
        TlsConnector::from(Arc::clone(&self.0)).connect(server, stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .take(MAX_CERTIFICATES)
        .collect::<Result<_, _>>()
        .map_err(invalid)?;
    if certificates.is_empty() { Err(invalid("no certificate in it")) } else { Ok(certificates) }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

//! Whom to believe that it is the switch.
//!
//! A switch comes with a certificate that it signed itself, without the name it is reached by. So the file that is named may hold the
//! switch's own certificate, which is then compared byte by byte, or that of who signed it, which is checked as browsers do.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use longhaul_topologies::hardware::Trust;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::NvueError;

/// What makes encrypted connections to switches that `trust` believes.
pub(super) fn connector(trust: &Trust) -> Result<TlsConnector, NvueError> {
    let provider = Arc::new(ring::default_provider());
    let believed = match trust {
        Trust::Anybody => Believed::Anybody,
        Trust::File(path) => {
            let (own, signed) = read(path, &provider)?;
            Believed::These { own, signed }
        }
    };
    let verifier = Verifier {
        believed,
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

type Certificates = Vec<CertificateDer<'static>>;

fn read(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<(Certificates, Arc<WebPkiServerVerifier>), NvueError> {
    let refuse = |reason: String| NvueError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let own: Certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(own.iter().cloned());
    let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| refuse(error.to_string()))?;
    Ok((own, signed))
}

enum Believed {
    Anybody,
    These {
        own: Certificates,
        signed: Arc<WebPkiServerVerifier>,
    },
}

struct Verifier {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.believed {
            Believed::Anybody => Ok(ServerCertVerified::assertion()),
            Believed::These { own, .. } if own.iter().any(|own| own == end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            Believed::These { signed, .. } => signed.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    // Whatever certificate is believed, the other side has to have its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

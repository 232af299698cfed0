//! Certificates for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// A certificate authority that lives as long as its test.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test Authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pair = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&pair).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, pair),
        }
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A server's certificate for `localhost` and `127.0.0.1` and its key, both PEM.
    pub fn server(&self, common_name: &str) -> (String, String) {
        self.issue(common_name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate and its key, both PEM.
    pub fn client(&self, common_name: &str) -> (String, String) {
        self.issue(common_name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, common_name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![usage];
        let pair = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&pair, &self.issuer).unwrap();
        (certificate.pem(), pair.serialize_pem())
    }
}

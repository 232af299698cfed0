//! Certificates for one test.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// A certificate authority that lives as long as its test.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, with a name of its own.
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("Test Authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
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

    /// A server's certificate for these names, which is valid in these years, and its key, both PEM.
    pub fn server_for(&self, names: &[&str], years: Range<i32>) -> (String, String) {
        let mut params = params(names, names[0], ExtendedKeyUsagePurpose::ServerAuth);
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        self.sign(&params)
    }

    fn issue(&self, common_name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        self.sign(&params(&["localhost", "127.0.0.1"], common_name, usage))
    }

    fn sign(&self, params: &CertificateParams) -> (String, String) {
        let pair = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&pair, &self.issuer).unwrap();
        (certificate.pem(), pair.serialize_pem())
    }
}

fn params(names: &[&str], common_name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![usage];
    params
}

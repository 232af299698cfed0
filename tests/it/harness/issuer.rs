//! An issuer of users' tokens: its keys, and tokens with any header and any claims.
//!
//! Made with primitives, not with the crate that the program verifies with, so that every wrong token can be made too.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key that signs tokens.
pub struct SigningKey {
    /// `kid`
    pub id: String,
    kind: Kind,
}

enum Kind {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// A new RSA key of 2048 bits.
    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self::new(id, Kind::Rsa(Box::new(pair)))
    }

    /// A new P-256 key.
    pub fn ec(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(id, Kind::Ec(pair))
    }

    /// A new Ed25519 key.
    pub fn ed(id: &str) -> Self {
        Self::new(id, Kind::Ed(Ed25519KeyPair::generate().unwrap()))
    }

    fn new(id: &str, kind: Kind) -> Self {
        Self {
            id: id.to_owned(),
            kind,
        }
    }

    /// The algorithm's name.
    pub fn algorithm(&self) -> &'static str {
        match &self.kind {
            Kind::Rsa(_) => "RS256",
            Kind::Ec(_) => "ES256",
            Kind::Ed(_) => "EdDSA",
        }
    }

    /// The public half, as bytes.
    pub fn public(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Kind::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Kind::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The public half, as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        let public = self.public();
        let mut key = match &self.kind {
            Kind::Rsa(_) => {
                // RSAPublicKey (RFC 8017 §A.1.1) with a modulus of 256 bytes and the exponent 65537.
                assert_eq!((public[0], public.len()), (0x30, 270));
                json!({"kty": "RSA", "n": encode(&public[9..265]), "e": "AQAB"})
            }
            Kind::Ec(_) => {
                json!({"kty": "EC", "crv": "P-256", "x": encode(&public[1..33]), "y": encode(&public[33..])})
            }
            Kind::Ed(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&public)}),
        };
        key["kid"] = self.id.as_str().into();
        key["use"] = "sig".into();
        key
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.algorithm(), "kid": self.id});
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token with any header and any claims, both as text.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.kind {
            Kind::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let algorithm = &RSA_PKCS1_SHA256;
                pair.sign(algorithm, &random, message.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
            Kind::Ec(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Kind::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encode(&signature))
    }
}

/// A token that an HMAC stands under, with these bytes as its secret.
pub fn hmac_token(secret: &[u8], header: &str, claims: &str) -> String {
    use aws_lc_rs::hmac;
    let message = format!("{}.{}", encode(header), encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag.as_ref()))
}

/// `{"keys": […]}`
pub fn key_set(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

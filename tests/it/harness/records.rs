//! Keys and key files. Hashes are computed here, not by the program under test.

use std::fmt::Write;

/// A key that the tests know in plain.
pub const ALPHA: &str = "kg_alpha0123456789abcdefghijABCDEFGHIJ";
/// Another.
pub const BETA: &str = "kg_beta00123456789abcdefghijABCDEFGHIJ";
/// And another.
pub const GAMMA: &str = "kg_gamma0123456789abcdefghijABCDEFGHIJ";

/// `sha256:<hex>` of a key.
pub fn sha256(plain: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, plain.as_bytes());
    let mut text = "sha256:".to_owned();
    for byte in digest.as_ref() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// One key record with more lines of TOML.
pub fn key(id: &str, plain: &str, more: &str) -> String {
    format!(
        "[[keys]]\nid = \"{id}\"\nname = \"{id}-name\"\norganization = \"acme\"\nhash = \"{}\"\n{more}\n",
        sha256(plain)
    )
}

/// A key file: one organization and these records.
pub fn key_file(records: &[String]) -> String {
    format!(
        "[[organizations]]\nid = \"acme\"\nname = \"Acme Production\"\n\n{}",
        records.join("\n")
    )
}

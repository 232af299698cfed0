//! cli_check

//! What leaves: webhooks, and how they are sent.

pub mod schedule;

//! The decision on a client's request, top to bottom; the first rule that says no is the answer.
//!
//! 1. hygiene: the head means the same to everybody ([`super::hygiene`])
//! 2. TLS where it is required
//! 3. route: there is one, and its access is not `deny`
//! 4. credential: present, in its form, one ([`super::credential`])
//! 5. look-up: a record has its hash; the source has bad keys left to present
//! 6. state: active, begun, not expired, not revoked
//! 7. network: the client's address is one of the key's `allowed_sources`
//! 8. environment: the key's prefix and its record agree
//! 9. permission: what the route demands
//! 10. the path's form is one that the chosen upstream reads as we do
//! 11. concurrency, then rate: all windows or none

//! `keygate keys import`

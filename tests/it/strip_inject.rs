//! strip_inject

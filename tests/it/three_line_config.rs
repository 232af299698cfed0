//! three_line_config

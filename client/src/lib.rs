//! The Rust client of Vestibule.

//! The chat, as a library so that tests can start it.

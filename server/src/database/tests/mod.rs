//! Tests of the room, by theme.

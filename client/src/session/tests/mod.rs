//! The session alone: message by message, and in random orders against a model of a server.

mod random;
mod scripted;
mod server;
mod world;

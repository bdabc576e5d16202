//! Runs the chat.

/// What one thread of the server allocates another frees, and all of them do so all the time: the system's allocator makes
/// them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chat::run().await
}

//! Runs the chat.

/// Threads of the server constantly free memory that other threads allocated: the system's allocator makes them wait
/// for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chat::run().await
}

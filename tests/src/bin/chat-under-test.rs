//! The example `chat`, built beside the tests that drive it as a process.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chat::run().await
}

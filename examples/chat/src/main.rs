//! Runs the chat.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chat::run().await
}

//! The app `people`, as a process that tests may stop and kill.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    vestibule_tests::people::run().await
}

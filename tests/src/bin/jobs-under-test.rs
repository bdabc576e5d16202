//! The app `jobs`, as a process that tests may stop and kill.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    vestibule_tests::jobs::run().await
}

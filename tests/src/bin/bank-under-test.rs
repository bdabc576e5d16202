//! The app `bank`, as a process that tests may kill.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    vestibule_tests::bank::run().await
}

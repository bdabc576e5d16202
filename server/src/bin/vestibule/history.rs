//! `vestibule deployments` and `vestibule rollback`: the pushes that are kept.

use serde_json::json;
use vestibule_server::app::{AdminClient, moment};

/// Lists the pushes, the newest first.
pub async fn list(client: AdminClient) -> anyhow::Result<()> {
    let answer = client.get("/api/vestibule/deployments").await?;
    let deployments = answer["deployments"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if deployments.is_empty() {
        eprintln!("Nothing was pushed yet.");
    }
    for (position, push) in deployments.iter().enumerate() {
        let id = push["id"].as_str().unwrap_or_default();
        let at = moment(push["pushedAt"].as_f64().unwrap_or_default());
        let message = push["message"].as_str().unwrap_or_default();
        let live = if position == 0 { "live" } else { "" };
        println!("{}", format!("{id}  {at}  {live:4}  {message}").trim_end());
    }
    Ok(())
}

/// Makes a push live again.
pub async fn roll_back(client: AdminClient, id: String) -> anyhow::Result<()> {
    let answer = client
        .post("/api/vestibule/rollback", &json!({ "id": id }))
        .await?;
    println!("{}", answer["id"].as_str().unwrap_or_default());
    eprintln!("What was pushed as {id} is live again.");
    Ok(())
}

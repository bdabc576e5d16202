//! `action` on a client that has not taken the step `authenticate`.

use vestibule_client::{Client, Connected, Value};

async fn too_early(client: Client<Connected>) {
    client.action::<Value>("messages:export", ()).await.unwrap();
}

fn main() {}

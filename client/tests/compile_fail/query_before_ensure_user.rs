//! `query` on a client that has not taken the step `ensure_user`.

use vestibule_client::{Authenticated, Client, Value};

async fn too_early(client: Client<Authenticated>) {
    client.query::<Value>("messages:list", ()).await.unwrap();
}

fn main() {}

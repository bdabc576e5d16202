//! `mutation` on a client that has not taken the step `ensure_user`.

use vestibule_client::{Authenticated, Client, Value};

async fn too_early(client: Client<Authenticated>) {
    client.mutation::<Value>("messages:send", ()).await.unwrap();
}

fn main() {}

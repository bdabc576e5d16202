//! `subscribe` on a client that has not taken the step `authenticate`.

use vestibule_client::{Client, Connected, Value};

async fn too_early(client: Client<Connected>) {
    client.subscribe::<Value>("messages:list", ()).unwrap();
}

fn main() {}

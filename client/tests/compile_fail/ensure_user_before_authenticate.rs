//! `ensure_user` on a client that is not signed in.

use vestibule_client::{Client, Connected};

async fn too_early(client: Client<Connected>) {
    client.ensure_user().await.unwrap();
}

fn main() {}

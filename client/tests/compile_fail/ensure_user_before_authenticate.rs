//! `ensure_user` on a client with nobody to provision.

use vestibule_client::{Client, Connected};

async fn too_early(client: Client<Connected>) {
    client.ensure_user().await.unwrap();
}

fn main() {}

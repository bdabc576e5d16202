//! After `sign_out` there is no user to call anything as.

use vestibule_client::{Client, Provisioned, Value};

async fn too_late(client: Client<Provisioned>) {
    let client = client.sign_out();
    client.query::<Value>("messages:list", ()).await.unwrap();
}

fn main() {}

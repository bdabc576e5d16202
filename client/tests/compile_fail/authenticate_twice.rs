//! A step takes the client along, so it cannot be taken twice.

use vestibule_client::{Client, Connected, FixedToken};

async fn twice(client: Client<Connected>, ada: FixedToken, grace: FixedToken) {
    let _ada = client.authenticate(ada).await.unwrap();
    let _grace = client.authenticate(grace).await.unwrap();
}

fn main() {}

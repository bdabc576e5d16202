//! A damaged file is noticed, never served.

use std::path::Path;

use serde_json::json;

/// Changes one letter in every place of the file that holds `text`.
fn damage(file: &Path, text: &[u8]) -> usize {
    let mut bytes = std::fs::read(file).unwrap();
    let places: Vec<usize> = (0..bytes.len() - text.len())
        .filter(|at| &bytes[*at..*at + text.len()] == text)
        .collect();
    for at in &places {
        bytes[*at] ^= 1;
    }
    std::fs::write(file, bytes).unwrap();
    places.len()
}

#[tokio::test]
async fn a_damaged_document_is_an_error_and_turns_health_red() {
    let data = tempfile::tempdir().unwrap();
    let options = super::chat(data.path());
    let chat = options.start().unwrap();
    let token = chat.token("ada").await.unwrap();
    let message = json!({ "channel": "general", "body": "a text to be damaged" });
    chat.call("mutation", "messages:send", message, Some(&token))
        .await
        .unwrap();
    assert_eq!(chat.health().await.unwrap().0, 200);
    assert_eq!(chat.stop().unwrap(), Some(0));
    assert!(
        damage(
            &data.path().join("vestibule.sqlite3"),
            b"a text to be damaged"
        ) > 0
    );

    // Damage in the unfolded part is found at the start, all other damage when it is read.
    let Ok(chat) = options.start() else {
        let (_, said) = options.run_to_end().unwrap();
        assert!(said.contains("damaged"), "{said}");
        return;
    };
    assert_eq!(
        chat.query("channels:list", json!({})).await.unwrap(),
        json!(["general", "random", "help"])
    );
    chat.query("messages:list", json!({ "channel": "general" }))
        .await
        .unwrap_err();
    let (status, body) = chat.health().await.unwrap();
    assert_eq!((status, &body["status"]), (503, &json!("damaged")));
}

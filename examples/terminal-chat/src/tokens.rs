//! Auth tokens of the chat's development issuer, which signs in every user. A real program asks its identity provider
//! here.

use serde_json::{Value as Json, json};
use vestibule_client::{TokenError, TokenSource};

/// Tokens of one person.
pub struct DevelopmentTokens {
    url: String,
    person: Json,
}

impl DevelopmentTokens {
    /// Tokens of the person called `name`, from the chat at `url`.
    pub fn new(url: &str, name: &str, email: Option<&str>) -> DevelopmentTokens {
        let url = format!("{}/dev/token", url.trim_end_matches('/'));
        let mut person = json!({ "subject": name.to_lowercase(), "name": name });
        if let Some(email) = email {
            person["email"] = json!(email);
        }
        DevelopmentTokens { url, person }
    }
}

impl TokenSource for DevelopmentTokens {
    /// Every token is a new one here. The client asks again before it runs out.
    async fn fetch(&self, _force_refresh: bool) -> Result<String, TokenError> {
        let asked = reqwest::Client::new().post(&self.url).json(&self.person);
        let answer = asked.send().await.map_err(TokenError::unavailable)?;
        let answer = answer.error_for_status().map_err(TokenError::unavailable)?;
        let body: Json = answer.json().await.map_err(TokenError::unavailable)?;
        match body["token"].as_str() {
            Some(token) => Ok(token.to_string()),
            None => Err(TokenError::unavailable("the answer holds no token")),
        }
    }
}

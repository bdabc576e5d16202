//! From the claims of a verified token to the identity that functions see.
//!
//! OIDC claims have a profile with names of its own and custom claims beside it. A customJwt has custom claims only,
//! and objects in them become fields with dotted names. Claims of the protocol are no part of an identity, nor is
//! Clerk's `fva`, which changes with every token. With them, no two tokens of one person would share a cached result.

use serde_json::{Map, Value as Json};
use vestibule_schema::identity::{Identity, claim_to_value};
use vestibule_schema::value::{Object, Value, check_value};

use super::config::ProviderKind;
use super::error::TokenFault;

/// OIDC claims that are text, and the fields they become.
const TEXT_CLAIMS: [(&str, &str); 14] = [
    ("name", "name"),
    ("given_name", "givenName"),
    ("family_name", "familyName"),
    ("nickname", "nickname"),
    ("preferred_username", "preferredUsername"),
    ("profile", "profileUrl"),
    ("picture", "pictureUrl"),
    ("website", "websiteUrl"),
    ("email", "email"),
    ("gender", "gender"),
    ("birthdate", "birthday"),
    ("zoneinfo", "timezone"),
    ("locale", "language"),
    ("phone_number", "phoneNumber"),
];

/// OIDC claims that are a boolean, and the fields they become.
const BOOLEAN_CLAIMS: [(&str, &str); 2] = [
    ("email_verified", "emailVerified"),
    ("phone_number_verified", "phoneNumberVerified"),
];

/// Claims about the token and not about the person, of OIDC.
const OIDC_DROPPED: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "azp",
    "nonce",
    "acr",
    "amr",
    "at_hash",
    "c_hash",
    "auth_time",
    "fva",
];

/// Claims about the token and not about the person, of a customJwt.
const CUSTOM_JWT_DROPPED: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "fva"];

/// The identity of a verified token.
pub(super) fn identity(
    kind: ProviderKind,
    issuer: &str,
    subject: &str,
    claims: &Map<String, Json>,
) -> Result<Identity, TokenFault> {
    let attributes = match kind {
        ProviderKind::Oidc => oidc_attributes(claims),
        ProviderKind::CustomJwt => custom_jwt_attributes(claims),
    };
    let identity = Identity::new(issuer, subject, attributes);
    check_value(&identity.to_value()).map_err(|error| TokenFault::ClaimsRefused {
        reason: error.to_string(),
    })?;
    Ok(identity)
}

fn oidc_attributes(claims: &Map<String, Json>) -> Object {
    let mut attributes = Object::new();
    for (name, claim) in claims {
        if !OIDC_DROPPED.contains(&name.as_str()) && !is_profile(name) {
            insert_custom(&mut attributes, name, claim);
        }
    }
    // After the custom claims: a custom claim called `givenName` does not hide `given_name`.
    for (name, field) in TEXT_CLAIMS {
        insert(
            &mut attributes,
            field,
            claims.get(name).and_then(Json::as_str),
        );
    }
    for (name, field) in BOOLEAN_CLAIMS {
        insert(&mut attributes, field, claims.get(name).and_then(boolean));
    }
    let address = claims.get("address").and_then(|it| it.get("formatted"));
    insert(&mut attributes, "address", address.and_then(Json::as_str));
    insert(
        &mut attributes,
        "updatedAt",
        claims.get("updated_at").and_then(moment),
    );
    attributes
}

fn custom_jwt_attributes(claims: &Map<String, Json>) -> Object {
    let mut attributes = Object::new();
    for (name, claim) in claims {
        if !CUSTOM_JWT_DROPPED.contains(&name.as_str()) {
            flatten(&mut attributes, name, claim);
        }
    }
    attributes
}

fn is_profile(claim: &str) -> bool {
    let texts = TEXT_CLAIMS.iter().map(|(name, _)| *name);
    let booleans = BOOLEAN_CLAIMS.iter().map(|(name, _)| *name);
    let others = ["address", "updated_at"].into_iter();
    texts
        .chain(booleans)
        .chain(others)
        .any(|name| name == claim)
}

/// Sets a profile field. A claim of another type than its meaning needs counts as absent: functions rely on the types.
fn insert(attributes: &mut Object, field: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        attributes.insert(field.to_owned(), value.into());
    }
}

/// Sets a custom claim under its own name. A claim that no value can hold, such as a name with `$` in front, is left
/// out. It is the provider's bookkeeping and no reason to refuse a login.
fn insert_custom(attributes: &mut Object, name: &str, claim: &Json) {
    let field = Value::Object(Object::from([(name.to_owned(), claim_to_value(claim))]));
    if check_value(&field).is_ok()
        && let Value::Object(field) = field
    {
        attributes.extend(field);
    }
}

/// Sets a custom claim; an object becomes one field for each value in it. The depth is bounded by the JSON parser.
fn flatten(attributes: &mut Object, name: &str, claim: &Json) {
    match claim {
        Json::Object(fields) => {
            for (inner, claim) in fields {
                flatten(attributes, &format!("{name}.{inner}"), claim);
            }
        }
        other => insert_custom(attributes, name, other),
    }
}

/// Some providers write their booleans as text.
fn boolean(claim: &Json) -> Option<bool> {
    match claim {
        Json::Bool(value) => Some(*value),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A moment as RFC 3339 text, from seconds since the epoch, or from such a text.
fn moment(claim: &Json) -> Option<String> {
    match claim {
        Json::Number(number) => {
            // A float beyond the range of i64 saturates, and the library refuses it.
            let seconds = number.as_f64()?.trunc() as i64;
            jiff::Timestamp::from_second(seconds)
                .ok()
                .map(|it| it.to_string())
        }
        Json::String(text) => text.parse::<jiff::Timestamp>().ok().map(|_| text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(kind: ProviderKind, claims: Json) -> Json {
        let claims = claims.as_object().unwrap();
        let identity = identity(kind, "https://issuer.example", "ada", claims).unwrap();
        serde_json::from_str(&identity.canonical()).unwrap()
    }

    #[test]
    fn the_oidc_profile_gets_its_field_names() {
        let claims = json!({
            "iss": "https://issuer.example", "sub": "ada", "aud": "app", "exp": 2, "iat": 1, "nbf": 1, "jti": "x",
            "azp": "https://page", "nonce": "n", "acr": "1", "amr": ["pwd"], "at_hash": "h", "c_hash": "h",
            "auth_time": 1, "fva": [1, -1],
            "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "nickname": "A",
            "preferred_username": "ada", "profile": "p", "picture": "i", "website": "w", "email": "ada@example.com",
            "gender": "f", "birthdate": "1815-12-10", "zoneinfo": "Europe/London", "locale": "en-GB",
            "phone_number": "+44", "phone_number_verified": false, "email_verified": true,
            "address": {"formatted": "London", "country": "GB"}, "updated_at": 1_700_000_000,
            "org": {"id": 7, "tags": ["a"]}, "sid": "sess_1",
        });
        assert_eq!(
            seen(ProviderKind::Oidc, claims),
            json!({
                "tokenIdentifier": "https://issuer.example|ada", "issuer": "https://issuer.example", "subject": "ada",
                "name": "Ada Lovelace", "givenName": "Ada", "familyName": "Lovelace", "nickname": "A",
                "preferredUsername": "ada", "profileUrl": "p", "pictureUrl": "i", "websiteUrl": "w",
                "email": "ada@example.com", "gender": "f", "birthday": "1815-12-10", "timezone": "Europe/London",
                "language": "en-GB", "phoneNumber": "+44", "phoneNumberVerified": false, "emailVerified": true,
                "address": "London", "updatedAt": "2023-11-14T22:13:20Z",
                "org": {"id": 7.0, "tags": ["a"]}, "sid": "sess_1",
            })
        );
    }

    #[test]
    fn profile_claims_of_another_type_are_left_out() {
        let claims = json!({
            "name": 5, "email_verified": "true", "phone_number_verified": 1, "updated_at": "2024-01-02T03:04:05Z",
            "address": "London",
        });
        assert_eq!(
            seen(ProviderKind::Oidc, claims),
            json!({
                "tokenIdentifier": "https://issuer.example|ada", "issuer": "https://issuer.example", "subject": "ada",
                "emailVerified": true, "updatedAt": "2024-01-02T03:04:05Z",
            })
        );
    }

    #[test]
    fn custom_jwt_claims_keep_their_names_and_objects_become_dotted() {
        let claims = json!({
            "iss": "i", "sub": "ada", "aud": "app", "exp": 2, "iat": 1, "nbf": 1, "jti": "x", "fva": [1],
            "email": "ada@example.com", "given_name": "Ada", "azp": "kept", "nested": {"list": [1], "deep": {"id": 1}},
        });
        assert_eq!(
            seen(ProviderKind::CustomJwt, claims),
            json!({
                "tokenIdentifier": "https://issuer.example|ada", "issuer": "https://issuer.example", "subject": "ada",
                "email": "ada@example.com", "given_name": "Ada", "azp": "kept",
                "nested.list": [1.0], "nested.deep.id": 1.0,
            })
        );
    }

    #[test]
    fn no_claim_passes_for_what_was_verified() {
        for kind in [ProviderKind::Oidc, ProviderKind::CustomJwt] {
            let claims = json!({"tokenIdentifier": "https://issuer.example|root", "issuer": "x", "subject": "root"});
            assert_eq!(
                seen(kind, claims),
                json!({
                    "tokenIdentifier": "https://issuer.example|ada", "issuer": "https://issuer.example",
                    "subject": "ada",
                })
            );
        }
        let spoof = json!({"given_name": "Ada", "givenName": "Root"});
        assert_eq!(seen(ProviderKind::Oidc, spoof)["givenName"], "Ada");
    }

    #[test]
    fn claims_that_no_value_can_hold_are_left_out() {
        let claims = json!({"$x": 1, "naïve": 2, "kept": 3, "odd": {"$y": 1}});
        let shown = seen(ProviderKind::Oidc, claims);
        assert_eq!(shown.as_object().unwrap().len(), 4, "{shown}");
        assert_eq!(shown["kept"], 3.0);
    }
}

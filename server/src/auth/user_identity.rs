//! The identity that functions are given, which remembers the claims they looked at.
//!
//! Auth tokens are renewed every minute or so, and now and then with another claim in them: a new picture, a new role.
//! A result holds for every token of the person in which the claims that the function looked at are the same. So a
//! renewed token makes only functions run again that depend on a changed claim.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use vestibule_schema::identity::Identity;
use vestibule_schema::value::Value;

/// The verified identity of a caller. Issuer and subject say who it is; everything else is a claim of the auth token.
#[derive(Clone)]
pub struct UserIdentity(Arc<Looked>);

struct Looked {
    identity: Arc<Identity>,
    claims: Mutex<ClaimsRead>,
}

/// The claims that an execution looked at, by name. Issuer and subject always count as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClaimsRead {
    names: BTreeSet<String>,
    is_everything: bool,
}

/// Distinct claims that are told apart; an execution that looks at more counts as looking at all.
const CLAIMS_MAX: usize = 64;

impl UserIdentity {
    /// The identity for one execution, of which nothing was looked at yet.
    pub fn new(identity: Arc<Identity>) -> UserIdentity {
        UserIdentity(Arc::new(Looked {
            identity,
            claims: Mutex::default(),
        }))
    }

    /// `<issuer>|<subject>`: by this the app finds the person's document.
    pub fn token_identifier(&self) -> &str {
        &self.0.identity.token_identifier
    }

    /// The `iss` claim as the token spells it.
    pub fn issuer(&self) -> &str {
        &self.0.identity.issuer
    }

    /// The `sub` claim.
    pub fn subject(&self) -> &str {
        &self.0.identity.subject
    }

    /// A claim that is a text, under the name that `getUserIdentity()` gives it: `name`, `email`, `givenName`, …
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.0.claims.lock().note(claim);
        self.0.identity.text(claim)
    }

    /// A claim of any type, custom ones included.
    pub fn claim(&self, claim: &str) -> Option<&Value> {
        self.0.claims.lock().note(claim);
        self.0.identity.attributes.get(claim)
    }

    /// The result of Convex's `ctx.auth.getUserIdentity()`: everything in one object. Counts as looking at every
    /// claim, so that any changed one makes the function run again.
    pub fn to_value(&self) -> Value {
        self.0.claims.lock().note_everything();
        self.0.identity.to_value()
    }

    /// The claims looked at so far.
    pub fn claims_read(&self) -> ClaimsRead {
        self.0.claims.lock().clone()
    }
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.identity.fmt(f)
    }
}

impl ClaimsRead {
    /// Whether only issuer and subject were looked at.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.is_everything
    }

    /// Adds what another execution looked at.
    pub fn extend(&mut self, other: ClaimsRead) {
        if other.is_everything {
            return self.note_everything();
        }
        other.names.iter().for_each(|name| self.note(name));
    }

    fn note(&mut self, claim: &str) {
        if self.is_everything || self.names.contains(claim) {
            return;
        }
        self.names.insert(claim.to_owned());
        if self.names.len() > CLAIMS_MAX {
            self.note_everything();
        }
    }

    fn note_everything(&mut self) {
        self.names.clear();
        self.is_everything = true;
    }

    /// The claims of `identity` that were looked at, as a text. Two identities of equal text are the same to a function
    /// that looks at no more. It holds personal data; hash it for cache keys.
    pub(super) fn projection(&self, identity: &Identity) -> String {
        if self.is_everything {
            return identity.canonical();
        }
        let who = Identity::from_names(identity);
        let mut text = who.canonical();
        for name in &self.names {
            // Each name stands there, even that of an absent claim: other claims looked at give another text.
            Value::from(name.as_str()).write_json(&mut text);
            match identity.attributes.get(name) {
                Some(value) => value.write_json(&mut text),
                None => text.push('-'),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use vestibule_schema::object;

    use super::*;

    fn ada() -> Arc<Identity> {
        let claims = object! { "name" => "Ada", "roles" => Value::Array(vec!["editor".into()]) };
        Arc::new(Identity::new("https://issuer.example", "ada", claims))
    }

    #[test]
    fn who_it_is_counts_as_no_claim() {
        let user = UserIdentity::new(ada());
        assert_eq!(user.subject(), "ada");
        assert_eq!(user.issuer(), "https://issuer.example");
        assert_eq!(user.token_identifier(), "https://issuer.example|ada");
        assert!(user.claims_read().is_empty());
    }

    #[test]
    fn claims_count_when_they_are_looked_at_also_when_they_are_absent() {
        let user = UserIdentity::new(ada());
        assert_eq!(user.clone().text("name"), Some("Ada"));
        assert_eq!(user.claim("email"), None);
        let read = user.claims_read();
        assert_eq!(read.names, BTreeSet::from(["email".into(), "name".into()]));
        user.to_value();
        assert!(user.claims_read().is_everything);
    }

    #[test]
    fn identities_are_alike_exactly_when_what_was_looked_at_is() {
        let with = |claims| Identity::new("https://issuer.example", "ada", claims);
        let reading = |claims: &[&str]| {
            let user = UserIdentity::new(ada());
            for claim in claims {
                user.text(claim);
            }
            user.claims_read()
        };
        let plain = with(object! {});
        let named = with(object! { "name" => "Ada" });
        let nobody = with(object! { "name" => Value::Null });
        let bob = Identity::new("https://issuer.example", "bob", object! {});
        let nothing = reading(&[]);
        assert_eq!(nothing.projection(&plain), nothing.projection(&named));
        assert_ne!(nothing.projection(&plain), nothing.projection(&bob));
        let name = reading(&["name"]);
        let texts = [&plain, &named, &nobody, &bob].map(|identity| name.projection(identity));
        let distinct: BTreeSet<&String> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
        let email = reading(&["email"]);
        assert_eq!(email.projection(&plain), email.projection(&named));
        assert_ne!(email.projection(&plain), name.projection(&plain));
        assert_ne!(email.projection(&plain), nothing.projection(&plain));
    }

    #[test]
    fn whoever_looks_at_very_many_claims_looks_at_all() {
        let user = UserIdentity::new(ada());
        for claim in 0..CLAIMS_MAX {
            user.claim(&format!("claim{claim}"));
        }
        let many = user.claims_read();
        assert_eq!((many.names.len(), many.is_everything), (CLAIMS_MAX, false));
        user.claim("one more");
        let read = user.claims_read();
        assert!(read.is_everything && read.names.is_empty());
        let mut sum = ClaimsRead::default();
        sum.extend(read);
        assert!(sum.is_everything);
    }

    #[test]
    fn whoever_has_looked_at_all_claims_looks_at_no_further_one() {
        let user = UserIdentity::new(ada());
        user.to_value();
        let all = user.claims_read();
        user.text("name");
        assert_eq!(user.claims_read(), all);
    }
}

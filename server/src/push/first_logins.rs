//! Telling the developer of an app that signs users in and does not say how its users come to exist.

use std::collections::BTreeMap;
use std::time::Duration;

use vestibule_schema::path::ComponentPath;

use super::Pushes;
use crate::deployment::Deployment;
use crate::deployment::variables::SITE_URL;
use crate::functions::LogEntry;

/// The name under which the warning is logged, among executions of functions.
const LOGGED_AS: &str = "vestibule:firstLogins";

impl Pushes {
    /// Warns when a deployment begins to need it: in the log that `convex dev` shows, and in the server's own.
    pub(super) async fn warn_of_first_logins(&self, before: &Deployment, live: &Deployment) {
        let unread = BTreeMap::new();
        let is_new = self.stated.warning(live, &unread).is_some()
            && (before.push.is_none() || self.stated.warning(before, &unread).is_none());
        if !is_new || self.signs_all_tokens(live) {
            return;
        }
        let modules = live.modules.values().cloned().collect();
        // Without sources it is a guess by names alone.
        let read = self.stored_sources(modules).await.unwrap_or_default();
        let sources = read
            .iter()
            .map(|module| (module.path.clone(), &*module.source));
        let Some(warning) = self.stated.warning(live, &sources.collect()) else {
            return;
        };
        self.warn(LOGGED_AS, &warning);
    }

    /// Says something where the developer sees it: in the log that `convex dev` shows, and in the server's own.
    pub(super) fn warn(&self, logged_as: &str, warning: &str) {
        tracing::warn!("{warning}");
        let now = self.now_millis();
        let entry = LogEntry {
            is_completion: true,
            kind: "Mutation",
            identifier: logged_as.to_owned(),
            component: ComponentPath::ROOT,
            began_millis: now,
            took: Duration::ZERO,
            log_lines: vec![format!("[WARN] {warning}")],
            error: None,
            status: None,
            request_id: "".into(),
            environment: "native",
            identity: "system",
            is_cached: false,
        };
        self.functions.log().push(now as u64, entry);
    }

    /// Whether functions of the app itself sign all its tokens, as those of Convex Auth do. They make a user before a token.
    fn signs_all_tokens(&self, live: &Deployment) -> bool {
        let variables = self.visible_variables(live);
        let site = variables.get(SITE_URL).map(String::as_str);
        let auth = live.auth.as_ref();
        auth.is_some_and(|auth| {
            auth.providers()
                .iter()
                .all(|provider| Some(provider.issuer()) == site)
        })
    }
}

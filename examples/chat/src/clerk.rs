//! Webhooks of Clerk, kept beside the gate: they tell of changes and deletions at once, and no first login waits for
//! them.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use vestibule_server::app::settings::Environment;
use vestibule_server::prelude::*;

use super::svix::Secret;
use super::told::{self, Membership, ToldUser, Whom};

/// Where Clerk sends its events, below `/http`.
pub const PATH: &str = "/clerk";
/// The environment variable that holds the endpoint's signing secret. No flag: every user of a machine sees those.
const SECRET_VARIABLE: &str = "CLERK_WEBHOOK_SECRET";

/// The secret that verifies events, and the issuer of their people.
pub struct Webhooks {
    secret: Secret,
    /// The issuer of Clerk's auth tokens. Events name people by their subject alone.
    issuer: String,
}

impl Webhooks {
    /// From the environment; `None` where it holds no secret.
    pub fn from_environment(config: &Config) -> anyhow::Result<Option<Webhooks>> {
        let Some(secret) = Environment::of_process().variable(SECRET_VARIABLE)? else {
            tracing::info!("no {SECRET_VARIABLE}: no webhooks of Clerk are taken");
            return Ok(None);
        };
        let secret = Secret::parse(&secret).context(SECRET_VARIABLE)?;
        let issuer = issuer(config)?;
        Ok(Some(Webhooks { secret, issuer }))
    }

    /// Takes events at [`PATH`].
    pub fn add_to(self, app: App, invited: Option<String>) -> App {
        let webhooks = Arc::new(self);
        let change_user = move |ctx: &mut MutationCtx, told: ToldUser| {
            told::change_user(ctx, told, invited.as_deref())
        };
        app.function(Function::mutation("clerk:changeUser", change_user).internal())
            .function(Function::mutation("clerk:deleteUser", told::delete_user).internal())
            .function(
                Function::mutation("clerk:changeMembership", told::change_membership).internal(),
            )
            .http_route(Method::POST, PATH, move |ctx, request| {
                let webhooks = webhooks.clone();
                async move { webhooks.answer(ctx, request).await }
            })
    }

    /// Verifies a request, and applies what it tells. Clerk sends again every request that is not answered with a 2xx.
    async fn answer(&self, ctx: HttpActionCtx, request: HttpRequest) -> Result<HttpResponse> {
        let now = SystemTime::now();
        if let Err(refusal) = self.secret.verify(&request.headers, &request.body, now) {
            return Ok(HttpResponse::text(refusal.status(), refusal.to_string()));
        }
        let told = match self.read(&request) {
            Ok(told) => told,
            Err(error) => {
                let why = format!("This is no event as Clerk sends them: {error}");
                return Ok(HttpResponse::text(StatusCode::BAD_REQUEST, why));
            }
        };
        let became: String = match told {
            Told::User(user) => ctx.run_mutation("clerk:changeUser", user).await?,
            Told::Deleted(whom) => ctx.run_mutation("clerk:deleteUser", whom).await?,
            Told::Membership(told) => ctx.run_mutation("clerk:changeMembership", told).await?,
            Told::Other => "ignored".to_string(),
        };
        Ok(HttpResponse::text(StatusCode::OK, became))
    }

    fn read(&self, request: &HttpRequest) -> Result<Told> {
        let token = |subject: &str| format!("{}|{subject}", self.issuer);
        let Kind { kind } = request.json()?;
        Ok(match &*kind {
            "user.created" | "user.updated" => {
                let data = request.json::<Event<ClerkUser>>()?.data;
                Told::User(ToldUser {
                    token: token(&data.id),
                    name: data.name(),
                    email: data.email(),
                    at: data.updated_at,
                })
            }
            "user.deleted" => {
                let token = token(&request.json::<Event<ClerkDeleted>>()?.data.id);
                Told::Deleted(Whom { token })
            }
            "organizationMembership.created"
            | "organizationMembership.updated"
            | "organizationMembership.deleted" => {
                let data = request.json::<Event<ClerkMembership>>()?.data;
                Told::Membership(Membership {
                    membership: data.id,
                    token: token(&data.public_user_data.user_id),
                    organization: data.organization.name,
                    is_over: kind.ends_with(".deleted"),
                    told_at: data.updated_at,
                })
            }
            _ => Told::Other,
        })
    }
}

/// The one issuer of the chat's people: Clerk's, or the built-in one in development.
fn issuer(config: &Config) -> anyhow::Result<String> {
    let providers = config.providers()?;
    let issuer = match providers.providers() {
        [] if config.listen.port() == 0 => {
            bail!(
                "{SECRET_VARIABLE} needs an issuer: name Clerk's with --issuer, or a port with --listen"
            )
        }
        [] => format!("http://{}", config.listen),
        [provider] => provider.issuer().to_string(),
        _ => bail!(
            "{SECRET_VARIABLE} needs one issuer: with several it cannot tell whose people Clerk speaks of"
        ),
    };
    // As it stands in Clerk's tokens.
    Ok(issuer.trim_end_matches('/').to_string())
}

/// The content of an event.
enum Told {
    User(ToldUser),
    Deleted(Whom),
    Membership(Membership),
    /// Something that the chat has no use for.
    Other,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Event<D: DeserializeOwned> {
    #[serde(bound = "")]
    data: D,
}

#[derive(Deserialize)]
struct ClerkUser {
    id: String,
    first_name: Option<String>,
    last_name: Option<String>,
    primary_email_address_id: Option<String>,
    #[serde(default)]
    email_addresses: Vec<ClerkEmailAddress>,
    /// As of when they are so, in milliseconds since 1970. An event may be sent much later.
    updated_at: f64,
}

#[derive(Deserialize)]
struct ClerkEmailAddress {
    id: String,
    email_address: String,
    verification: Option<ClerkVerification>,
}

#[derive(Deserialize)]
struct ClerkVerification {
    status: String,
}

#[derive(Deserialize)]
struct ClerkDeleted {
    id: String,
}

#[derive(Deserialize)]
struct ClerkMembership {
    id: String,
    organization: ClerkOrganization,
    public_user_data: ClerkMember,
    /// As above. A membership that is over stays over, whatever its time.
    #[serde(default)]
    updated_at: f64,
}

#[derive(Deserialize)]
struct ClerkOrganization {
    name: String,
}

#[derive(Deserialize)]
struct ClerkMember {
    user_id: String,
}

impl ClerkUser {
    fn name(&self) -> Option<String> {
        let parts = [&self.first_name, &self.last_name].into_iter().flatten();
        let parts: Vec<&str> = parts
            .map(|part| part.trim())
            .filter(|part| !part.is_empty())
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// The primary address, if it was verified: an invitation is for the readers of that address.
    fn email(&self) -> Option<String> {
        let primary = self.primary_email_address_id.as_deref()?;
        let address = self.email_addresses.iter().find(|it| it.id == primary)?;
        let verification = address.verification.as_ref()?;
        (verification.status == "verified").then(|| address.email_address.clone())
    }
}

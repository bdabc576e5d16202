//! Flags and environment variables, and what they mean together.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use crate::auth::{AuthConfig, AuthConfigError, ProviderConfig};
use crate::outbound::Network;

/// How a server is run. Each flag is also an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    #[arg(
        long,
        env = "VESTIBULE_LISTEN",
        default_value = "127.0.0.1:3210",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,

    /// Data directory; made when it is missing.
    #[arg(
        long,
        env = "VESTIBULE_DATA",
        default_value = "vestibule-data",
        value_name = "DIR"
    )]
    pub data: PathBuf,

    /// Development mode: a built-in issuer signs in anyone who asks, and clients see error texts and logs. The default
    /// when no issuer is given.
    #[arg(long, env = "VESTIBULE_DEV", value_parser = BoolishValueParser::new())]
    pub dev: bool,

    /// Issuer of auth tokens: an OpenID Connect provider, as https://your-app.clerk.accounts.dev.
    #[arg(
        long,
        env = "VESTIBULE_ISSUER",
        value_name = "URL",
        requires = "audience"
    )]
    pub issuer: Option<String>,

    /// Audience that auth tokens must name.
    #[arg(
        long,
        env = "VESTIBULE_AUDIENCE",
        value_name = "AUD",
        requires = "issuer"
    )]
    pub audience: Option<String>,

    /// Providers as JSON, as auth.config holds them: {"providers":[…]}. For several issuers, or customJwt.
    #[arg(
        long,
        env = "VESTIBULE_AUTH_CONFIG",
        value_name = "JSON",
        conflicts_with = "issuer"
    )]
    pub auth_config: Option<String>,

    /// Name of the deployment, in admin keys and at /instance_name.
    #[arg(
        long,
        env = "VESTIBULE_NAME",
        default_value = "vestibule",
        value_name = "NAME"
    )]
    pub name: String,

    /// Where clients reach this server, as in https://api.example.com; the address it listens on when not given.
    #[arg(long, env = "VESTIBULE_ORIGIN", value_name = "URL")]
    pub origin: Option<String>,

    /// Where HTTP actions are reached; `/http` below the origin when not given.
    #[arg(long, env = "VESTIBULE_SITE_ORIGIN", value_name = "URL")]
    pub site_origin: Option<String>,

    /// Origins of pages that may connect; every origin may when none is given.
    #[arg(
        long = "allowed-origin",
        env = "VESTIBULE_ALLOWED_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,

    /// First logins of one issuer in a minute, where anybody may sign up; no bound when not given. Known users are not
    /// counted.
    #[arg(long, env = "VESTIBULE_FIRST_LOGINS_PER_MINUTE", value_name = "NUMBER")]
    pub first_logins_per_minute: Option<NonZeroU32>,

    /// Address of a reverse proxy before this server, whose X-Forwarded-For is believed. Without it, everybody who comes
    /// through the proxy counts as one when wrong admin keys and refused tokens are counted.
    #[arg(
        long = "trusted-proxy",
        env = "VESTIBULE_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "IP"
    )]
    pub trusted_proxies: Vec<IpAddr>,

    /// Networks that `fetch` of JavaScript actions may reach although they are not public, as in 10.0.0.0/8. In
    /// development mode every address may be reached. Where HTTP_PROXY and its like are set, the proxy decides instead.
    #[arg(
        long = "fetch-allow",
        env = "VESTIBULE_FETCH_ALLOW",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub fetch_allow: Vec<Network>,

    /// How the log on standard error is written. What is logged is chosen by VESTIBULE_LOG, as in `info` or
    /// `vestibule_server::sync=debug`.
    #[arg(
        long,
        env = "VESTIBULE_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// Hide error texts and log lines from clients. The default unless in development mode.
    #[arg(long, env = "VESTIBULE_REDACT", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub redact: Option<bool>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl Config {
    /// A server in development mode on a free port of this machine, as tests want it.
    pub fn for_tests(data: impl Into<PathBuf>) -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: data.into(),
            dev: true,
            issuer: None,
            audience: None,
            auth_config: None,
            name: "vestibule".into(),
            origin: None,
            site_origin: None,
            allowed_origins: Vec::new(),
            first_logins_per_minute: None,
            trusted_proxies: Vec::new(),
            fetch_allow: Vec::new(),
            log_format: LogFormat::Text,
            redact: None,
        }
    }

    /// The configured providers, without the development issuer.
    pub fn providers(&self) -> Result<AuthConfig, AuthConfigError> {
        if let Some(text) = &self.auth_config {
            let json =
                serde_json::from_str(text).map_err(|error| AuthConfigError::NotProviders {
                    reason: error.to_string(),
                })?;
            return AuthConfig::from_json(&json);
        }
        match (&self.issuer, &self.audience) {
            (Some(issuer), Some(audience)) => {
                Ok(AuthConfig::none().with(ProviderConfig::oidc(issuer, audience)?))
            }
            _ => Ok(AuthConfig::none()),
        }
    }
}

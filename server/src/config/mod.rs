//! Configuration: four layers (the manual's defaults, a file, the environment, the command line)
//! become one checked [`Config`], or a list of everything that is wrong.
//!
//! `notice-server.toml` is the manual and the first layer at once: which settings exist, of what
//! kind they are and what the environment calls them follows from its text (`schema`). The other
//! layers are laid over it (`layers`), then every setting is read with its range and the whole is
//! checked for contradictions (`build`). Nothing here reads the process environment or prints;
//! the only input beside the arguments are files: the configuration file, files of secrets and
//! certificates, the host name. Those of credentials can be read again later (`reread`).

mod backends;
mod build;
mod drain_keys;
mod file_layer;
mod files;
mod jwks_url;
mod jwt;
mod keys;
mod layers;
mod mistakes;
mod mongodb_uri;
mod parse;
mod print;
mod reader;
mod redis_uri;
pub mod reread;
mod schema;
mod secret_files;
mod suggest;
mod types;
mod uri;
mod value;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

pub use backends::{
    ClientCertificate, InboxBackend, MongoDbConfig, RedisConfig, RedisTls, WriteConcern,
};
pub use drain_keys::DrainKey;
pub use jwt::{JwtAlgorithm, JwtConfig, JwtKeys};
pub use keys::{ApiKey, ApiKeys, Secret};
pub use layers::{Source, Sources};
pub use mistakes::{ConfigErrors, Mistake, Place, Warning};
pub use parse::TrustedProxies;
pub use redis_uri::{RedisCredentials, RedisEndpoint, RedisServers};
pub use types::{
    AuthConfig, Config, DeliveryConfig, DrainConfig, Limits, LogConfig, LogFormat, LogLevel,
    PageConfig, Retention, SessionConfig, StoreConfig,
};
pub use uri::HostPort;

/// The manual: every setting with its default, as shipped.
pub const MANUAL: &str = include_str!("../../notice-server.toml");

/// What the command line says about the configuration. Not `Debug`: a secret that somebody put
/// here by mistake must not show.
#[derive(Clone, Default)]
pub struct Overrides {
    /// The file to read (`--config`); it goes before `NOTICE_CONFIG`.
    pub config: Option<PathBuf>,
    /// Settings by their path in the file and their text, in order: `--set limits.sessions=500` is
    /// `("limits.sessions", "500")`, `--listen` is `("listen", ...)`. The last of a path wins.
    pub set: Vec<(String, String)>,
}

/// A checked configuration and what is to be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// What is odd but no reason to stop. Not printed here: the caller logs them.
    pub warnings: Vec<Warning>,
    /// Where each value comes from.
    pub sources: Sources,
}

impl Loaded {
    /// What is in force as TOML with the source of each value behind it, secrets hidden.
    ///
    /// Read back as a file it gives the same configuration, except that a secret in it is refused,
    /// since `<hidden>` is none.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        print::effective(&self.sources)
    }
}

/// Lays the file, `env` and `overrides` over the defaults and checks the result.
///
/// `env` is the whole environment, as [`std::env::vars_os`] gives it; names that do not begin with
/// `NOTICE_` are ignored (but `HOSTNAME` helps where the system does not tell the host's name).
///
/// # Errors
/// All mistakes of all layers at once. Texts never hold a secret.
pub fn load<E, K, V>(overrides: Overrides, env: E) -> Result<Loaded, ConfigErrors>
where
    E: IntoIterator<Item = (K, V)>,
    K: Into<OsString>,
    V: Into<OsString>,
{
    let mut findings = mistakes::Findings::default();
    let variables = layers::Variables::collect(env);
    let file = files::configuration(&overrides, &variables, &mut findings);
    let mut settings = schema::from_manual(MANUAL, &mut findings);
    if let Some(file) = &file {
        file_layer::apply(&mut settings, file, &mut findings);
    }
    layers::apply_environment(&mut settings, &variables, &mut findings);
    layers::apply_command_line(&mut settings, &overrides.set, &mut findings);
    let config = build::config(&mut settings, &variables, &mut findings);
    findings.finish(config, settings)
}

//! Tokens that carry their own proof and were revoked: `<namespace>deny:<digest>`, until they end by themselves.

use std::sync::Arc;

use ::redis::Pipeline;
use async_trait::async_trait;

use super::commands::Commands;
use super::connect::Connector;
use super::tokens::all_numbers;
use crate::clock::{Millis, Now};
use crate::inbox::InboxError;
use crate::tokens::{DenyList, TokenDigest};

/// A deny list in Redis. As durable as Redis is set up to be.
pub struct RedisDenyList {
    commands: Commands,
    namespace: String,
    now: Now,
}

impl RedisDenyList {
    /// The deny list of a namespace. Connects when it is first asked.
    #[must_use]
    pub fn new(connector: Arc<Connector>, namespace: &str, now: Now) -> Self {
        Self {
            commands: Commands::new(connector),
            namespace: namespace.to_owned(),
            now,
        }
    }

    fn key(&self, token: &TokenDigest) -> String {
        format!("{}deny:{}", self.namespace, token.to_hex())
    }
}

#[async_trait]
impl DenyList for RedisDenyList {
    async fn deny(&self, token: &TokenDigest, until: Millis) -> Result<(), InboxError> {
        let left = until.saturating_sub((self.now)());
        if left == 0 {
            return Ok(());
        }
        let mut pipeline = Pipeline::new();
        let set = pipeline.cmd("SET").arg(self.key(token)).arg("1");
        set.arg("PX").arg(left).ignore();
        self.commands.run(&pipeline).await
    }

    async fn denied(&self, tokens: &[TokenDigest]) -> Result<Vec<bool>, InboxError> {
        let keys: Vec<String> = tokens.iter().map(|token| self.key(token)).collect();
        let ask = |pipeline: &mut Pipeline, key: &String| {
            pipeline.exists(key);
        };
        let answers = self.commands.each(&keys, ask).await?;
        let numbers = all_numbers(&answers)?;
        Ok(numbers.into_iter().map(|number| number > 0).collect())
    }
}

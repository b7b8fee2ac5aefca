//! Whether who asks may: the API server decides (`SubjectAccessReview`). Answers are kept for some seconds, since an
//! autoscaler asks every few.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::front_proxy::Caller;
use super::refusal::Refusal;
use super::requests::{GROUP, METRIC, SessionsAsked};
use crate::apply::within;
use crate::failure::refusal;

/// How long an answer stands: a right that is taken away lasts so long.
const STANDS: Duration = Duration::from_secs(10);
/// Answers that are kept.
const MOST: usize = 1024;

/// What is asked of the API server.
type Question = (Caller, String, String);

/// Asks, and remembers for a while.
#[derive(Debug, Default)]
pub(super) struct Answers {
    kept: Mutex<HashMap<Question, (bool, Instant)>>,
}

impl Answers {
    fn get(&self, question: &Question, now: Instant) -> Option<bool> {
        let kept = self.kept.lock();
        let (allowed, at) = kept.get(question)?;
        (now.saturating_duration_since(*at) < STANDS).then_some(*allowed)
    }

    fn keep(&self, question: Question, allowed: bool, now: Instant) {
        let mut kept = self.kept.lock();
        if kept.len() >= MOST {
            kept.retain(|_, (_, at)| now.saturating_duration_since(*at) < STANDS);
        }
        if kept.len() < MOST {
            kept.insert(question, (allowed, now));
        }
    }
}

/// Who may ask for sessions.
pub(super) struct Access {
    client: Client,
    answers: Answers,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// By this API server.
    #[must_use]
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            answers: Answers::default(),
        }
    }

    /// Whether `caller` may ask for this.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`], or [`Refusal::Unavailable`] when the API server does not say.
    pub(super) async fn check(
        &self,
        caller: &Caller,
        asked: &SessionsAsked,
    ) -> Result<(), Refusal> {
        let question = (caller.clone(), asked.namespace.clone(), asked.name.clone());
        let allowed = match self.answers.get(&question, Instant::now()) {
            Some(allowed) => allowed,
            None => {
                let allowed = self.review(caller, asked).await?;
                self.answers.keep(question, allowed, Instant::now());
                allowed
            }
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!(
            "pods.{GROUP} \"{}\" is forbidden: User \"{}\" cannot get resource \"pods/{METRIC}\" in API group \"{GROUP}\" \
             in the namespace \"{}\"",
            asked.name, caller.user, asked.namespace
        )))
    }

    async fn review(&self, caller: &Caller, asked: &SessionsAsked) -> Result<bool, Refusal> {
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = review(caller, asked);
        let answered = within(reviews.create(&PostParams::default(), &review)).await;
        let answered = answered.map_err(|error| {
            let why = refusal(&error);
            tracing::warn!("nobody can be given metrics, since the API server does not say who may have them: {why}");
            Refusal::Unavailable(format!("the API server does not say whether this is allowed: {why}"))
        })?;
        Ok(answered.status.is_some_and(|it| it.allowed))
    }
}

fn review(caller: &Caller, asked: &SessionsAsked) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(caller.user.clone()),
            groups: Some(caller.groups.clone()),
            extra: Some(caller.extra.clone()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                version: Some(asked.version.name().to_owned()),
                resource: Some("pods".to_owned()),
                subresource: Some(METRIC.to_owned()),
                namespace: Some(asked.namespace.clone()),
                name: Some(asked.name.clone()),
                verb: Some("get".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(number: usize) -> Question {
        (Caller::default(), format!("ns-{number}"), "*".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_some_seconds_and_no_longer() {
        let answers = Answers::default();
        answers.keep(question(1), true, Instant::now());
        assert_eq!(answers.get(&question(1), Instant::now()), Some(true));
        assert_eq!(answers.get(&question(2), Instant::now()), None);
        tokio::time::advance(STANDS).await;
        assert_eq!(answers.get(&question(1), Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_answers_are_kept() {
        let answers = Answers::default();
        for number in 0..2 * MOST {
            answers.keep(question(number), true, Instant::now());
        }
        assert_eq!(answers.kept.lock().len(), MOST);
        tokio::time::advance(STANDS).await;
        answers.keep(question(0), false, Instant::now());
        assert_eq!(answers.kept.lock().len(), 1);
    }
}

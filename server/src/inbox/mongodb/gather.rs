//! Questions that are asked together: while some are under way, those that come meanwhile wait and share the next query.
//!
//! A storm of connections asks thousands of small questions a second; an engine answers one with two hundred parts
//! nearly as fast as one.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::failure::unavailable;
use crate::inbox::InboxError;

/// Questions that may wait. At the bound, who asks is refused.
const QUEUE: usize = 16_384;

/// Questions in one query.
const TOGETHER: usize = 256;

/// Queries under way.
const UNDER_WAY: usize = 4;

type Asked<Q, A> = (Q, oneshot::Sender<Result<A, InboxError>>);

/// Where questions of one kind go.
pub(super) struct Gather<Q, A> {
    queue: mpsc::Sender<Asked<Q, A>>,
}

impl<Q, A> Clone for Gather<Q, A> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    /// Starts answering with `answer`, which gives as many answers as it gets questions. Ends when the last handle is
    /// dropped.
    pub(super) fn new<F>(answer: impl Fn(Vec<Q>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<A>, InboxError>> + Send + 'static,
    {
        let (queue, questions) = mpsc::channel(QUEUE);
        tokio::spawn(run(questions, answer));
        Self { queue }
    }

    /// Asks one question.
    pub(super) async fn ask(&self, question: Q) -> Result<A, InboxError> {
        let (answer, answered) = oneshot::channel();
        let full = |_| unavailable("too many questions wait for MongoDB");
        self.queue.try_send((question, answer)).map_err(full)?;
        let lost = |_| Err(unavailable("a question to MongoDB was not answered"));
        answered.await.unwrap_or_else(lost)
    }
}

async fn run<Q: Send + 'static, A: Send + 'static, F>(
    mut questions: mpsc::Receiver<Asked<Q, A>>,
    answer: impl Fn(Vec<Q>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Result<Vec<A>, InboxError>> + Send + 'static,
{
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    loop {
        let Ok(place) = Arc::clone(&under_way).acquire_owned().await else {
            return;
        };
        let mut asked = Vec::new();
        if questions.recv_many(&mut asked, TOGETHER).await == 0 {
            return;
        }
        // Who went away wants no answer.
        asked.retain(|(_, waiting)| !waiting.is_closed());
        if asked.is_empty() {
            continue;
        }
        let (together, waiting): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let answers = answer(together);
        tokio::spawn(async move {
            give(answers.await, waiting);
            drop(place);
        });
    }
}

fn give<A>(
    answers: Result<Vec<A>, InboxError>,
    waiting: Vec<oneshot::Sender<Result<A, InboxError>>>,
) {
    match answers {
        Ok(answers) => {
            for (answer, waiting) in answers.into_iter().zip(waiting) {
                let _ = waiting.send(Ok(answer));
            }
        }
        Err(why) => {
            for waiting in waiting {
                let _ = waiting.send(Err(why.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[tokio::test]
    async fn questions_that_wait_are_asked_together_and_each_gets_its_own_answer() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sizes);
        let gather = Gather::new(move |questions: Vec<u32>| {
            seen.lock().push(questions.len());
            async move {
                tokio::task::yield_now().await;
                Ok(questions.into_iter().map(|question| question * 2).collect())
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        for question in 0..1000_u32 {
            let gather = gather.clone();
            tasks.spawn(async move { (question, gather.ask(question).await) });
        }
        for (question, answer) in tasks.join_all().await {
            assert_eq!(answer, Ok(question * 2));
        }
        assert!(sizes.lock().len() < 100, "{sizes:?}");
    }

    #[tokio::test]
    async fn a_failure_is_told_to_everyone() {
        let gather = Gather::new(|_: Vec<u32>| async { Err::<Vec<u32>, _>(unavailable("away")) });
        let answers = futures_util::future::join(gather.ask(1), gather.ask(2)).await;
        assert!(answers.0.is_err() && answers.1.is_err());
    }
}

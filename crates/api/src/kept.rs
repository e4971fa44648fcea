//! Answers that are kept until the ledger changes: long lists, which clients ask for again and again while nothing
//! happens.
//!
//! ```text
//! moment of the ledger ──> slot of (who, what, range) ──same moment or later──> the answer as it is
//!                               │
//!                               └──older, empty──> one request makes it, the others wait for that one
//! ```
//!
//! The moment is read before the ledger is. What was made from a later state under an earlier moment is made once more;
//! what is given out is never older than the last change that was answered before the request came.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
};

use renga_model::AccountId;

use crate::{error::Problem, serve::Rendered};

/// Answers that are kept; all go when there is one more.
const ANSWERS_MAX: usize = 32;
/// A longer one is not kept: 32 of them, and their gzip, are what all of this may take.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// Whose answer, to what: path with query, and range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) account: AccountId,
    pub(crate) path: String,
    pub(crate) range: String,
}

type Slot = Arc<tokio::sync::Mutex<Option<(u64, Arc<Rendered>)>>>;

#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<Question, Slot>>);

impl Kept {
    /// The answer of this moment or a later one.
    pub(crate) async fn answer<F>(
        &self,
        question: Question,
        moment: u64,
        make: F,
    ) -> Result<Arc<Rendered>, Problem>
    where
        F: Future<Output = Result<Rendered, Problem>>,
    {
        let slot = self.slot(question);
        let mut held = slot.lock().await;
        if let Some((of, answer)) = held.as_ref().filter(|(of, _)| *of >= moment) {
            tracing::trace!(ledger.moment = of, "an answer that was kept");
            return Ok(answer.clone());
        }
        let answer = Arc::new(make.await?);
        *held = (answer.bytes() <= ANSWER_BYTES_MAX).then(|| (moment, answer.clone()));
        Ok(answer)
    }

    fn slot(&self, question: Question) -> Slot {
        let mut slots = self.0.lock().expect("nothing panics while it holds this lock");
        if slots.len() >= ANSWERS_MAX && !slots.contains_key(&question) {
            slots.clear();
        }
        slots.entry(question).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(path: &str) -> Question {
        Question { account: AccountId::random(), path: path.into(), range: String::new() }
    }

    async fn ask(kept: &Kept, question: &Question, moment: u64, text: &str) -> String {
        let make = async { Ok(Rendered::of_text(text)) };
        kept.answer(question.clone(), moment, make).await.unwrap_or_else(|_| panic!("it is made")).text()
    }

    #[tokio::test]
    async fn an_answer_is_made_again_when_the_ledger_has_moved() {
        let (kept, apps) = (Kept::default(), question("/apps"));
        assert_eq!(ask(&kept, &apps, 7, "a").await, "a");
        assert_eq!(ask(&kept, &apps, 7, "b").await, "a");
        assert_eq!(ask(&kept, &question("/apps"), 7, "another's").await, "another's");
        assert_eq!(ask(&kept, &apps, 8, "c").await, "c");
        // Somebody who came before the change and had to wait.
        assert_eq!(ask(&kept, &apps, 7, "d").await, "c");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let kept = Kept::default();
        for _ in 0..3 * ANSWERS_MAX {
            ask(&kept, &question("/apps"), 1, "x").await;
        }
        assert!(kept.0.lock().unwrap().len() <= ANSWERS_MAX);
        let (long, apps) = ("x".repeat(ANSWER_BYTES_MAX + 1), question("/apps"));
        ask(&kept, &apps, 1, &long).await;
        assert_eq!(ask(&kept, &apps, 1, "new").await, "new");
    }

    #[tokio::test]
    async fn a_refusal_is_not_kept() {
        let (kept, apps) = (Kept::default(), question("/apps"));
        let refused = kept.answer(apps.clone(), 1, async { Err(Problem::Panicked) }).await;
        assert!(refused.is_err());
        assert_eq!(ask(&kept, &apps, 1, "a").await, "a");
    }
}

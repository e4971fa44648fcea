//! Pushes that are under way: whose token is whose, and which staging refs are still needed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use renga_model::{AccountId, AppId};
use uuid::Uuid;

#[derive(Debug, Default)]
pub(crate) struct Pushes {
    /// Tokens that no hook has shown yet.
    waiting: Mutex<HashMap<String, Pusher>>,
    /// How many gate calls need a staging ref: two pushes of one commit share it.
    staged: Mutex<HashMap<(AppId, String), usize>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Pusher {
    pub(crate) app: AppId,
    pub(crate) account: AccountId,
}

/// A token that is good for one hook call, until it is dropped.
#[derive(Debug)]
pub(crate) struct PushToken {
    pub(crate) text: String,
    pushes: Arc<Pushes>,
}

impl Drop for PushToken {
    fn drop(&mut self) {
        lock(&self.pushes.waiting).remove(&self.text);
    }
}

impl Pushes {
    pub(crate) fn admit(self: &Arc<Self>, pusher: Pusher) -> PushToken {
        // Two version 4 UUIDs: 244 random bits from the system.
        let text = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        lock(&self.waiting).insert(text.clone(), pusher);
        PushToken { text, pushes: self.clone() }
    }

    pub(crate) fn take(&self, token: &str) -> Option<Pusher> {
        lock(&self.waiting).remove(token)
    }

    pub(crate) fn stage(&self, app: AppId, object: &str) {
        *lock(&self.staged).entry((app, object.to_owned())).or_default() += 1;
    }

    pub(crate) fn is_staged(&self, app: AppId, object: &str) -> bool {
        lock(&self.staged).contains_key(&(app, object.to_owned()))
    }

    /// Whether that was the last one who needed it.
    pub(crate) fn unstage(&self, app: AppId, object: &str) -> bool {
        let key = (app, object.to_owned());
        let mut staged = lock(&self.staged);
        match staged.get_mut(&key) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            _ => {
                staged.remove(&key);
                true
            }
        }
    }
}

/// A panic of another thread cannot leave these maps half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_good_once_and_staging_is_counted() {
        let pushes = Arc::new(Pushes::default());
        let pusher = Pusher { app: AppId::random(), account: AccountId::random() };
        let token = pushes.admit(pusher);
        assert!(pushes.take("nonsense").is_none());
        assert_eq!(pushes.take(&token.text).unwrap().app, pusher.app);
        assert!(pushes.take(&token.text).is_none());
        let dropped = pushes.admit(pusher);
        let text = dropped.text.clone();
        drop(dropped);
        assert!(pushes.take(&text).is_none());

        pushes.stage(pusher.app, "c0ffee");
        pushes.stage(pusher.app, "c0ffee");
        assert!(pushes.is_staged(pusher.app, "c0ffee"));
        assert!(!pushes.unstage(pusher.app, "c0ffee"));
        assert!(pushes.unstage(pusher.app, "c0ffee"));
    }
}

//! A day's requests to the API, counted for an account over all its keys and all servers.
//!
//! A server takes a hundredth of what is left of the day at once from the store and gives it out by itself: the day's limit is never exceeded,
//! however many servers there are, and few requests write. The less is left, the less is taken: the last hundred are counted one by one. What
//! was taken and lies idle is handed back within two minutes; a server that dies forgets it.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::{
    Accounts,
    api_keys::{KeyError, Quota},
    store::StoreError,
};

const DAY: i64 = 86_400;
/// What is taken at once: one of so many that are left.
const PART: u32 = 100;
/// What was not used for so many seconds is handed back.
const IDLE: i64 = 60;
/// How many seconds it is believed that nothing is left.
const BELIEVED: i64 = 1;

/// What this server has of an account's day.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    day: i64,
    most: u32,
    /// Taken from the store and not given out.
    taken: u32,
    /// What the store had left then.
    left: u32,
    used_at: i64,
    asked_at: i64,
}

impl Usage {
    /// Gives one out.
    fn give(&mut self, second: i64) -> Option<u32> {
        self.taken = self.taken.checked_sub(1)?;
        self.used_at = second;
        Some(self.taken + self.left)
    }
}

impl Accounts {
    /// Counts a request of an account that may make `most` on a day.
    pub(super) async fn count(&self, account: &str, most: u32, now: Timestamp) -> Result<Quota, KeyError> {
        let (second, day) = (now.as_second(), now.as_second().div_euclid(DAY));
        let reset = u32::try_from((day + 1) * DAY - second).unwrap_or_default();
        let used_up = KeyError::UsedUp(Quota { most, left: 0, reset });
        let known = |usage: &&mut Usage| usage.day == day && usage.most == most;
        if let Some(usage) = self.usage().get_mut(account).filter(known) {
            if let Some(left) = usage.give(second) {
                return Ok(Quota { most, left, reset });
            }
            if usage.left == 0 && (usage.asked_at..usage.asked_at + BELIEVED).contains(&second) {
                return Err(used_up);
            }
        }
        let mut turn = self.store.write().await?;
        // Who had the turn before may have taken enough for both.
        if let Some(left) = self.usage().get_mut(account).filter(known).and_then(|usage| usage.give(second)) {
            return Ok(Quota { most, left, reset });
        }
        let before = self.usage().remove(account).filter(|usage| usage.day == day);
        let select = sqlx::query_scalar("SELECT requests FROM api_usage WHERE account = $1 AND day = $2");
        let counted: Option<i64> = select.bind(account).bind(day).fetch_optional(&mut *turn).await?;
        // Where the plan is another one now, what was taken under the former one goes back.
        let back = i64::from(before.map_or(0, |usage| usage.taken));
        let left = u32::try_from((i64::from(most) - counted.unwrap_or(0) + back).max(0)).unwrap_or(most);
        let taken = left.div_ceil(PART);
        let upsert = "INSERT INTO api_usage (account, day, requests) SELECT id, $2, $3 FROM accounts WHERE id = $1
                      ON CONFLICT (account, day) DO UPDATE SET requests = api_usage.requests + $3";
        sqlx::query(upsert).bind(account).bind(day).bind(i64::from(taken) - back).execute(&mut *turn).await?;
        turn.commit().await?;
        let mut usage = Usage { day, most, taken, left: left - taken, used_at: second, asked_at: second };
        let given = usage.give(second);
        self.usage().insert(account.to_owned(), usage);
        given.map(|left| Quota { most, left, reset }).ok_or(used_up)
    }

    /// Hands back what lies idle, or everything; forgets who is quiet.
    pub(crate) async fn hand_back(&self, everything: bool) -> Result<(), StoreError> {
        let now = self.now().as_second();
        let idle: Vec<_> = {
            let mut usage = self.usage();
            usage.extract_if(|_, usage| everything || now - usage.used_at >= IDLE).filter(|(_, usage)| usage.taken > 0).collect()
        };
        for (account, usage) in idle {
            let update = sqlx::query("UPDATE api_usage SET requests = requests - $3 WHERE account = $1 AND day = $2");
            update.bind(account).bind(usage.day).bind(i64::from(usage.taken)).execute(self.store.pool()).await?;
        }
        Ok(())
    }

    fn usage(&self) -> MutexGuard<'_, HashMap<String, Usage>> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

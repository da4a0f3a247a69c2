//! `/admin/`: the operators' pages. Everything that is done here stands in the audit log.

mod accounts;
mod exports;
mod frame;
mod logs;
mod overview;
mod rollback;
#[cfg(test)]
mod tests;
mod traffic;
mod views;

pub(crate) use self::{
    accounts::{account, accounts, invite, set_plan, set_role, sign_out, suspend},
    exports::{exports, generation},
    logs::{audit, mail},
    overview::overview,
    rollback::{confirm_rollback, roll_back},
    traffic::traffic,
};
use crate::web::{
    accounts::{Actor, ChangeError, Visit},
    error::WebError,
    viewer::SignedIn,
};

/// Who acts, for the audit log.
fn actor(who: &SignedIn, visit: Visit) -> Actor {
    Actor { id: who.0.id.clone(), name: who.0.email.clone(), network: visit.network }
}

impl From<ChangeError> for WebError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Unknown(_) => Self::NotFound,
            ChangeError::NotListed(_) | ChangeError::Suspended(_) | ChangeError::Oneself => {
                Self::BadRequest(format!("{}.", super::auth::capital(&error.to_string())))
            }
            ChangeError::Store(error) => error.into(),
        }
    }
}

/// Runs what looks at files away from the threads that answer requests.
async fn on_files<T: Send + 'static>(look: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, WebError> {
    tokio::task::spawn_blocking(look).await.map_err(WebError::internal)?.map_err(WebError::internal)
}

//! `/admin/`: the operators' pages. Every change made here is recorded in the audit log.

mod accounts;
mod alerts;
mod exports;
mod layout;
mod logs;
mod overview;
mod requests;
mod rollback;
#[cfg(test)]
mod tests;
mod traffic;
mod usage;
mod views;

pub(crate) use self::{
    accounts::{account, accounts, invite, set_plan, set_role, sign_out, suspend},
    alerts::alerts,
    exports::{exports, generation},
    logs::{audit, mail},
    overview::overview,
    requests::{decline, grant, requests},
    rollback::{confirm_rollback, roll_back},
    traffic::traffic,
    usage::usage,
};
use crate::{
    accounts::{Actor, ChangeError, ClientInfo},
    error::WebError,
    viewer::SignedIn,
};

/// Returns the operator, for the audit log.
fn actor(user: &SignedIn, client: ClientInfo) -> Actor {
    Actor { id: user.0.id.clone(), name: user.0.email.clone(), network: client.network }
}

impl From<ChangeError> for WebError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Unknown(_) => Self::NotFound,
            ChangeError::NotListed(_) | ChangeError::Suspended(_) | ChangeError::OwnAccount => {
                Self::BadRequest(format!("{}.", super::auth::capitalize(&error.to_string())))
            }
            ChangeError::Store(error) => error.into(),
        }
    }
}

/// Runs file operations off the threads that serve requests.
async fn run_blocking<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, WebError> {
    tokio::task::spawn_blocking(read).await.map_err(WebError::internal)?.map_err(WebError::internal)
}

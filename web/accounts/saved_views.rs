//! Saved views (a dashboard with a selection of filters), favorites, and the view that opens first.

use jiff::Timestamp;
use sqlx::{FromRow, Row};

use super::{
    Accounts,
    account::clean_name,
    store::{StoreError, StoredRow},
    token,
};

/// Saved views of one account.
const MAX_VIEWS: i64 = 200;
/// Favorites of one account.
const MAX_FAVORITES: i64 = 200;
/// The longest stored selection, in bytes: more than the filters of a dashboard produce.
const MAX_QUERY: usize = 2_000;

/// A dashboard with a selection of filters, under a name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct SavedView {
    pub(crate) id: String,
    pub(crate) dashboard: String,
    pub(crate) name: String,
    /// The filters as in the address, without the question mark.
    pub(crate) query: String,
    /// The filters in words, as they were when it was saved.
    pub(crate) summary: String,
    /// Whether it opens first.
    pub(crate) is_default: bool,
    pub(crate) created_at: Timestamp,
}

/// A view to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewView {
    pub(crate) dashboard: String,
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) summary: String,
    pub(crate) is_default: bool,
}

/// Why something was not saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error("give the view a name you will recognize")]
    NoName,
    #[error("the selection is too long to be saved; select fewer options")]
    TooLong,
    #[error("you have {MAX_VIEWS} saved views, which is the limit; delete one you no longer need")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SaveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl FromRow<'_, StoredRow> for SavedView {
    fn from_row(row: &StoredRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            dashboard: row.try_get("dashboard")?,
            name: row.try_get("name")?,
            query: row.try_get("query")?,
            summary: row.try_get("summary")?,
            is_default: row.try_get::<i64, _>("is_default")? != 0,
            created_at: super::time(row.try_get("created_at")?),
        })
    }
}

impl SavedView {
    /// Returns the address of the dashboard with the view's selection.
    pub(crate) fn address(&self) -> String {
        dashboard_address(&self.dashboard, &self.query)
    }
}

/// Returns the address of a dashboard with a selection, which may be empty.
pub(crate) fn dashboard_address(slug: &str, query: &str) -> String {
    if query.is_empty() {
        format!("/dashboard/{slug}")
    } else {
        format!("/dashboard/{slug}?{query}")
    }
}

impl Accounts {
    /// Returns the saved views of an account, by name.
    pub(crate) async fn saved_views(&self, account: &str) -> Result<Vec<SavedView>, StoreError> {
        let select = sqlx::query_as(
            "SELECT * FROM saved_views WHERE account = $1 ORDER BY lower(name), dashboard, id",
        );
        Ok(select.bind(account).fetch_all(self.store.pool()).await?)
    }

    /// Returns the view that opens first, if there is one.
    pub(crate) async fn default_view(
        &self,
        account: &str,
    ) -> Result<Option<SavedView>, StoreError> {
        let select =
            sqlx::query_as("SELECT * FROM saved_views WHERE account = $1 AND is_default = 1");
        Ok(select.bind(account).fetch_optional(self.store.pool()).await?)
    }

    /// Saves a view. One with the same name for the same dashboard is replaced.
    pub(crate) async fn save_view(&self, account: &str, view: NewView) -> Result<(), SaveError> {
        let name = clean_name(&view.name);
        if name.is_empty() {
            return Err(SaveError::NoName);
        }
        if view.query.len() > MAX_QUERY {
            return Err(SaveError::TooLong);
        }
        let mut tx = self.store.begin_write().await?;
        let others = sqlx::query_scalar(
            "SELECT count(*) FROM saved_views WHERE account = $1 AND NOT (dashboard = $2 AND name = $3)",
        );
        let others: i64 =
            others.bind(account).bind(&view.dashboard).bind(&name).fetch_one(&mut *tx).await?;
        if others >= MAX_VIEWS {
            return Err(SaveError::TooMany);
        }
        if view.is_default {
            let clear = sqlx::query("UPDATE saved_views SET is_default = 0 WHERE account = $1");
            clear.bind(account).execute(&mut *tx).await?;
        }
        sqlx::query(
            "INSERT INTO saved_views (id, account, dashboard, name, query, summary, is_default, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (account, dashboard, name) DO UPDATE SET query = $5, summary = $6, is_default = $7",
        )
        .bind(token::random_id()?)
        .bind(account)
        .bind(view.dashboard)
        .bind(name)
        .bind(view.query)
        .bind(view.summary)
        .bind(i64::from(view.is_default))
        .bind(self.now().as_second())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Makes a view the one that opens first, or no longer. Returns whether the account has it.
    pub(crate) async fn set_default_view(
        &self,
        account: &str,
        id: &str,
        is_default: bool,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write().await?;
        if is_default {
            let clear = sqlx::query(
                "UPDATE saved_views SET is_default = 0 WHERE account = $1 AND EXISTS
                 (SELECT 1 FROM saved_views AS chosen WHERE chosen.account = $1 AND chosen.id = $2)",
            );
            clear.bind(account).bind(id).execute(&mut *tx).await?;
        }
        let update =
            sqlx::query("UPDATE saved_views SET is_default = $1 WHERE account = $2 AND id = $3");
        let update =
            update.bind(i64::from(is_default)).bind(account).bind(id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(update.rows_affected() > 0)
    }

    /// Deletes a view. Returns whether the account had it.
    pub(crate) async fn delete_view(&self, account: &str, id: &str) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM saved_views WHERE account = $1 AND id = $2");
        let delete = delete.bind(account).bind(id).execute(self.store.pool()).await?;
        Ok(delete.rows_affected() > 0)
    }

    /// Returns the dashboards that an account added to its favorites, the first added first.
    pub(crate) async fn favorites(&self, account: &str) -> Result<Vec<String>, StoreError> {
        let select = sqlx::query_scalar(
            "SELECT dashboard FROM favorites WHERE account = $1 ORDER BY added_at, dashboard",
        );
        Ok(select.bind(account).fetch_all(self.store.pool()).await?)
    }

    /// Adds a dashboard to an account's favorites, or removes it. More than the limit are ignored.
    pub(crate) async fn set_favorite(
        &self,
        account: &str,
        dashboard: &str,
        is_favorite: bool,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write().await?;
        let delete = sqlx::query("DELETE FROM favorites WHERE account = $1 AND dashboard = $2");
        let count = sqlx::query_scalar("SELECT count(*) FROM favorites WHERE account = $1");
        let count: i64 = count.bind(account).fetch_one(&mut *tx).await?;
        if !is_favorite {
            delete.bind(account).bind(dashboard).execute(&mut *tx).await?;
        } else if count < MAX_FAVORITES {
            let insert = sqlx::query(
                "INSERT INTO favorites (account, dashboard, added_at) VALUES ($1, $2, $3)
                 ON CONFLICT (account, dashboard) DO NOTHING",
            );
            let now = self.now().as_second();
            insert.bind(account).bind(dashboard).bind(now).execute(&mut *tx).await?;
        }
        tx.commit().await
    }
}

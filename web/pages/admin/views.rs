//! What the operators' pages of accounts look like.

use jiff::Timestamp;
use materia::plan::Plan;
use maud::{Markup, html};

use super::{
    frame::{self, Head::Words, Pager},
    logs::audit_table,
};
use crate::web::{
    accounts::{Account, AccountFilter, AuditRow, MAX_REASON, Sort},
    page::View,
    parts::{button, moment, notice, plan_title, since},
    viewer::Role,
};

pub(super) struct AccountsPage {
    pub(super) filter: AccountFilter,
    pub(super) rows: Vec<Account>,
    pub(super) pager: Pager,
    pub(super) now: Timestamp,
}

impl View for AccountsPage {
    fn body(&self) -> Markup {
        let rows = html! {
            @for account in &self.rows {
                tr {
                    th scope="row" { a href={ "/admin/accounts/" (account.id) } { (account.email) } (tags(account)) }
                    td { (account.name) }
                    td { (plan_title(account.plan)) }
                    td { (moment(account.created_at)) }
                    td { @if let Some(at) = account.signed_in_at { (since(at, self.now)) } @else { "never" } }
                }
            }
        };
        html! {
            form.filters method="get" action="/admin/accounts" role="search" {
                div.field { label for="q" { "Address or name" } input #q type="search" name="q" value=(self.filter.search); }
                div.field {
                    label for="sort" { "Sort" }
                    select #sort name="sort" {
                        @for sort in Sort::ALL { option value=(sort.word()) selected[sort == self.filter.sort] { (sort.label()) } }
                    }
                }
                (button("Show", "plain"))
            }
            @if self.rows.is_empty() { p { "No account is like that." } } @else {
                div.sheet { (frame::table("Accounts", &[Words("Address"), Words("Name"), Words("Plan"), Words("Signed up"), Words("Last sign-in")], &rows)) }
            }
            (self.pager.body())
            section.sheet aria-labelledby="invite" {
                h2 #invite { "Invite" }
                p.hint { "Creates the account and emails a sign-in link that works for 7 days." }
                form.inline method="post" action="/admin/accounts/invite" data-once {
                    label for="invite-email" { "Email address" }
                    input #invite-email type="email" name="email" required;
                    label for="invite-plan" { "Plan" }
                    select #invite-plan name="plan" { @for plan in Plan::ALL { option value=(plan.name()) { (plan_title(plan)) } } }
                    (button("Invite", "plain"))
                }
            }
        }
    }
}

fn tags(account: &Account) -> Markup {
    html! {
        @if account.role == Role::Admin { " " span.badge { "admin" } }
        @if account.suspended_at.is_some() { " " span.badge data-state="failed" { "suspended" } }
    }
}

pub(super) struct AccountPage {
    pub(super) account: Account,
    /// Whether it is the operator's own.
    pub(super) oneself: bool,
    /// Whether its address is in `ADMIN_EMAILS`.
    pub(super) listed: bool,
    pub(super) sessions: usize,
    pub(super) log: Vec<AuditRow>,
    pub(super) done: Option<&'static str>,
}

/// What was just done, in words; anything else than our own words is ignored.
pub(super) fn done_words(word: &str) -> Option<&'static str> {
    Some(match word {
        "plan" => "The plan is changed.",
        "invited" => "The invitation is on its way.",
        "role" => "The role is changed.",
        "suspended" => "The account is suspended.",
        "lifted" => "The suspension is lifted.",
        "signed-out" => "Every session is signed out.",
        _ => return None,
    })
}

impl View for AccountPage {
    fn body(&self) -> Markup {
        let account = &self.account;
        html! {
            @if let Some(done) = self.done { (notice("good", done)) }
            dl.facts {
                div { dt { "Name" } dd { @if account.name.is_empty() { "none" } @else { (account.name) } } }
                div { dt { "Plan" } dd { (plan_title(account.plan)) } }
                div { dt { "Role" } dd { (account.role.name()) } }
                div { dt { "Signed up" } dd { (moment(account.created_at)) } }
                div { dt { "Last sign-in" } dd { @if let Some(at) = account.signed_in_at { (moment(at)) } @else { "never" } } }
                div { dt { "Sessions" } dd { (self.sessions) } }
                div { dt { "Suspended" } dd { @if let Some(at) = account.suspended_at { (moment(at)) } @else { "no" } } }
            }
            (self.actions())
            section.sheet aria-labelledby="log" {
                h2 #log { "What was done to it" }
                @if self.log.is_empty() { p { "Nothing yet." } } @else { (audit_table(&self.log)) }
            }
        }
    }
}

impl AccountPage {
    fn actions(&self) -> Markup {
        let account = &self.account;
        let to = |action: &str| format!("/admin/accounts/{}/{action}", account.id);
        // Labels of their own: the forms are beside one another.
        let reason = |what: &str| {
            let id = format!("{what}-reason");
            html! { label for=(id) { "Reason" } input id=(id) name="reason" maxlength=(MAX_REASON) placeholder="optional, sent to the owner"; }
        };
        let choice = |value: &str, label: &str, chosen: bool| html! { option value=(value) selected[chosen] { (label) } };
        html! {
            section.sheet aria-labelledby="change" {
                h2 #change { "Change" }
                p.hint { "The owner gets an email about each change, with the reason." }
                form.inline method="post" action=(to("plan")) {
                    label for="plan" { "Plan" }
                    select #plan name="plan" { @for plan in Plan::ALL { (choice(plan.name(), plan_title(plan), plan == account.plan)) } }
                    (reason("plan"))
                    (button("Change plan", "plain"))
                }
                @if self.oneself {
                    p.hint { "This is your own account: another admin changes its role or suspends it." }
                } @else {
                    form.inline method="post" action=(to("role")) {
                        label for="role" { "Role" }
                        select #role name="role" { @for role in Role::ALL { (choice(role.name(), role.name(), role == account.role)) } }
                        (reason("role"))
                        (button("Change role", "plain"))
                    }
                    p.hint {
                        @if self.listed { "The address is in ADMIN_EMAILS: it gets the role admin whenever it signs in." }
                        @else { "Only addresses in ADMIN_EMAILS can have the role admin; this one is not there." }
                    }
                    form.inline method="post" action=(to("suspend")) {
                        @let suspended = account.suspended_at.is_some();
                        input type="hidden" name="suspended" value=(!suspended);
                        (reason("suspension"))
                        (button(if suspended { "Lift the suspension" } else { "Suspend" }, if suspended { "plain" } else { "danger" }))
                    }
                }
                form.inline method="post" action=(to("sign-out")) { (button("Sign out everywhere", "plain")) }
            }
        }
    }
}

//! Views of the operators' pages about accounts.

use jiff::Timestamp;
use materia::plan::Plan;
use maud::{Markup, html};

use super::{
    layout::{self, Heading::Text, Pager},
    logs::audit_table,
};
use crate::{
    accounts::{Account, AccountFilter, AuditRow, MAX_REASON, Sort, Subscription},
    components::{button, moment, notice, plan_title, since},
    page::View,
    viewer::Role,
};

pub(super) struct AccountsPage {
    pub(super) filter: AccountFilter,
    pub(super) rows: Vec<Account>,
    pub(super) pager: Pager,
    pub(super) now: Timestamp,
}

impl View for AccountsPage {
    fn render(&self) -> Markup {
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
                        @for sort in Sort::ALL { option value=(sort.as_str()) selected[sort == self.filter.sort] { (sort.label()) } }
                    }
                }
                (button("Show", "plain"))
            }
            @if self.rows.is_empty() { p { "No account matches." } } @else {
                div.sheet { (layout::table("Accounts", &[Text("Address"), Text("Name"), Text("Plan"), Text("Signed up"), Text("Last sign-in")], &rows)) }
            }
            (self.pager.render())
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
    /// Whether it is the operator's own account.
    pub(super) is_own: bool,
    /// Whether its address is in `ADMIN_EMAILS`.
    pub(super) listed: bool,
    pub(super) sessions: usize,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) log: Vec<AuditRow>,
    pub(super) done: Option<&'static str>,
}

/// Returns the confirmation for an action's name; unknown names are ignored.
pub(super) fn confirmation_text(word: &str) -> Option<&'static str> {
    Some(match word {
        "plan" => "The plan was changed.",
        "invited" => "The invitation is on its way.",
        "role" => "The role was changed.",
        "suspended" => "The account was suspended.",
        "lifted" => "The account was restored.",
        "signed-out" => "All sessions were signed out.",
        _ => return None,
    })
}

impl View for AccountPage {
    fn render(&self) -> Markup {
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
            @if !self.subscriptions.is_empty() {
                section.sheet aria-labelledby="subscriptions" {
                    h2 #subscriptions { "Subscriptions" }
                    (layout::table("Subscriptions", &[Text("Provider"), Text("Subscription"), Text("Plan"), Text("State"), Text("Paid until"), Text("Changed")], &html! {
                        @for one in &self.subscriptions { tr {
                            td { (one.provider) } td { (one.subscription) } td { (one.plan.map_or("unknown", plan_title)) }
                            td { (one.state.name()) @if one.is_cancelled { ", cancelled" } }
                            td { @if let Some(at) = one.period_ends_at { (moment(at)) } } td { (moment(one.changed_at)) }
                        } }
                    }))
                }
            }
            (self.actions())
            section.sheet aria-labelledby="log" {
                h2 #log { "History" }
                @if self.log.is_empty() { p { "Nothing yet." } } @else { (audit_table(&self.log)) }
            }
        }
    }
}

impl AccountPage {
    fn actions(&self) -> Markup {
        let account = &self.account;
        let action_path = |action: &str| format!("/admin/accounts/{}/{action}", account.id);
        // Each form needs a separate id for its label.
        let reason = |what: &str| {
            let id = format!("{what}-reason");
            html! { label for=(id) { "Reason" } input id=(id) name="reason" maxlength=(MAX_REASON) placeholder="optional, sent to the owner"; }
        };
        let choice = |value: &str, label: &str, chosen: bool| html! { option value=(value) selected[chosen] { (label) } };
        html! {
            section.sheet aria-labelledby="change" {
                h2 #change { "Change" }
                p.hint { "The owner gets an email about each change, with the reason." }
                form.inline method="post" action=(action_path("plan")) {
                    label for="plan" { "Plan" }
                    select #plan name="plan" { @for plan in Plan::ALL { (choice(plan.name(), plan_title(plan), plan == account.plan)) } }
                    (reason("plan"))
                    (button("Change plan", "plain"))
                }
                @if self.is_own {
                    p.hint { "This is your own account: only another admin can change its role or suspend it." }
                } @else {
                    form.inline method="post" action=(action_path("role")) {
                        label for="role" { "Role" }
                        select #role name="role" { @for role in Role::ALL { (choice(role.name(), role.name(), role == account.role)) } }
                        (reason("role"))
                        (button("Change role", "plain"))
                    }
                    p.hint {
                        @if self.listed { "The address is in ADMIN_EMAILS: the account gets the role admin whenever it signs in." }
                        @else { "Only addresses in ADMIN_EMAILS can have the role admin; this one is not there." }
                    }
                    form.inline method="post" action=(action_path("suspend")) {
                        @let suspended = account.suspended_at.is_some();
                        input type="hidden" name="suspended" value=(!suspended);
                        (reason("suspension"))
                        (button(if suspended { "Restore account" } else { "Suspend" }, if suspended { "plain" } else { "danger" }))
                    }
                }
                form.inline method="post" action=(action_path("sign-out")) { (button("Sign out everywhere", "plain")) }
            }
        }
    }
}

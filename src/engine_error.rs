//! DuckDB's error messages, without the statements of extensions that they repeat.

/// Messages up to this length are shown whole.
const MAX_LENGTH: usize = 1_000;
/// What is shown of the beginning and of the end of longer ones.
const BEGINNING: usize = 160;
const END: usize = 400;

/// Reduces a message to its cause. DuckLake puts whole transactions into messages, tens of
/// kilobytes, between what failed and the database's own reason.
pub(crate) fn cause(message: &str) -> String {
    if message.len() <= MAX_LENGTH {
        return message.to_owned();
    }
    let beginning = message.lines().next().unwrap_or_default();
    let beginning = beginning.split('"').next().unwrap_or_default();
    let beginning = &beginning[..floor(beginning, BEGINNING)];
    // PostgreSQL's reason.
    let end = match message.rfind("ERROR:") {
        Some(at) => &message[at..],
        None => &message[floor(message, message.len() - END)..],
    };
    let end = end[..floor(end, END)].trim_end();
    format!("{} [...] {end}", beginning.trim_end())
}

/// The last character boundary that is not after `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_a_whole_transaction_is_cut_to_what_failed_and_why() {
        let transaction = "INSERT INTO ducklake_snapshot VALUES ('ä'); ".repeat(600);
        let message = format!(
            "TransactionContext Error: Failed to commit: Failed to execute query \"BEGIN; {transaction}\": ERROR:  permission denied for table ducklake_snapshot\n"
        );
        assert_eq!(
            cause(&message),
            "TransactionContext Error: Failed to commit: Failed to execute query [...] ERROR:  permission denied for table ducklake_snapshot"
        );
        let other = format!("Failed to execute {transaction} because of that");
        let cut = cause(&other);
        assert!(cut.len() < 700 && cut.ends_with(" because of that"), "{cut}");
        assert_eq!(cause("short"), "short");
    }
}

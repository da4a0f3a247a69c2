//! Finds the line of a failed pipeline's output that names the reason. It is rarely the last line,
//! which is a summary or the name of a stage.

/// Maximum characters of a recorded reason.
const MAX_REASON: usize = 300;

/// Returns the line that names the reason, or else the last non-empty one.
pub(super) fn find(output: &str) -> Option<String> {
    let lines: Vec<String> = output.lines().map(plain).collect();
    let lines: Vec<&str> =
        lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let reason = dbt(&lines)
        .or_else(|| traceback(&lines))
        .or_else(|| {
            lines.iter().rev().find(|line| names_an_error(line)).map(|line| (*line).to_owned())
        })
        .or_else(|| {
            lines.iter().rev().find(|line| mentions_a_failure(line)).map(|line| (*line).to_owned())
        })
        .or_else(|| lines.last().map(|line| (*line).to_owned()))?;
    Some(reason.chars().take(MAX_REASON).collect())
}

/// Returns the line without colors and other escape sequences for terminals.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    // A progress bar overwrites its own line; only the final text was visible.
    let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            if chars.next() == Some('[') {
                let _ = chars.by_ref().find(char::is_ascii_alphabetic);
            }
        } else if !crate::humanize::is_unprintable(char) {
            text.push(char);
        } else if char == '\t' {
            text.push(' ');
        }
    }
    text
}

/// Finds dbt's `Database Error in model orders (models/orders.sql)` and the text after it; also
/// `Failure in test ...` and `Compilation Error`.
fn dbt(lines: &[&str]) -> Option<String> {
    let is_head = |line: &str| {
        let line = without_stamp(line);
        let kinds = [
            "Database Error",
            "Runtime Error",
            "Compilation Error",
            "Dependency Error",
            "Parsing Error",
            "Failure in test",
        ];
        kinds.iter().any(|kind| {
            line.strip_prefix(kind).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(" in ") || rest.starts_with(' ')
            })
        })
    };
    let at = lines.iter().position(|line| is_head(line))?;
    let head = without_stamp(lines[at]);
    Some(match lines.get(at + 1).map(|line| without_stamp(line)).filter(|next| !next.is_empty()) {
        Some(next) => format!("{head}: {next}"),
        None => head.to_owned(),
    })
}

/// Returns the line without a leading date or time such as `05:12:01`.
fn without_stamp(line: &str) -> &str {
    line.trim_start_matches(|char: char| {
        char.is_ascii_digit() || matches!(char, ':' | '.' | '-' | ' ' | ',')
    })
}

/// Finds the message of a Python exception: the first line that is not indented after the frames of
/// the last traceback. Lines have lost their indentation here, so it is the last `Name: text` whose
/// name looks like that of an exception.
fn traceback(lines: &[&str]) -> Option<String> {
    let at = lines.iter().rposition(|line| line.ends_with("Traceback (most recent call last):"))?;
    let is_exception = |line: &&&str| {
        let name = line.split([':', ' ', '(']).next().unwrap_or_default();
        let last = name.rsplit('.').next().unwrap_or_default();
        let of_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '.');
        name.chars().all(of_name)
            && ["Error", "Exception", "Exit", "Interrupt", "Warning"]
                .iter()
                .any(|end| last.ends_with(end))
            && (line.len() == name.len() || line[name.len()..].starts_with(':'))
    };
    lines[at..].iter().find(is_exception).map(|line| (*line).to_owned())
}

/// Returns whether a line has the form `Error: ...`, `psql:x.sql:3: ERROR: ...`, `OperationalError:
/// ...`, `make: *** [all] Error 1` or similar.
fn names_an_error(line: &str) -> bool {
    // A count in a summary does not name the reason: `Done. PASS=3 WARN=0 ERROR=1`.
    let is_summary = line.contains("PASS=") || line.contains("0 errors");
    let word = |word: &str| {
        line.match_indices(word).any(|(at, _)| line[at + word.len()..].starts_with(':'))
    };
    // Messages of materia itself, including those of the built-in export, start with the reason.
    let ours = line.starts_with("materia: ");
    let shell = line.contains(": line ") && line.matches(": ").count() >= 2;
    !is_summary
        && (["ERROR", "Error", "error", "FATAL", "fatal", "Exception", "panicked"]
            .into_iter()
            .any(word)
            || line.contains("*** [")
            || shell
            || ours)
}

fn mentions_a_failure(line: &str) -> bool {
    let lower = line.to_lowercase();
    !line.contains("PASS=")
        && ["failed", "failure", "error", "exception", "not found", "no such file", "denied"]
            .iter()
            .any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_reason_is_the_line_that_says_what_failed() {
        let cases = [
            (
                "05:12:01  Running with dbt=1.9.1\n05:12:02  1 of 3 START sql table model main.orders ... [RUN]\n\
                 05:12:02  1 of 3 ERROR creating sql table model main.orders ... [\u{1b}[31mERROR\u{1b}[0m in 0.05s]\n\
                 05:12:02  Completed with 1 error, 0 partial successes, and 0 warnings:\n05:12:02\n\
                 05:12:02    Runtime Error in model orders (models/orders.sql)\n  Binder Error: Referenced column \"pricee\" not found\n\
                 05:12:02  Done. PASS=2 WARN=0 ERROR=1 SKIP=0 TOTAL=3\n",
                "Runtime Error in model orders (models/orders.sql): Binder Error: Referenced column \"pricee\" not found",
            ),
            (
                "05:12:01  Encountered an error:\nParsing Error\n  Env var required but not provided: 'DB'\n05:12:01 parsing.\n",
                "Parsing Error: Env var required but not provided: 'DB'",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    import duckdb\nModuleNotFoundError: No module named 'duckdb'\n\nrun finished\n",
                "ModuleNotFoundError: No module named 'duckdb'",
            ),
            (
                "Executing model batches ━━ 20.0% • 1/5\rfailed\nError: Failed models\n\n  \"lakehouse\".\"serving\".\"prices\"\n\nPlan application stopped\n",
                "Error: Failed models",
            ),
            (
                "INSERT 0 1\npsql:load.sql:3: ERROR:  relation \"x\" does not exist\nROLLBACK\n",
                "psql:load.sql:3: ERROR:  relation \"x\" does not exist",
            ),
            (
                "load.sh: line 4: dbtt: command not found\ncleaning up\n",
                "load.sh: line 4: dbtt: command not found",
            ),
            (
                "cc x.c\nmake: *** [Makefile:2: all] Error 1\nbye\n",
                "make: *** [Makefile:2: all] Error 1",
            ),
            (
                "materia: refused: orders has 0 rows (not_empty)\n         Nothing was published.\n         To allow it once: materia export --max-drop orders=1\n",
                "materia: refused: orders has 0 rows (not_empty)",
            ),
            ("one\n\ntwo\n \n", "two"),
        ];
        for (output, reason) in cases {
            assert_eq!(find(output).as_deref(), Some(reason), "{output}");
        }
        assert_eq!(find("\n \n"), None);
    }
}

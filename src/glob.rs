//! Glob patterns: `*` and `?` in names, and also `**` and `[a-z]` in paths, with DuckDB's
//! semantics.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Maximum files listed for one glob.
const MAX_FILES: usize = 100_000;

/// Returns whether the whole of `text` matches.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    matches_chars(&pattern, &text)
}

fn matches_chars(pattern: &[char], text: &[char]) -> bool {
    // The last `*` and the length of text it has consumed: backtracking to an earlier one never
    // helps.
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[at..], text[from]),
            Some(letter) if *letter == text[from] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => (at, from) = (at + length, from + 1),
            (None, Some((star_at, taken))) => {
                star = Some((star_at, taken + 1));
                (at, from) = (star_at + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// Returns the length of the character class at the start of the pattern, if it contains the
/// letter.
fn class(pattern: &[char], letter: char) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|char| *char == ']')? + 2;
    let (negated, members) = match &pattern[1..end] {
        ['!', members @ ..] => (true, members),
        members => (false, members),
    };
    let mut found = false;
    let mut rest = members;
    while let [first, others @ ..] = rest {
        if let ['-', last, after @ ..] = others {
            found |= (*first..=*last).contains(&letter);
            rest = after;
        } else {
            found |= *first == letter;
            rest = others;
        }
    }
    (found != negated).then_some(end + 1)
}

/// Returns whether a path is a glob.
#[must_use]
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Returns the files that a glob or a plain path matches, sorted. `**` does not follow symbolic
/// links.
///
/// # Errors
/// An existing folder cannot be read, or there are too many files.
pub fn files(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let components: Vec<Component<'_>> = pattern.components().collect();
    let mut found = Vec::new();
    expand(PathBuf::new(), &components, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn expand(
    folder: PathBuf,
    components: &[Component<'_>],
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let Some((first, rest)) = components.split_first() else {
        if folder.is_file() {
            found.push(folder);
        }
        return if found.len() > MAX_FILES {
            Err(io::Error::other(format!("more than {MAX_FILES} files match")))
        } else {
            Ok(())
        };
    };
    let name = first.as_os_str().to_string_lossy();
    if !is_pattern(&name) {
        return expand(folder.join(first), rest, found);
    }
    if name == "**" {
        expand(folder.clone(), rest, found)?;
    }
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let entries = match fs::read_dir(place) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if name == "**" {
            if entry.file_type()?.is_dir() {
                expand(folder.join(entry.file_name()), components, found)?;
            }
        } else if matches(&name, &entry.file_name().to_string_lossy()) {
            expand(folder.join(entry.file_name()), rest, found)?;
        }
    }
    Ok(())
}

/// Returns the base folder of a glob: everything before its first component with a pattern, or a
/// plain path's folder.
#[must_use]
pub fn base(pattern: &Path) -> PathBuf {
    let fixed: PathBuf = pattern
        .components()
        .take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy()))
        .collect();
    if fixed == pattern { fixed.parent().map(Path::to_path_buf).unwrap_or_default() } else { fixed }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_the_whole_text_or_nothing() {
        for (pattern, text, expected) in [
            ("marts.*", "marts.orders", true),
            ("marts.*", "marts__dev.orders", false),
            ("*__dbt_tmp", "a__dbt_tmp__dbt_tmp", true),
            ("d?m_*_v[0-9]", "dim_x_y_v7", true),
            ("v[!0-9]", "v7", false),
            ("*", "", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "abbd", false),
            ("[", "[", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn files_are_found_in_folders_below_and_not_behind_linked_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("data/k=1")).unwrap();
        for name in ["data/a.csv", "data/b.txt", "data/k=1/c.csv"] {
            fs::write(path(name), "").unwrap();
        }
        std::os::unix::fs::symlink(path("data"), path("data/again")).unwrap();
        let names = |pattern: &str| -> Vec<_> {
            files(&path(pattern))
                .unwrap()
                .iter()
                .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(names("data/*.csv"), ["data/a.csv"]);
        assert_eq!(names("data/**/*.csv"), ["data/a.csv", "data/k=1/c.csv"]);
        assert_eq!(names("none/*"), [""; 0]);
        assert_eq!(base(Path::new("data/k=*/x")), Path::new("data"));
        assert_eq!(base(Path::new("data/x.csv")), Path::new("data"));
    }
}

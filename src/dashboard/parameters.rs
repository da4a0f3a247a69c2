//! The `$names` in a query, wherever they are not part of a text, a quoted name or a comment.

/// Each `$name` once, in the order of first use.
pub(super) fn used(sql: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = sql;
    while let Some(start) = rest.find(['\'', '"', '-', '/', '$']) {
        let (before, here) = rest.split_at(start);
        let skipped = match here.as_bytes() {
            [b'\'', ..] => quoted(here, '\''),
            [b'"', ..] => quoted(here, '"'),
            [b'-', b'-', ..] => here.find('\n').unwrap_or(here.len()),
            [b'/', b'*', ..] => here.find("*/").map_or(here.len(), |end| end + 2),
            [b'$', ..] => match name(&here[1..]) {
                // A text between dollars: $$ … $$ or $tag$ … $tag$.
                Some(tag) if here[1 + tag.len()..].starts_with('$') && !joined(before) => dollars(here, tag.len() + 2),
                Some(name) if !name.is_empty() && !joined(before) => {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                    1 + name.len()
                }
                _ => 1,
            },
            _ => 1,
        };
        rest = &here[skipped..];
    }
    names
}

/// Whether a dollar behind this is part of a name.
fn joined(before: &str) -> bool {
    before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
}

/// The letters that can be a name, none if a digit comes first.
fn name(text: &str) -> Option<&str> {
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(text.len());
    Some(&text[..end])
}

/// The length of a quoted piece; a doubled quote is part of it by being the start of the next.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

fn dollars(text: &str, fence: usize) -> usize {
    text[fence..].find(&text[..fence]).map_or(text.len(), |end| end + 2 * fence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_names_and_nowhere_else() {
        let sql = "SELECT '$no', \"$no\", 'it''s $no', $$ $no $$, $tag$ $no $tag$, a$no, $1 -- $no\n/* $no */ FROM t WHERE x = $yes AND y<$also_1 AND z=$yes";
        assert_eq!(used(sql), ["yes", "also_1"]);
        assert_eq!(used("SELECT '"), Vec::<&str>::new());
        assert_eq!(used("SELECT $größe -- "), ["größe"]);
        assert_eq!(used("SELECT 1 - 2 / 3, $a"), ["a"]);
    }
}

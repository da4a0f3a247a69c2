//! The syntax of lists and names in URLs: `a,b`, `"a,b",c`.

/// Splits at commas outside of double quotes. A quoted part may contain `\"` and `\\`. Returns
/// `None` if a quote is not closed.
pub(super) fn list(text: &str) -> Option<Vec<String>> {
    let (mut parts, mut part, mut chars, mut quoted) =
        (Vec::new(), String::new(), text.chars(), false);
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted => quoted = false,
            '"' if part.is_empty() => quoted = true,
            '\\' if quoted => part.push(chars.next()?),
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            _ => part.push(char),
        }
    }
    parts.push(part);
    (!quoted).then_some(parts)
}

/// Formats a name for a list, with quotes where necessary.
pub(super) fn quoted(name: &str) -> String {
    let plain = !name.is_empty() && !name.contains([',', '"', '\\', '.', '(', ')']);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_comes_back_as_it_was() {
        let names = ["Brazil", "a,b", "q\"q", "back\\slash", "", "dots.and (brackets)", "ünï"];
        let text = names.map(quoted).join(",");
        assert_eq!(list(&text).unwrap(), names);
        assert_eq!(list("\"open"), None);
        assert_eq!(list("a\"b").unwrap(), ["a\"b"]);
    }
}

//! Sanitizes the brand's logo: one inline SVG drawing, reduced to shapes and their styling.

use serde::{Deserialize, Deserializer, de::Error as _};

/// Elements that only draw.
const ELEMENTS: &str = "svg g defs symbol use path rect circle ellipse line polyline polygon text tspan title desc clipPath mask \
    linearGradient radialGradient stop pattern";

/// Attributes that only position or style drawings.
const ATTRIBUTES: &str = "id xmlns viewBox width height x y x1 y1 x2 y2 cx cy r rx ry dx dy d points transform preserveAspectRatio \
    fill fill-opacity fill-rule stroke stroke-width stroke-linecap stroke-linejoin stroke-miterlimit stroke-dasharray stroke-dashoffset \
    stroke-opacity opacity color clip-path clip-rule clipPathUnits mask maskUnits maskContentUnits offset stop-color stop-opacity \
    gradientUnits gradientTransform spreadMethod fx fy patternUnits patternContentUnits patternTransform pathLength vector-effect \
    shape-rendering text-rendering text-anchor dominant-baseline font-family font-size font-weight font-style letter-spacing textLength \
    display visibility paint-order rotate role aria-hidden aria-label href xlink:href";

/// Maximum nesting of elements.
const MAX_DEPTH: usize = 64;

/// Deserializes a logo from the settings.
pub(super) fn logo<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    sanitized(String::deserialize(deserializer)?.trim()).map(Some).map_err(D::Error::custom)
}

/// Returns the drawing without anything that executes, loads or restyles: handlers, `iframe`,
/// `foreignObject`, style sheets, external references.
///
/// # Errors
/// The text is not a single well-formed `<svg>`, or has a script.
fn sanitized(text: &str) -> Result<String, String> {
    let lower = text.to_lowercase();
    if !lower.starts_with("<svg")
        || !lower.ends_with("</svg>")
        || lower.contains("<script")
        || lower.contains("javascript:")
    {
        return Err("the logo must be one <svg>...</svg> element without scripts".to_owned());
    }
    let mut reader = SvgReader {
        rest: text,
        open: Vec::new(),
        dropped: None,
        drawn: String::with_capacity(text.len()),
    };
    reader.read().map_err(|problem| {
        format!("the logo must be one well-formed <svg>...</svg> element: {problem}")
    })?;
    Ok(reader.drawn)
}

/// Parses a drawing and writes only what is allowed, so that nothing unparsed gets through.
struct SvgReader<'a> {
    rest: &'a str,
    /// The open elements around the current position.
    open: Vec<&'a str>,
    /// The depth at which a dropped element began.
    dropped: Option<usize>,
    drawn: String,
}

impl<'a> SvgReader<'a> {
    fn read(&mut self) -> Result<(), String> {
        loop {
            let text = self.until("<")?;
            self.text(text)?;
            if let Some(rest) = self.rest.strip_prefix("!--") {
                self.rest = rest;
                self.until("-->")?;
            } else if self.rest.starts_with(['!', '?']) {
                return Err("declarations have no place in it".to_owned());
            } else if let Some(rest) = self.rest.strip_prefix('/') {
                self.rest = rest;
                self.end()?;
            } else {
                self.start()?;
            }
            if self.open.is_empty() {
                return if self.rest.is_empty() {
                    Ok(())
                } else {
                    Err("there is text after it".to_owned())
                };
            }
        }
    }

    /// Consumes the text up to and including `end`, and returns it without `end`.
    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let (text, rest) = self.rest.split_once(end).ok_or_else(|| format!("{end} is missing"))?;
        self.rest = rest;
        Ok(text)
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let of_name =
            |char: char| char.is_ascii_alphanumeric() || matches!(char, ':' | '-' | '_' | '.');
        let end = self.rest.find(|char| !of_name(char)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.is_empty() { Err("a name is missing".to_owned()) } else { Ok(name) }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if self.dropped.is_none() {
            let plain = unescape(text)?;
            self.drawn.push_str(&escape(&plain));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let name = self.name()?;
        if !self.until(">")?.trim().is_empty() || self.open.pop() != Some(name) {
            return Err(format!("</{name}> ends what did not begin"));
        }
        match self.dropped {
            Some(depth) if depth == self.open.len() => self.dropped = None,
            Some(_) => {}
            None => self.drawn.extend(["</", name, ">"]),
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        let name = self.name()?;
        let known = ELEMENTS.split_whitespace().any(|known| known == name);
        if self.dropped.is_none() && !known {
            self.dropped = Some(self.open.len());
        }
        let mut tag = format!("<{name}");
        let closed = loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                break true;
            }
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                break false;
            }
            let (attribute, value) = self.attribute()?;
            if ATTRIBUTES.split_whitespace().any(|known| known == attribute)
                && is_local(attribute, &value)
            {
                tag.extend([" ", attribute, "=\"", &escape(&value), "\""]);
            }
        };
        if self.dropped.is_none() {
            self.drawn += &tag;
            self.drawn += if closed { "/>" } else { ">" };
        }
        if closed {
            if self.dropped == Some(self.open.len()) {
                self.dropped = None;
            }
        } else {
            self.open.push(name);
            if self.open.len() > MAX_DEPTH {
                return Err("it is nested too deeply".to_owned());
            }
        }
        Ok(())
    }

    fn attribute(&mut self) -> Result<(&'a str, String), String> {
        let name = self.name()?;
        self.rest = self
            .rest
            .trim_start()
            .strip_prefix('=')
            .ok_or_else(|| format!("{name} has no value"))?
            .trim_start();
        let quote = if self.rest.starts_with('"') { "\"" } else { "'" };
        self.rest = self
            .rest
            .strip_prefix(quote)
            .ok_or_else(|| format!("the value of {name} has no quotes"))?;
        Ok((name, unescape(self.until(quote)?)?))
    }
}

/// Returns whether a value refers only to the drawing's own parts.
fn is_local(attribute: &str, value: &str) -> bool {
    let is_id = |id: &str| {
        !id.is_empty()
            && id
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.'))
    };
    match attribute {
        "href" | "xlink:href" => value.strip_prefix('#').is_some_and(is_id),
        "id" => is_id(value),
        "xmlns" => value == "http://www.w3.org/2000/svg",
        _ => {
            // `url(#gradient)`; a backslash or a comment could hide an external reference.
            let lower = value.to_ascii_lowercase();
            let own = value
                .strip_prefix("url(#")
                .and_then(|rest| rest.strip_suffix(')'))
                .is_some_and(is_id);
            own || !["url", "\\", "/*", ":", "@", "image", "src("]
                .iter()
                .any(|sign| lower.contains(sign))
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Resolves the character references of a text.
fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        let (name, behind) =
            behind.split_once(';').ok_or_else(|| "an & is not part of an entity".to_owned())?;
        plain.push_str(before);
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => numbered(name).ok_or_else(|| format!("&{name}; is not known"))?,
        });
        rest = behind;
    }
    plain.push_str(rest);
    Ok(plain)
}

fn numbered(name: &str) -> Option<char> {
    let number = name.strip_prefix('#')?;
    let number = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_keeps_its_drawing_as_it_is() {
        for logo in [
            r#"<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2.4"><ellipse cx="16" cy="16" rx="9" ry="13" transform="rotate(32 16 16)"/></svg>"#,
            r##"<svg xmlns="http://www.w3.org/2000/svg"><defs><linearGradient id="g"><stop offset="0" stop-color="#fff"/></linearGradient></defs><path d="M0 0" fill="url(#g)"/><use href="#g"/><text x="1">A &amp; B</text></svg>"##,
        ] {
            assert_eq!(sanitized(logo).unwrap(), logo);
        }
    }

    #[test]
    fn nothing_in_a_logo_runs_loads_or_styles() {
        let logo = r#"<svg onload="a()" ONCLICK='b()' viewBox="0 0 1 1" style="background:url(https://e.example/x)" class="top">
            <!-- <iframe> --><iframe src="https://e.example"></iframe><foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><p>x</p></body></foreignObject>
            <image href="https://e.example/x.png"/><a href="https://e.example"><path d="M1 1"/></a><use xlink:href="https://e.example/x.svg#a"/>
            <use href="data:image/svg+xml,x"/><style>@import "https://e.example"</style><animate attributeName="href" to="x"/><set onbegin="c()"/>
            <rect fill="url(https://e.example/x#a)" stroke="ur\6c(x)" mask="url('//e.example')" onmouseover="d()" width="1"/><handler>e()</handler>
            <IFRAME src="x"></IFRAME><p><img src="x" onerror="f()"/></p><title>Mine</title></svg>"#;
        let drawn = sanitized(logo).unwrap();
        let squeezed = drawn.split_whitespace().collect::<Vec<_>>().join(" ").replace("> <", "><");
        assert_eq!(
            squeezed,
            r#"<svg viewBox="0 0 1 1"><use/><use/><rect width="1"/><title>Mine</title></svg>"#
        );
    }

    #[test]
    fn what_is_not_one_well_formed_drawing_without_scripts_is_refused() {
        for logo in [
            "logo.png",
            "<svg><script>x</script></svg>",
            "<svg><SCRIPT>x</SCRIPT></svg>",
            "<svg></svg><svg></svg>",
            "<svg></svg><iframe></iframe><svg></svg>",
            "<svg><g></svg>",
            "<svg><g onload=x></g></svg>",
            "<svg><![CDATA[<iframe>]]></svg>",
            "<svg a='</svg>",
            "<svg>&evil;</svg>",
            "<svgx></svg>",
        ] {
            assert!(sanitized(logo).is_err(), "{logo}");
        }
        let hidden = sanitized(
            "<svg><text>&lt;script&gt;</text><path d=\"&quot;&gt;&lt;iframe&gt;\"/></svg>",
        )
        .unwrap();
        assert!(!hidden.contains("<iframe") && !hidden.contains("<script"), "{hidden}");
    }
}

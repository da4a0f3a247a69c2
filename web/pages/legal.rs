//! `/legal/{name}`: Markdown files of a folder as pages.

use std::{fs, io, path::Path as FilePath};

use axum::extract::{Path, State};
use maud::{Markup, html};

use crate::web::{
    app::App,
    error::WebError,
    page::{Page, Place, View},
    parts::markdown,
};

/// One text, as its file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its name in addresses: the file's without `.md`.
    pub(crate) name: String,
    /// Its first heading.
    pub(crate) title: String,
    /// What stands below.
    pub(crate) body: String,
}

/// Every `*.md` in a folder, by name; read once, at the start.
pub(crate) fn read(folder: &FilePath) -> io::Result<Vec<Text>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).filter(|_| path.extension().is_some_and(|extension| extension == "md"));
        if let Some(name) = name {
            texts.push(Text::of(name, &fs::read_to_string(&path)?));
        }
    }
    texts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(texts)
}

impl Text {
    fn of(name: &str, text: &str) -> Self {
        let (title, body) = markdown::split_title(text);
        Self { name: name.to_owned(), title: title.unwrap_or(name).to_owned(), body: body.to_owned() }
    }
}

pub(crate) async fn page(State(app): State<App>, Path(name): Path<String>) -> Result<Page, WebError> {
    let text = app.legal.iter().find(|text| text.name == name).ok_or(WebError::NotFound)?;
    Ok(Page::new(text.title.clone(), Place::None, text))
}

impl View for Text {
    fn body(&self) -> Markup {
        html! { article.sheet.prose { h1 { (self.title) } (markdown::markdown(&self.body)) } }
    }
}

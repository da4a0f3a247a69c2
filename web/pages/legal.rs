//! `/legal/{name}`: Markdown files of a folder as pages; without a folder, texts that are built in.

use std::{fs, io, path::Path as FilePath};

use axum::extract::{Path, State};
use materia::settings::BrandSettings;
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

/// The texts that a site has until it has its own.
pub(crate) fn built_in(brand: &BrandSettings) -> Vec<Text> {
    let fill = |text: &str| {
        let owner = brand.owner.as_deref().unwrap_or(&brand.name);
        let contact = brand.contact.as_deref().unwrap_or("write to whoever gave you access");
        text.replace("{name}", &brand.name).replace("{owner}", owner).replace("{contact}", contact)
    };
    let texts = [("privacy", include_str!("legal/privacy.md")), ("terms", include_str!("legal/terms.md"))];
    texts.map(|(name, text)| Text::of(name, &fill(text))).to_vec()
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

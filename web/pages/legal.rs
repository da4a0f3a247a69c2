//! `/legal/{name}`: Markdown files of a folder as pages, or built-in texts.

use std::{fs, io, path::Path as FilePath};

use axum::extract::{Path, State};
use materia::settings::BrandSettings;
use maud::{Markup, html};

use crate::{
    app::AppState,
    components::markdown,
    error::WebError,
    page::{NavItem, Page, View},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LegalText {
    /// Its name in addresses: the file's name without `.md`.
    pub(crate) name: String,
    pub(crate) title: String,
    /// The text below the heading.
    pub(crate) body: String,
}

/// Reads every `*.md` in a folder, sorted by name.
pub(crate) fn read_folder(folder: &FilePath) -> io::Result<Vec<LegalText>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .filter(|_| path.extension().is_some_and(|extension| extension == "md"));
        if let Some(name) = name {
            texts.push(LegalText::of(name, &fs::read_to_string(&path)?));
        }
    }
    texts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(texts)
}

/// Returns the default texts of a site without its own folder.
pub(crate) fn built_in(brand: &BrandSettings) -> Vec<LegalText> {
    let fill = |text: &str| {
        let owner = brand.owner.as_deref().unwrap_or(&brand.name);
        let contact = brand.contact.as_deref().unwrap_or("contact the person who gave you access");
        text.replace("{name}", &brand.name).replace("{owner}", owner).replace("{contact}", contact)
    };
    let texts =
        [("privacy", include_str!("legal/privacy.md")), ("terms", include_str!("legal/terms.md"))];
    texts.map(|(name, text)| LegalText::of(name, &fill(text))).to_vec()
}

impl LegalText {
    fn of(name: &str, text: &str) -> Self {
        let (title, body) = markdown::split_title(text);
        Self {
            name: name.to_owned(),
            title: title.unwrap_or(name).to_owned(),
            body: body.to_owned(),
        }
    }
}

pub(crate) async fn page(
    State(app): State<AppState>,
    Path(name): Path<String>,
) -> Result<Page, WebError> {
    let text = app.legal.iter().find(|text| text.name == name).ok_or(WebError::NotFound)?;
    let about = format!("{} of {}.", text.title, app.settings.brand.name);
    Ok(Page::new(text.title.clone(), NavItem::None, text).with_description(about))
}

impl View for LegalText {
    fn render(&self) -> Markup {
        html! { article.sheet.prose { h1 { (self.title) } (markdown::markdown(&self.body)) } }
    }
}

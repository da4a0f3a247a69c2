//! The dashboards screen: a dashboard as customers see it, with its filters.

pub(crate) mod filters;

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use materia::dashboard::{self, DashboardData, FilterData, FilterValue, PanelData, PanelLink};
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use self::filters::FilterPicker;
use super::{Change, Link, Screen};
use crate::{
    app::{MAX_STEP, ScreenId},
    context::Context,
    keys::{KeyGroup, key},
    layout,
    message::{Channel, ClickTarget, Effect, Message, Request, Response},
    overlays::{
        Overlay,
        palette::{Palette, PaletteAction, PaletteEntry},
    },
    text::width,
    theme::StyleRole,
    views::{Canvas, panels},
};

/// Minimum height at which part of a panel is drawn.
const MIN_PANEL_HEIGHT: u16 = 8;

#[derive(Debug, Clone, Default)]
pub(crate) struct DashboardsScreen {
    /// Slugs and titles, in order.
    pub(crate) list: Vec<(String, String)>,
    pub(crate) data: Option<Arc<DashboardData>>,
    /// The query of each panel that has one.
    pub(crate) queries: Vec<Option<String>>,
    /// Errors in the files.
    pub(crate) diagnostics: Vec<String>,
    /// Why there is no newer data.
    pub(crate) error: Option<String>,
    /// The slug of the dashboard to show; `None` is the first one.
    pub(crate) wanted: Option<String>,
    /// Filter values by slug, in URL notation.
    pub(crate) filters: HashMap<String, Vec<(String, String)>>,
    /// The pending request for data.
    pub(crate) pending: Option<u64>,
    /// The first row of panels in view.
    pub(crate) scroll: usize,
}

static KEYS: KeyGroup = KeyGroup {
    id: "dashboards",
    title: "Dashboards",
    bindings: &[
        key("tab l right ]", "next", "next dashboard", "next", |app| {
            app.dashboards.open_neighbor(true, &mut app.context)
        }),
        key("h left [", "previous", "previous dashboard", "prev", |app| {
            app.dashboards.open_neighbor(false, &mut app.context)
        }),
        key("f", "filters", "choose the filters", "filters", |app| {
            app.dashboards.open_filters(0, &mut app.context)
        }),
        key("enter", "link", "open what a panel's title, row or mark leads to", "", |app| {
            app.dashboards.choose_link(&mut app.context)
        }),
        key("o", "query", "open a panel's query in the SQL prompt", "SQL", |app| {
            app.dashboards.choose_query(&mut app.context)
        }),
    ],
};

impl Screen for DashboardsScreen {
    fn home_keys(&self) -> &'static KeyGroup {
        &KEYS
    }

    fn draw(&self, canvas: &mut Canvas, area: Rect, context: &Context) {
        let [title, body, below] = layout::list(area);
        let Some(data) = &self.data else {
            let error = self
                .error
                .clone()
                .or_else(|| context.reader.error.clone())
                .or_else(|| context.reader.config_error.clone());
            let line = match error {
                Some(error) => Line::from(canvas.span(StyleRole::Bad, format!(" {error}"))),
                None => Line::from(vec![
                    Span::raw(" "),
                    canvas.spinner(),
                    canvas.span(StyleRole::Dim, " loading"),
                ]),
            };
            return canvas.line(area, line);
        };
        self.draw_heading(canvas, title, data);
        let rows = layout::arrange_panels(&data.panels, body.width);
        let (mut y, mut last) = (body.y, self.scroll);
        for row in rows.iter().skip(self.scroll) {
            let left = body.bottom().saturating_sub(y);
            if left < row.height.min(MIN_PANEL_HEIGHT) && y > body.y {
                break;
            }
            let height = row.height.min(left);
            for slot in &row.panels {
                let area = Rect { x: body.x + slot.x, y, width: slot.width, height };
                panels::draw(canvas, area, &data.panels[slot.index]);
            }
            y += height;
            last += 1;
        }
        let place = match rows.len() {
            0 | 1 => String::new(),
            len if last == self.scroll + 1 => format!(", row {last} of {len}"),
            len => format!(", rows {}-{last} of {len}", self.scroll + 1),
        };
        let spans = self.footer(canvas, data, &place, usize::from(below.width));
        canvas.line(below, Line::from(spans));
    }

    fn page_height(&self, context: &Context) -> usize {
        usize::from(context.body().height)
    }

    /// Scrolls by rows of panels, which are tall: one at a time, or to an end.
    fn move_cursor(&mut self, by: isize, context: &mut Context) -> Vec<Effect> {
        let panels = self.data.as_ref().map(|data| &data.panels[..]).unwrap_or_default();
        let last = layout::last_panel_row(panels, layout::list(context.body())[1]);
        let by = if by.abs() < MAX_STEP { by.signum() } else { by };
        self.scroll = self.scroll.saturating_add_signed(by).min(last);
        Vec::new()
    }

    fn enter(&mut self, context: &mut Context) -> Vec<Effect> {
        if self.data.is_none() && self.pending.is_none() {
            self.request(context)
        } else {
            Vec::new()
        }
    }

    fn click(&mut self, target: ClickTarget, context: &mut Context) -> Vec<Effect> {
        match target {
            ClickTarget::Filter(filter) => self.open_filters(filter, context),
            _ => Vec::new(),
        }
    }

    fn follow_link(&mut self, link: &Link, context: &mut Context) -> Option<Vec<Effect>> {
        match link {
            Link::Dashboard(slug) => Some(self.open(slug.clone(), context)),
            Link::DashboardView(slug, selection) => {
                self.filters.insert(slug.clone(), selection.clone());
                Some(self.open(slug.clone(), context))
            }
            _ => None,
        }
    }

    fn handle_message(
        &mut self,
        message: Message,
        context: &mut Context,
    ) -> ControlFlow<Vec<Effect>, Message> {
        match message {
            Message::Response { channel: Channel::Dashboard, request_id, response } => {
                self.receive(request_id, response);
                if context.screen == ScreenId::Dashboards {
                    // There may be fewer panels now.
                    self.move_cursor(0, context);
                }
                ControlFlow::Break(Vec::new())
            }
            message => ControlFlow::Continue(message),
        }
    }

    fn handle_change(&mut self, change: &Change, context: &mut Context) -> Vec<Effect> {
        let is_outdated = match change {
            Change::StatusSource => {
                *self = Self::default();
                false
            }
            Change::Config { previous } => {
                let dashboards =
                    context.reader.config.as_ref().map(|config| &config.settings.dashboards);
                previous
                    .as_ref()
                    .is_some_and(|config| Some(&config.settings.dashboards) != dashboards)
            }
            Change::Generation | Change::DashboardFiles => true,
            Change::Catalog | Change::Status { .. } | Change::PipelineRuns => false,
        };
        if !is_outdated {
            return Vec::new();
        }
        if context.screen == ScreenId::Dashboards {
            return self.request(context);
        }
        // It is requested when the screen becomes visible.
        self.data = None;
        self.pending = None;
        Vec::new()
    }

    fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    fn palette_entries(&self, _context: &Context) -> Vec<PaletteEntry> {
        let entry = |(slug, title): &(String, String)| PaletteEntry {
            text: format!("show dashboard {title}"),
            key: String::new(),
            action: PaletteAction::Follow(Link::Dashboard(slug.clone())),
        };
        self.list.iter().map(entry).collect()
    }

    fn load_palette_entries(&mut self, context: &mut Context) -> Vec<Effect> {
        let is_unknown =
            self.list.is_empty() && self.pending.is_none() && context.reader.sequence > 0;
        let Some(config) = context.reader.config.clone().filter(|_| is_unknown) else {
            return Vec::new();
        };
        let request_id = context.next_request_id();
        let request = Request::Dashboards(config.settings.dashboards.clone());
        vec![Effect::Request { channel: Channel::Dashboard, request_id, request }]
    }
}

impl DashboardsScreen {
    /// Requests the dashboard to be shown.
    fn request(&mut self, context: &mut Context) -> Vec<Effect> {
        let has_data = context.reader.sequence > 0;
        let Some(config) = context.reader.config.clone().filter(|_| has_data) else {
            return Vec::new();
        };
        let request_id = context.next_request_id();
        self.pending = Some(request_id);
        let slug = self.wanted.clone();
        let shown = slug.as_ref().or_else(|| self.data.as_ref().map(|data| &data.slug));
        let filters = shown.and_then(|slug| self.filters.get(slug)).cloned().unwrap_or_default();
        let request =
            Request::Dashboard { settings: config.settings.dashboards.clone(), slug, filters };
        vec![Effect::Request { channel: Channel::Dashboard, request_id, request }]
    }

    fn receive(&mut self, request_id: u64, response: Result<Response, String>) {
        if let Ok(Response::Dashboards(list)) = response {
            self.list = list;
            return;
        }
        if self.pending != Some(request_id) {
            return;
        }
        self.pending = None;
        match response {
            Ok(Response::Dashboard { list, data, queries, diagnostics }) => {
                self.queries = queries;
                if self.data.as_ref().is_none_or(|before| before.slug != data.slug) {
                    self.scroll = 0;
                }
                self.wanted = Some(data.slug.clone());
                (self.list, self.data, self.diagnostics, self.error) =
                    (list, Some(data), diagnostics, None);
            }
            Ok(_) => {}
            Err(error) => self.error = Some(error),
        }
    }

    fn open(&mut self, slug: String, context: &mut Context) -> Vec<Effect> {
        context.go_to(ScreenId::Dashboards);
        self.wanted = Some(slug);
        self.request(context)
    }

    /// Opens the next or the previous dashboard.
    fn open_neighbor(&mut self, forward: bool, context: &mut Context) -> Vec<Effect> {
        let shown = self.wanted.as_ref().or_else(|| self.data.as_ref().map(|data| &data.slug));
        let at = self.list.iter().position(|(slug, _)| Some(slug) == shown).unwrap_or_default();
        let len = self.list.len();
        let next = if forward { at + 1 } else { at + len.saturating_sub(1) };
        let neighbor = next.checked_rem(len).and_then(|next| self.list.get(next));
        match neighbor.map(|(slug, _)| slug.clone()) {
            Some(slug) => self.open(slug, context),
            None => Vec::new(),
        }
    }

    fn open_filters(&mut self, filter: usize, context: &mut Context) -> Vec<Effect> {
        match self.data.as_ref().and_then(|data| FilterPicker::new(data)) {
            Some(mut picker) => {
                picker.move_to_filter(filter);
                context.overlay = Some(Overlay::Filters(Box::new(picker)));
            }
            None => context.show_toast(false, "this dashboard has no filters"),
        }
        Vec::new()
    }

    /// Opens the list of the dashboards to which panels lead, from the first panel in view.
    fn choose_link(&mut self, context: &mut Context) -> Vec<Effect> {
        let Some(data) = &self.data else { return Vec::new() };
        let first = self.first_panel(data, context);
        let panels = data.panels[first..].iter().chain(&data.panels[..first]);
        let entry = |link: PanelLink| {
            let (slug, selection) = dashboard::dashboard_of(&link.address)?;
            self.list.iter().any(|(known, _)| *known == slug).then(|| PaletteEntry {
                text: link.label,
                key: slug.clone(),
                action: PaletteAction::Follow(Link::DashboardView(slug, selection)),
            })
        };
        let entries: Vec<_> = panels.flat_map(PanelData::links).filter_map(entry).collect();
        if entries.is_empty() {
            context.show_toast(false, "nothing on this dashboard leads to another one");
        } else {
            let palette = Palette::new("Follow", entries);
            context.overlay = Some(Overlay::Palette(Box::new(palette)));
        }
        Vec::new()
    }

    /// Returns the first panel in view.
    fn first_panel(&self, data: &DashboardData, context: &Context) -> usize {
        let rows = layout::arrange_panels(&data.panels, context.body().width);
        let first = rows.get(self.scroll).and_then(|row| row.panels.first());
        first.map_or(0, |slot| slot.index).min(data.panels.len())
    }

    /// Opens the list of the panels' queries, from the first panel in view.
    fn choose_query(&mut self, context: &mut Context) -> Vec<Effect> {
        let Some(data) = &self.data else { return Vec::new() };
        let first = self.first_panel(data, context);
        let entry = |(panel, query): (&PanelData, &Option<String>)| {
            Some(PaletteEntry {
                text: panel.title.clone(),
                key: String::new(),
                action: PaletteAction::Follow(Link::Query(query.clone()?)),
            })
        };
        let mut entries: Vec<_> = data.panels.iter().zip(&self.queries).collect();
        let first = first.min(entries.len());
        entries.rotate_left(first);
        let entries: Vec<_> = entries.into_iter().filter_map(entry).collect();
        if entries.is_empty() {
            context.show_toast(false, "no panel of this dashboard has a query");
        } else {
            let palette = Palette::new("Query of", entries);
            context.overlay = Some(Overlay::Palette(Box::new(palette)));
        }
        Vec::new()
    }

    /// Shows the dashboard with other values of its filters.
    pub(super) fn set_filters(
        &mut self,
        slug: String,
        filters: Vec<(String, String)>,
        context: &mut Context,
    ) -> Vec<Effect> {
        self.filters.insert(slug, filters);
        self.request(context)
    }

    /// Draws the title and the values of the filters.
    fn draw_heading(&self, canvas: &mut Canvas, area: Rect, data: &DashboardData) {
        let mut spans = vec![canvas.span(StyleRole::Strong, format!(" {} ", data.title))];
        if self.pending.is_some() {
            spans.push(canvas.spinner());
        }
        let mut x = area.x + u16::try_from(width(&data.title, 60) + 4).unwrap_or_default();
        for (index, filter) in data.filters.iter().enumerate() {
            let text = format!("{}: {}", filter.label, filter_value(filter));
            let text = canvas.fit(&text, width(&text, 36));
            let columns = u16::try_from(width(&text, 40) + 2).unwrap_or_default();
            spans.push(canvas.span(StyleRole::Accent, format!(" {text} ")));
            canvas.add_click_area(Rect { x, width: columns, ..area }, ClickTarget::Filter(index));
            x += columns;
        }
        canvas.line(area, Line::from(spans));
    }

    fn footer(
        &self,
        canvas: &Canvas,
        data: &DashboardData,
        place: &str,
        space: usize,
    ) -> Vec<Span<'static>> {
        let at = self.list.iter().position(|(slug, _)| *slug == data.slug).unwrap_or_default();
        let text = format!(" dashboard {}/{}{place}", at + 1, self.list.len());
        let mut spans = vec![canvas.span(StyleRole::Dim, text)];
        let sources: Vec<_> = data.sources.iter().map(|source| source.name.as_str()).collect();
        if !sources.is_empty() {
            let text = format!("   Source: {}", sources.join("; "));
            let left = space.saturating_sub(spans.iter().map(Span::width).sum());
            spans.push(
                canvas.span(StyleRole::Dim, canvas.fit(&text, left.min(width(&text, 1_000)))),
            );
        }
        for error in self.error.iter().chain(self.diagnostics.first()) {
            spans.push(canvas.span(StyleRole::Bad, format!("  {error}")));
        }
        spans
    }
}

/// Formats the value of a filter.
fn filter_value(filter: &FilterData) -> String {
    match &filter.value {
        FilterValue::One { options } => options
            .iter()
            .find(|option| option.chosen)
            .map(|option| option.label.clone())
            .unwrap_or_default(),
        FilterValue::Many { options } if options.iter().all(|option| option.chosen) => {
            "all".to_owned()
        }
        FilterValue::Many { options } => options
            .iter()
            .filter(|option| option.chosen)
            .map(|option| option.label.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        years @ FilterValue::Years { from, to, .. } => {
            format!("{}-{}", years.year_label(*from), years.year_label(*to))
        }
        FilterValue::Range { from, to, .. } => format!("{from} to {to}"),
        FilterValue::Search { text } if text.is_empty() => "everything".to_owned(),
        FilterValue::Search { text } => text.clone(),
    }
}

//! The format of a response: chosen by the parameter `format`, or else by `Accept`.

use axum::http::{HeaderValue, header};
use materia::{download::DownloadFormat, tables::ParameterError};

use super::{Problem, request::ApiRequest};

/// The name of the format that is a response rather than a file.
const JSON: &str = "json";

impl ApiRequest {
    /// Returns the requested format; `None` is JSON, which only `with_json` allows.
    pub(super) fn format(&self, with_json: bool) -> Result<Option<DownloadFormat>, Problem> {
        let names = || {
            let json = with_json.then_some(JSON);
            json.into_iter().chain(DownloadFormat::ALL.map(DownloadFormat::name)).map(str::to_owned)
        };
        if let Some(name) = self.params.get("format") {
            if with_json && name == JSON {
                return Ok(None);
            }
            return DownloadFormat::named(name).map(Some).map_err(|problem| {
                ParameterError::new("format", name, problem).allowed(names()).into()
            });
        }
        let accept = self
            .headers
            .get(header::ACCEPT)
            .map_or(Ok("*/*"), HeaderValue::to_str)
            .unwrap_or("*/*");
        let known = |media: &str| match media.to_ascii_lowercase().as_str() {
            "*/*" | "application/*" | "" => Some(None),
            "application/json" if with_json => Some(None),
            "text/*" => Some(Some(DownloadFormat::Csv)),
            "application/jsonl" | "application/jsonlines" => Some(Some(DownloadFormat::JsonLines)),
            media => DownloadFormat::ALL
                .into_iter()
                .find(|format| format.media_type().split(';').next() == Some(media))
                .map(Some),
        };
        accepted_types(accept).into_iter().find_map(known).ok_or_else(|| {
            let json = with_json.then(|| "application/json".to_owned());
            let media = DownloadFormat::ALL.map(|format| format.media_type().to_owned());
            Problem::format(accept, media.into_iter().chain(json))
        })
    }

    /// Returns whether `safe=true` requests CSV without texts that spreadsheets would evaluate as
    /// formulas.
    pub(super) fn is_safe_for_spreadsheets(
        &self,
        format: Option<DownloadFormat>,
    ) -> Result<bool, Problem> {
        match self.params.get("safe") {
            None | Some("false") => Ok(false),
            Some("true") if format == Some(DownloadFormat::Csv) => Ok(true),
            Some("true") => Err(ParameterError::new(
                "safe",
                "true",
                "only CSV can be made safe for spreadsheets",
            )
            .into()),
            Some(other) => Err(ParameterError::new("safe", other, "it must be true or false")
                .allowed(["true", "false"])
                .into()),
        }
    }
}

/// Returns the media types of an `Accept` header, best first, without those that it excludes.
fn accepted_types(accept: &str) -> Vec<&str> {
    let mut types: Vec<(f32, &str)> = accept
        .split(',')
        .map(|one| {
            let mut parts = one.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            (quality.and_then(|q| q.parse().ok()).unwrap_or(1.0), media)
        })
        .filter(|(quality, _)| *quality > 0.0)
        .collect();
    types.sort_by(|one, other| other.0.total_cmp(&one.0));
    types.into_iter().map(|(_, media)| media).collect()
}

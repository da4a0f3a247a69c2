MODEL (
  name serving.data_status,
  kind FULL,
  description 'How far each source reaches, when that was published and when the next release is due. Dates of publication follow the calendars of the sources; the files do not record them',
  column_descriptions (
    source = 'Short name of the source',
    title = 'Publisher and title',
    frequency = 'How often it is published',
    through = 'What the newest figures are of',
    published = 'When they were published, by the calendar of the source',
    next_release = 'When the next figures are due, by the calendar of the source',
    late_after = 'Day after which the next figures are late; empty where a release is not dated'
  )
);
WITH cot AS (SELECT MAX(report_date) AS newest FROM staging.cot),
monthly AS (
  SELECT 'prices' AS source, 'World Bank' AS title, 1 AS lag, MAX(month) AS newest FROM staging.prices
  UNION ALL
  SELECT 'imports', 'USITC', 2, MAX(month) FROM staging.imports
  UNION ALL
  SELECT 'rain', 'ERA5', 1, MAX(month) FROM staging.rain
),
psd AS (
  SELECT MAX(vintage) AS vintage, MAX(season) AS season, TRY_CAST(MAX(vintage) || '-01' AS DATE) AS released
  FROM staging.psd
  WHERE is_newest
)
SELECT
  'psd' AS source,
  'USDA PSD' AS title,
  'half-yearly' AS frequency,
  'season ' || season || ' (forecast)' AS through,
  COALESCE(STRFTIME(released, '%b %Y'), 'vintage ' || vintage) AS published,
  COALESCE(STRFTIME(released + INTERVAL 6 MONTHS, '%b %Y'), 'June or December') AS next_release,
  LAST_DAY((released + INTERVAL 6 MONTHS)::DATE) AS late_after
FROM psd
UNION ALL
SELECT
  'cot', 'CFTC', 'weekly',
  STRFTIME(newest, '%b %-d, %Y'),
  STRFTIME(newest + INTERVAL 3 DAYS, '%b %-d, %Y'),
  STRFTIME(newest + INTERVAL 10 DAYS, '%b %-d, %Y'),
  (newest + INTERVAL 14 DAYS)::DATE
FROM cot
UNION ALL
SELECT
  source, title, 'monthly',
  STRFTIME(newest, '%b %Y'),
  'early ' || STRFTIME(newest + TO_MONTHS(lag), '%b %Y'),
  'early ' || STRFTIME(newest + TO_MONTHS(lag + 1), '%b %Y'),
  (newest + TO_MONTHS(lag + 1) + INTERVAL 10 DAYS)::DATE
FROM monthly

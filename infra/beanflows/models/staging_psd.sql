MODEL (
  name staging.psd,
  kind VIEW,
  description 'USDA PSD Coffee, Green, typed: one row per vintage, country, season and attribute. Seasons have the same label in every vintage. Source: USDA FAS PSD Online, public domain',
  column_descriptions (
    vintage = 'Release of the file: the newest month of revision in it, YYYY-MM; where a file records none, what its name says',
    is_newest = 'Whether the row belongs to the newest vintage that has landed',
    country_code = 'FAS country code of two characters (not ISO); from another vintage where a file has none',
    country_name = 'FAS country name, in English',
    market_year = 'Year in which the season begins, 2022 for 2022/23, in every vintage: one less than the label of vintages up to 2022',
    season = 'The season, for example 2022/23. It begins in October, July or April, depending on the country',
    attribute = 'FAS attribute name, for example Production or Ending Stocks',
    thousand_bags = 'The figure, thousand 60 kg bags of green bean equivalent',
    revised = 'Month in which USDA last revised the figure, YYYY-MM; empty where it is not recorded'
  )
);
-- A file whose last label lies beyond its last revision labels a season by the year in which it ends: in December 2022, 2022/23 was
-- called 2023; in December 2023, 2023/24 was called 2023. Files without months of revision are judged by the date in their names.
WITH files AS (
  SELECT
    file,
    COALESCE(
      MAX(calendar_year || '-' || month) FILTER (WHERE month BETWEEN '01' AND '12'),
      NULLIF(REGEXP_EXTRACT(file, '[0-9]{4}-[0-9]{2}'), ''),
      file
    ) AS vintage,
    COALESCE(
      (MAX(market_year::INT) > MAX(calendar_year::INT)),
      NULLIF(REGEXP_EXTRACT(file, '[0-9]{4}-[0-9]{2}'), '') < '2023'
    ) AS labelled_by_end
  FROM raw.psd
  GROUP BY file
),
-- Files that were downloaded twice within a release are one vintage.
vintages AS (
  SELECT vintage, MAX(file) AS file FROM files GROUP BY vintage
),
typed AS (
  SELECT
    files.vintage,
    files.vintage = (SELECT MAX(vintage) FROM vintages) AS is_newest,
    TRIM(psd.country_code) AS country_code,
    TRIM(psd.country_name) AS country_name,
    (psd.market_year::INT - COALESCE(files.labelled_by_end, FALSE)::INT)::INT AS market_year,
    TRIM(psd.attribute_description) AS attribute,
    psd.value::DOUBLE AS thousand_bags,
    CASE WHEN psd.month BETWEEN '01' AND '12' THEN psd.calendar_year || '-' || psd.month END AS revised
  FROM raw.psd
  JOIN files ON files.file = psd.file
  JOIN vintages ON vintages.file = files.file
)
SELECT
  vintage,
  is_newest,
  COALESCE(country_code, MAX(country_code) OVER (PARTITION BY country_name)) AS country_code,
  country_name,
  market_year,
  market_year || '/' || LPAD(((market_year + 1) % 100)::TEXT, 2, '0') AS season,
  attribute,
  thousand_bags,
  revised
FROM typed

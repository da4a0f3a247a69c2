MODEL (
  name staging.psd,
  kind VIEW,
  description 'USDA PSD Coffee, Green, typed: one row per country, market year and attribute. Source: USDA FAS PSD Online, public domain',
  column_descriptions (
    country_code = 'FAS country code of two characters (not ISO)',
    country_name = 'FAS country name, in English',
    market_year = 'USDA market year label',
    attribute = 'FAS attribute name, for example Production or Ending Stocks',
    thousand_bags = 'The figure, thousand 60 kg bags of green bean equivalent'
  )
);
SELECT
  TRIM(country_code) AS country_code,
  TRIM(country_name) AS country_name,
  market_year::INT AS market_year,
  TRIM(attribute_description) AS attribute,
  value::DOUBLE AS thousand_bags
FROM raw.psd

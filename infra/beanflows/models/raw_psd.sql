MODEL (
  name raw.psd,
  kind FULL,
  description 'USDA PSD Online, Coffee, Green, in long form exactly as landed: one row per file, country, market year and attribute, every field as text. Every landed vintage is kept. Source: USDA FAS, public domain',
  column_descriptions (
    commodity_code = 'FAS commodity code, 0711100 for green coffee',
    commodity_description = 'FAS commodity name: Coffee, Green',
    country_code = 'FAS country code of two characters (not ISO: VM is Vietnam, IV is Cote d''Ivoire, E4 is the European Union)',
    country_name = 'FAS country name, in English',
    market_year = 'Market year label, YYYY, as in the file: the year in which the season ends in vintages up to 2022, the year in which it begins in later ones',
    calendar_year = 'Year in which USDA last revised the figure; empty in files without it',
    month = 'Month in which USDA last revised the figure, 01 to 12; 00 where it is not recorded; empty in files without it',
    attribute_id = 'FAS attribute code of three digits, for example 028 for production',
    attribute_description = 'FAS attribute name, for example Production or Ending Stocks; 19 of them for coffee',
    unit_id = 'FAS unit code, 02 for thousand 60 kg bags',
    unit_description = 'FAS unit name: (1000 60 KG BAGS)',
    value = 'The figure, in thousand 60 kg bags of green bean equivalent',
    file = 'Name of the landed file: each vintage is one'
  )
);
-- Compressed files are stored next to plain ones, hence the second wildcard.
SELECT
  Commodity_Code AS commodity_code,
  Commodity_Description AS commodity_description,
  Country_Code AS country_code,
  Country_Name AS country_name,
  Market_Year AS market_year,
  Calendar_Year AS calendar_year,
  Month AS month,
  Attribute_ID AS attribute_id,
  Attribute_Description AS attribute_description,
  Unit_ID AS unit_id,
  Unit_Description AS unit_description,
  Value AS value,
  PARSE_FILENAME(filename) AS file
FROM READ_CSV(@landing || '/usda_psd_coffee_*.csv*', header = TRUE, all_varchar = TRUE, filename = TRUE, union_by_name = TRUE)

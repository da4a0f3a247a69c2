MODEL (
  name staging.imports,
  kind VIEW,
  description 'US coffee imports, typed: one row per origin and month. Source: USITC DataWeb, HTS 0901, public domain',
  column_descriptions (
    origin = 'Country of origin, name as USITC writes it',
    month = 'First day of the month of import',
    metric_tons = 'General imports of HTS 0901 (coffee, green and roasted), metric tons'
  )
);
SELECT
  TRIM(origin) AS origin,
  STRPTIME(month, '%Y-%m')::DATE AS month,
  imports_mt::DOUBLE AS metric_tons
FROM raw.imports

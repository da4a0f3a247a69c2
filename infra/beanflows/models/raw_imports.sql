MODEL (
  name raw.imports,
  kind FULL,
  description 'US coffee imports exactly as landed: one row per origin and month, every field as text. Where several files have landed, the newest by file name. Source: USITC DataWeb, HTS 0901, public domain',
  column_descriptions (
    origin = 'Country of origin, name as USITC writes it',
    month = 'Month of import, YYYY-MM',
    imports_mt = 'General imports of HTS 0901 (coffee, green and roasted), metric tons'
  )
);
SELECT origin, month, imports_mt
FROM READ_CSV(@landing || '/us_coffee_imports_hts0901_monthly_by_origin*.csv', header = TRUE, all_varchar = TRUE, filename = TRUE)
WHERE filename = (SELECT MAX(file) FROM GLOB(@landing || '/us_coffee_imports_hts0901_monthly_by_origin*.csv'))

MODEL (
  name serving.us_imports,
  kind FULL,
  description 'US coffee imports (HTS 0901) by origin and month, metric tons; an origin has no row in a month without imports. Source: USITC DataWeb, public domain',
  column_descriptions (
    origin = 'Country of origin, name as USITC writes it. USITC DataWeb',
    month = 'First day of the month of import. USITC DataWeb',
    metric_tons = 'General imports of HTS 0901 (coffee, green and roasted), metric tons; one ton is 16.7 bags of 60 kg. USITC DataWeb'
  )
);
SELECT origin, month, metric_tons
FROM staging.imports
ORDER BY origin, month

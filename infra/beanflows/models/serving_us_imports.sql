MODEL (
  name serving.us_imports,
  kind FULL,
  description 'US coffee imports (HTS 0901) by origin and month, metric tons; an origin has no row in a month without imports. Source: USITC DataWeb, public domain',
  column_descriptions (
    origin = 'Country of origin, name as USITC writes it. USITC DataWeb',
    month = 'First day of the month of import. USITC DataWeb',
    metric_tons = 'General imports of HTS 0901 (coffee, green and roasted), metric tons as weighed; 60 kg make a bag. USITC DataWeb',
    grows_coffee = 'Whether the country grows coffee for export. What comes from others is mostly roasted there, or shipped on'
  )
);
SELECT
  origin,
  month,
  metric_tons,
  origin IN (
    'Angola', 'Bolivia', 'Brazil', 'Burundi', 'Cameroon', 'Central African Republic', 'China', 'Colombia', 'Costa Rica', 'Cuba',
    'Côte d`Ivoire', 'Democratic Republic of the Congo', 'Dominican Republic', 'Ecuador', 'El Salvador', 'Ethiopia', 'Gabon', 'Ghana',
    'Guatemala', 'Guinea', 'Haiti', 'Honduras', 'India', 'Indonesia', 'Jamaica', 'Kenya', 'Laos', 'Liberia', 'Madagascar', 'Malawi',
    'Malaysia', 'Mexico', 'Myanmar (Burma)', 'Nepal', 'Nicaragua', 'Nigeria', 'Panama', 'Papua New Guinea', 'Paraguay', 'Peru',
    'Philippines', 'Republic of the Congo', 'Rwanda', 'Sierra Leone', 'Sri Lanka', 'Tanzania', 'Thailand', 'Timor-Leste', 'Togo',
    'Trinidad and Tobago', 'Uganda', 'Venezuela', 'Vietnam', 'Yemen', 'Zambia', 'Zimbabwe'
  ) AS grows_coffee
FROM staging.imports
ORDER BY origin, month

MODEL (
  name serving.rainfall,
  kind FULL,
  description 'Monthly rain in coffee regions, mm. Source: ERA5 reanalysis through Open-Meteo, CC BY 4.0',
  column_descriptions (
    origin = 'Coffee origin, lower-case short name (brazil, vn, colombia). As landed',
    region = 'Coffee region within the origin. As landed',
    month = 'First day of the month. ERA5 through Open-Meteo',
    precipitation_mm = 'Rain in the month, mm, as the ERA5 model has it; in steep mountains it can read far above gauges. ERA5 through Open-Meteo'
  )
);
SELECT origin, region, month, precipitation_mm
FROM staging.rain
ORDER BY origin, region, month

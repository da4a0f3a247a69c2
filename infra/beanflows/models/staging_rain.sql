MODEL (
  name staging.rain,
  kind VIEW,
  description 'Monthly rain in coffee regions, typed: one row per region and month. Source: ERA5 through Open-Meteo, CC BY 4.0',
  column_descriptions (
    origin = 'Coffee origin, lower-case short name (brazil, vn, colombia)',
    region = 'Coffee region within the origin',
    month = 'First day of the month',
    precipitation_mm = 'Rain in the month, mm'
  )
);
SELECT
  TRIM(origin) AS origin,
  TRIM(region) AS region,
  STRPTIME(month, '%Y-%m')::DATE AS month,
  precip_mm::DOUBLE AS precipitation_mm
FROM raw.rain

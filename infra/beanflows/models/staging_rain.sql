MODEL (
  name staging.rain,
  kind VIEW,
  description 'Monthly rain in coffee regions, typed, of one model: one row per region and month. Source: ERA5 through Open-Meteo, CC BY 4.0; contains modified Copernicus Climate Change Service information',
  column_descriptions (
    origin = 'Coffee origin, lower-case short name (brazil, vn, colombia)',
    region = 'Coffee region within the origin',
    month = 'First day of the month',
    precipitation_mm = 'Rain in the month, mm'
  )
);
-- Without `models=era5`, Open-Meteo answers with its best model for each period: ERA5 until 2016, a finer one from 2017 on. They disagree
-- by up to a factor of seven in mountains (Kasese: 4,479 mm in 2016, 645 mm in 2017), so such files are used from 2017 only.
SELECT
  TRIM(origin) AS origin,
  TRIM(region) AS region,
  STRPTIME(month, '%Y-%m')::DATE AS month,
  precip_mm::DOUBLE AS precipitation_mm
FROM raw.rain
WHERE file LIKE '%models=era5%' OR month >= '2017-01'

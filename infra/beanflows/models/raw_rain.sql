MODEL (
  name raw.rain,
  kind FULL,
  description 'Monthly rain in coffee regions exactly as landed: one row per region and month, every field as text. Where several files have landed, the newest by file name. Source: ERA5 reanalysis through Open-Meteo, CC BY 4.0',
  column_descriptions (
    origin = 'Coffee origin, lower-case short name (brazil, vn, colombia)',
    region = 'Coffee region within the origin',
    month = 'Month, YYYY-MM',
    precip_mm = 'Rain in the month, mm, as the model has it',
    file = 'Name of the landed file; "models=era5" in it says that all months are of the ERA5 model'
  )
);
SELECT origin, region, month, precip_mm, PARSE_FILENAME(filename) AS file
FROM READ_CSV(@landing || '/era5_monthly_precip_coffee_regions_*.csv', header = TRUE, all_varchar = TRUE, filename = TRUE)
WHERE filename = (SELECT MAX(file) FROM GLOB(@landing || '/era5_monthly_precip_coffee_regions_*.csv'))

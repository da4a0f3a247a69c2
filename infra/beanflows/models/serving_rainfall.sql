MODEL (
  name serving.rainfall,
  kind FULL,
  description 'Monthly rain in coffee regions, mm, from one model. Source: ERA5 reanalysis through Open-Meteo, CC BY 4.0; contains modified Copernicus Climate Change Service information',
  column_descriptions (
    origin = 'Coffee origin, lower-case short name (brazil, vn, colombia). As landed',
    region = 'Coffee region within the origin. As landed',
    month = 'First day of the month. ERA5 through Open-Meteo',
    precipitation_mm = 'Rain in the month, mm, as the model has it; in steep mountains it can differ much from gauges. ERA5 through Open-Meteo',
    country_name = 'Country, as USDA writes it',
    normal_mm = 'Average of the same calendar month in the years of normal_years, mm. Derived from ERA5 through Open-Meteo',
    normal_years = 'Years of the normal: 1991-2020 where at least 25 of them are there, otherwise all full years. Derived from ERA5 through Open-Meteo',
    latitude = 'Latitude of the middle of the region, rounded to half a degree, for the map only',
    longitude = 'Longitude of the middle of the region, rounded to half a degree, for the map only'
  )
);
WITH places AS (
  SELECT region, latitude::DOUBLE AS latitude, longitude::DOUBLE AS longitude
  FROM (
    VALUES
      ('Cerrado', -19, -47), ('Espírito Santo', -19.5, -40.5), ('Sul de Minas', -21.5, -45.5),
      ('Antioquia', 6.5, -75.5), ('Caldas', 5, -75.5), ('Cauca', 2.5, -76.5), ('Huila', 2.5, -75.5),
      ('Jimma', 7.5, 36.5), ('Kaffa', 7.5, 36), ('Limu', 8, 37), ('Sidama/Yirgacheffe', 6.5, 38.5),
      ('Copán', 15, -89), ('El Paraíso', 14, -86.5), ('Montecillos', 14.5, -88), ('Santa Bárbara', 15, -88.5),
      ('Gayo', 4.5, 97), ('Java', -7.5, 112.5), ('Lampung', -5, 104.5), ('Toraja', -3, 120),
      ('Kasese', 0, 30), ('Masaka', -0.5, 31.5), ('Mbale', 1, 34), ('Rwenzori', 0.5, 30),
      ('Dak Lak', 12.5, 108), ('Dak Nong', 12, 107.5), ('Kon Tum', 14.5, 108), ('Lam Dong', 11.5, 108)
  ) AS listed(region, latitude, longitude)
),
full_years AS (
  SELECT origin, region, YEAR(month) AS year
  FROM staging.rain
  GROUP BY origin, region, YEAR(month)
  HAVING COUNT(precipitation_mm) = 12
),
spans AS (
  SELECT origin, region, COUNT(*) FILTER (WHERE year BETWEEN 1991 AND 2020) >= 25 AS has_standard, MIN(year) AS first_year, MAX(year) AS last_year
  FROM full_years
  GROUP BY origin, region
),
normals AS (
  SELECT
    rain.origin,
    rain.region,
    MONTH(rain.month) AS calendar_month,
    /* The order of a sum changes its last digits */
    ROUND(AVG(rain.precipitation_mm), 6) AS normal_mm,
    MIN(CASE WHEN spans.has_standard THEN '1991-2020' ELSE spans.first_year || '-' || spans.last_year END) AS normal_years
  FROM staging.rain
  JOIN full_years ON full_years.origin = rain.origin AND full_years.region = rain.region AND full_years.year = YEAR(rain.month)
  JOIN spans ON spans.origin = rain.origin AND spans.region = rain.region
  WHERE NOT spans.has_standard OR full_years.year BETWEEN 1991 AND 2020
  GROUP BY rain.origin, rain.region, MONTH(rain.month)
)
SELECT
  rain.origin,
  rain.region,
  rain.month,
  rain.precipitation_mm,
  CASE rain.origin WHEN 'vn' THEN 'Vietnam' ELSE UPPER(SUBSTRING(rain.origin, 1, 1)) || SUBSTRING(rain.origin, 2) END AS country_name,
  normals.normal_mm,
  normals.normal_years,
  places.latitude,
  places.longitude
FROM staging.rain
LEFT JOIN normals
  ON normals.origin = rain.origin AND normals.region = rain.region AND normals.calendar_month = MONTH(rain.month)
LEFT JOIN places ON places.region = rain.region
ORDER BY rain.origin, rain.region, rain.month

#!/usr/bin/env python3
"""Recomputes BeanFlows' headline figures from the landed files with pandas, without its models, and compares them with a lakehouse.

    beanflows_figures.py LANDING LAKEHOUSE

Prints each figure; the exit code is 1 if one differs.
"""

import pathlib
import re
import sys

import duckdb
import pandas as pd

landing = pathlib.Path(sys.argv[1])
lakehouse = duckdb.connect()
lakehouse.execute(f"ATTACH '{sys.argv[2]}' AS lakehouse (READ_ONLY)")
wrong = 0


def served(query):
    return lakehouse.execute(query.replace("serving.", "lakehouse.serving.")).fetchone()[0]


def equal(name, ours, theirs):
    global wrong
    same = ours == theirs if isinstance(ours, str) else abs(float(ours) - float(theirs)) <= 1e-9 * max(1.0, abs(float(ours)))
    wrong += not same
    shown = ours if isinstance(ours, str) else f"{float(ours):,.4f}"
    print(f"{'same ' if same else 'WRONG'} {name}: {shown}" + ("" if same else f", but served {theirs}"))


def newest(prefix):
    return sorted(landing.glob(f"{prefix}*.csv"))[-1]


# Supply: the newest vintage, by its months of revision or its name.
vintages = {}
for path in sorted(landing.glob("usda_psd_coffee_*.csv*")):
    frame = pd.read_csv(path, dtype=str)
    named = re.search(r"\d{4}-\d{2}", path.name)
    if "Calendar_Year" in frame:
        dated = frame[frame.Month.between("01", "12")]
        vintage = (dated.Calendar_Year + "-" + dated.Month).max()
        by_end = frame.Market_Year.astype(int).max() > frame.Calendar_Year.astype(int).max()
    else:
        vintage, by_end = named.group(), named.group() < "2023"
    frame["season"] = frame.Market_Year.astype(int) - int(by_end)
    frame["bags"] = frame.Value.astype(float)
    vintages[vintage] = frame
last = vintages[max(vintages)]
total = last.pivot_table(index="season", columns="Attribute_Description", values="bags", aggfunc="sum")
season = total.index.max()
world = total.loc[season]
row = f"FROM serving.global_balance WHERE market_year = {season}"
equal("newest season", f"{season}/{(season + 1) % 100:02d}", served("SELECT max(season) FROM serving.global_balance"))
for column, attribute in [
    ("production", "Production"),
    ("domestic_consumption", "Domestic Consumption"),
    ("ending_stocks", "Ending Stocks"),
    ("beginning_stocks", "Beginning Stocks"),
    ("imports", "Imports"),
    ("exports", "Exports"),
]:
    equal(f"world {column}", world[attribute], served(f"SELECT {column} {row}"))
equal("world stock-to-use", world["Ending Stocks"] / world["Domestic Consumption"], served(f"SELECT stock_to_use {row}"))
gap = world["Beginning Stocks"] + world["Production"] + world["Imports"] - world["Domestic Consumption"] - world["Exports"] - world["Ending Stocks"]
equal("world balance gap", gap, served(f"SELECT balance_gap {row}"))
for country in ["Brazil", "Vietnam", "European Union"]:
    own = last[last.Country_Name.str.strip() == country].pivot_table(index="season", columns="Attribute_Description", values="bags", aggfunc="sum").loc[season]
    where = f"FROM serving.commodity_metrics WHERE country_name = '{country}' AND market_year = {season}"
    equal(f"{country} production", own["Production"], served(f"SELECT production {where}"))
    use = own["Domestic Consumption"] + own["Exports"]
    equal(f"{country} stock-to-use", own["Ending Stocks"] / use, served(f"SELECT stock_to_use {where}"))
for vintage, frame in vintages.items():
    frame = frame[frame.Attribute_Description == "Production"].groupby("season").bags.sum()
    where = f"FROM serving.supply_revisions WHERE country_name = 'World' AND vintage = '{vintage}'"
    equal(f"world production as of {vintage}", frame[frame.index.max()], served(f"SELECT arg_max(production, market_year) {where}"))

# Prices.
prices = pd.read_csv(newest("worldbank_pinksheet_coffee_monthly"))
equal("newest arabica", prices.arabica_usd_per_kg.iloc[-1], served("SELECT arg_max(arabica, month) FROM serving.coffee_prices"))
equal("newest spread", prices.arabica_usd_per_kg.iloc[-1] - prices.robusta_usd_per_kg.iloc[-1], served("SELECT arg_max(spread, month) FROM serving.coffee_prices"))
equal("arabica in 12 months", prices.arabica_usd_per_kg.iloc[-1] / prices.arabica_usd_per_kg.iloc[-13] - 1, served("SELECT arg_max(arabica_change_12m, month) FROM serving.coffee_prices"))
# BLS, CPI-U: 1977 was 60.6, 2025 was 321.943.
peak = prices[prices.month == "1977M04"].arabica_usd_per_kg.iloc[0]
equal("arabica of April 1977, real", peak * 321.943 / 60.6, served("SELECT arabica_real FROM serving.coffee_prices WHERE month = '1977-04-01'"))
season_price = prices[prices.month.between("2022M10", "2023M09")].arabica_usd_per_kg.mean()
equal("arabica of 2022/23", season_price, served("SELECT avg(arabica) FROM serving.coffee_prices WHERE month BETWEEN '2022-10-01' AND '2023-09-01'"))

# Positions.
positions = pd.read_csv(newest("cot_coffee_disaggregated_")).sort_values("date")
net = positions.mm_long - positions.mm_short
window = net.iloc[-156:]
equal("managed money, net", net.iloc[-1], served("SELECT arg_max(managed_money_net, report_date) FROM serving.cot_positioning"))
equal("COT index", 100 * (net.iloc[-1] - window.min()) / (window.max() - window.min()), served("SELECT arg_max(cot_index_3y, report_date) FROM serving.cot_positioning"))
equal("COT percentile", 100 * (window.iloc[:-1] < net.iloc[-1]).mean(), served("SELECT arg_max(cot_percentile_3y, report_date) FROM serving.cot_positioning"))
equal("weeks without an index", 155, served("SELECT count(*) FROM serving.cot_positioning WHERE cot_index_3y IS NULL"))

# Imports.
imports = pd.read_csv(newest("us_coffee_imports_hts0901_monthly_by_origin"))
months = sorted(imports.month.unique())[-12:]
year = imports[imports.month.isin(months)]
recent = "FROM serving.us_imports WHERE month > (SELECT max(month) FROM serving.us_imports) - INTERVAL 1 YEAR"
equal("US imports in 12 months, t", year.imports_mt.sum(), served(f"SELECT sum(metric_tons) {recent}"))
shares = year.groupby("origin").imports_mt.sum() / year.imports_mt.sum()
equal("largest origin", shares.idxmax(), served(f"SELECT origin {recent} GROUP BY origin ORDER BY sum(metric_tons) DESC LIMIT 1"))
equal("concentration", (100 * shares).pow(2).sum(), served(f"SELECT sum(pow(100 * tons / total, 2)) FROM (SELECT sum(metric_tons) AS tons, sum(sum(metric_tons)) OVER () AS total {recent} GROUP BY origin)"))

# Rain: of one model, against the normal of its full years, rounded as it is served.
path = newest("era5_monthly_precip_coffee_regions_")
rain = pd.read_csv(path)
if "models=era5" not in path.name:
    rain = rain[rain.month >= "2017-01"]
rain["year"] = rain.month.str[:4].astype(int)
brazil = rain[rain.origin == "brazil"]
full = brazil.groupby(["region", "year"]).precip_mm.transform("count") == 12
normal_years = brazil.year.between(1991, 2020) if brazil[full].year.between(1991, 2020).any() and brazil[full & brazil.year.between(1991, 2020)].year.nunique() >= 25 else full
normals = brazil[full & normal_years].assign(calendar=lambda frame: frame.month.str[5:]).groupby(["region", "calendar"]).precip_mm.mean().round(6)
months = sorted(brazil.month.unique())[-12:]
newest_rain = brazil[brazil.month.isin(months)]
expected = newest_rain.apply(lambda row: normals[(row.region, row.month[5:])], axis=1).sum()
recent = "FROM serving.rainfall WHERE origin = 'brazil' AND month > (SELECT max(month) FROM serving.rainfall) - INTERVAL 1 YEAR"
equal("rain in Brazil, 12 months, of normal", newest_rain.precip_mm.sum() / expected, served(f"SELECT sum(precipitation_mm) / sum(normal_mm) {recent}"))

sys.exit(1 if wrong else 0)

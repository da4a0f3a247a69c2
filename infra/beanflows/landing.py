#!/usr/bin/env python3
"""Converts a downloaded official file to the layout that the models read, or explains why it is not as expected.

    landing.py psd|cot|prices|rain DOWNLOADED LANDED
    landing.py rain-url                         prints where the rain is downloaded from
"""

import calendar
import csv
import datetime
import io
import json
import os
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
import zipfile

PSD_COLUMNS = ["Commodity_Code", "Country_Code", "Market_Year", "Attribute_ID", "Unit_ID", "Value"]
# The models' column names and the CFTC's; some of the latter end in `_all` in only one of its datasets.
COT_COLUMNS = {
    "oi": "open_interest",
    "mm_long": "m_money_positions_long",
    "mm_short": "m_money_positions_short",
    "pm_long": "prod_merc_positions_long",
    "pm_short": "prod_merc_positions_short",
    "sd_long": "swap_positions_long",
    "sd_short": "swap__positions_short",
    "other_long": "other_rept_positions_long",
    "other_short": "other_rept_positions_short",
}
# Origin, region, and about the middle of it: latitude and longitude. ERA5's grid is a quarter of a degree.
REGIONS = [
    ("brazil", "Cerrado", -19, -47), ("brazil", "Espírito Santo", -19.5, -40.5), ("brazil", "Sul de Minas", -21.5, -45.5),
    ("colombia", "Antioquia", 6.5, -75.5), ("colombia", "Caldas", 5, -75.5), ("colombia", "Cauca", 2.5, -76.5), ("colombia", "Huila", 2.5, -75.5),
    ("ethiopia", "Jimma", 7.5, 36.5), ("ethiopia", "Kaffa", 7.5, 36), ("ethiopia", "Limu", 8, 37), ("ethiopia", "Sidama/Yirgacheffe", 6.5, 38.5),
    ("honduras", "Copán", 15, -89), ("honduras", "El Paraíso", 14, -86.5), ("honduras", "Montecillos", 14.5, -88), ("honduras", "Santa Bárbara", 15, -88.5),
    ("indonesia", "Gayo", 4.5, 97), ("indonesia", "Java", -7.5, 112.5), ("indonesia", "Lampung", -5, 104.5), ("indonesia", "Toraja", -3, 120),
    ("uganda", "Kasese", 0, 30), ("uganda", "Masaka", -0.5, 31.5), ("uganda", "Mbale", 1, 34), ("uganda", "Rwenzori", 0.5, 30),
    ("vn", "Dak Lak", 12.5, 108), ("vn", "Dak Nong", 12, 107.5), ("vn", "Kon Tum", 14.5, 108), ("vn", "Lam Dong", 11.5, 108),
]
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


class NotExpected(Exception):
    """The file does not have the layout that its source used to publish."""


def psd(path):
    """Returns the only CSV file in the archive, unchanged."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise NotExpected(f"expected one CSV file in the archive, found {names}")
        text = archive.read(names[0]).decode("utf-8-sig")
    header = next(csv.reader(io.StringIO(text)), [])
    lacking = [name for name in PSD_COLUMNS if name not in header]
    if lacking:
        raise NotExpected(f"missing columns: {', '.join(lacking)}")
    return text


def cot(path):
    """Returns one line per weekly report, with the net positions."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reports = csv.DictReader(file)
        known = reports.fieldnames or []

        def column(name):
            for candidate in (name, f"{name}_all"):
                if candidate in known:
                    return candidate
            raise NotExpected(f"missing column {name}")

        date = column("report_date_as_yyyy_mm_dd")
        columns = {ours: column(theirs) for ours, theirs in COT_COLUMNS.items()}
        lines = []
        for report in reports:
            line = {"date": report[date][:10]}
            line.update({ours: int(float(report[theirs])) for ours, theirs in columns.items()})
            for who in ("mm", "pm", "sd", "other"):
                line[f"{who}_net"] = line[f"{who}_long"] - line[f"{who}_short"]
            lines.append(line)
    return table(sorted(lines, key=lambda line: line["date"]))


def prices(path):
    """Returns month, arabica and robusta from the sheet `Monthly Prices`."""
    rows = list(sheet(path, "Monthly Prices"))
    heads = [row for row in rows if "Coffee, Arabica" in row.values() and "Coffee, Robusta" in row.values()]
    if not heads:
        raise NotExpected("no header row with the columns Coffee, Arabica and Coffee, Robusta")
    at = {name: column for column, name in heads[0].items()}
    arabica, robusta = at["Coffee, Arabica"], at["Coffee, Robusta"]
    lines = [
        {"month": row["A"], "arabica_usd_per_kg": row[arabica], "robusta_usd_per_kg": row[robusta]}
        for row in rows
        if re.fullmatch(r"\d{4}M\d{2}", row.get("A", "")) and is_number(row.get(arabica)) and is_number(row.get(robusta))
    ]
    return table(lines)


def rain_url(today):
    """Returns the address of the daily rain since 1991 in every region, of ERA5 alone, up to the last full month."""
    key = os.environ.get("OPEN_METEO_KEY")
    query = {
        "latitude": ",".join(str(region[2]) for region in REGIONS),
        "longitude": ",".join(str(region[3]) for region in REGIONS),
        "start_date": "1991-01-01",
        # ERA5 is complete about five days after a month.
        "end_date": ((today - datetime.timedelta(days=6)).replace(day=1) - datetime.timedelta(days=1)).isoformat(),
        "daily": "precipitation_sum",
        "timezone": "UTC",
        # Otherwise the service answers with a finer model from 2017 on, which disagrees with ERA5.
        "models": "era5",
        **({"apikey": key} if key else {}),
    }
    # The free service is for non-commercial use.
    host = "customer-archive-api.open-meteo.com" if key else "archive-api.open-meteo.com"
    return f"https://{host}/v1/archive?{urllib.parse.urlencode(query, safe=',')}"


def rain(path):
    """Returns the sum of each region's full months."""
    with open(path, encoding="utf-8") as file:
        places = json.load(file)
    places = places if isinstance(places, list) else [places]
    if len(places) != len(REGIONS):
        raise NotExpected(f"expected {len(REGIONS)} regions, found {len(places)}")
    lines = []
    for (origin, region, *_), place in zip(REGIONS, places):
        months = {}
        for day, fell in zip(place["daily"]["time"], place["daily"]["precipitation_sum"]):
            if fell is not None:
                months.setdefault(day[:7], []).append(float(fell))
        for month, days in sorted(months.items()):
            if len(days) == calendar.monthrange(int(month[:4]), int(month[5:]))[1]:
                lines.append({"origin": origin, "region": region, "month": month, "precip_mm": f"{sum(days):.1f}"})
    return table(lines)


def sheet(path, name):
    """Yields each row of a worksheet as a dictionary from column letters to texts."""
    with zipfile.ZipFile(path) as archive:
        texts = []
        if "xl/sharedStrings.xml" in archive.namelist():
            for item in ElementTree.fromstring(archive.read("xl/sharedStrings.xml")):
                texts.append("".join(part.text or "" for part in item.iter(f"{SHEET}t")).strip())
        links = {link.get("Id"): link.get("Target") for link in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))}
        sheets = {one.get("name"): one.get(LINK) for one in ElementTree.fromstring(archive.read("xl/workbook.xml")).iter(f"{SHEET}sheet")}
        if name not in sheets:
            raise NotExpected(f"missing sheet {name}; found {', '.join(sheets)}")
        target = links[sheets[name]].lstrip("/")
        content = archive.read(target if target.startswith("xl/") else f"xl/{target}")
    for row in ElementTree.fromstring(content).iter(f"{SHEET}row"):
        cells = {}
        for cell in row:
            value = cell.find(f"{SHEET}v")
            inline = "".join(part.text or "" for part in cell.iter(f"{SHEET}t"))
            text = inline if value is None else value.text or ""
            cells[re.sub(r"\d", "", cell.get("r"))] = texts[int(text)] if cell.get("t") == "s" and text else text.strip()
        yield cells


def is_number(text):
    try:
        return float(text or "") > 0
    except ValueError:
        return False


def table(lines):
    if not lines:
        raise NotExpected("the file has no rows")
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def main():
    if sys.argv[1:] == ["rain-url"]:
        print(rain_url(datetime.date.today()))
        return
    try:
        source, downloaded, landed = sys.argv[1:]
        convert = {"psd": psd, "cot": cot, "prices": prices, "rain": rain}[source]
    except (ValueError, KeyError):
        sys.exit(__doc__)
    try:
        text = convert(downloaded)
    except (NotExpected, zipfile.BadZipFile, KeyError, TypeError, ValueError, ElementTree.ParseError) as problem:
        sys.exit(f"landing.py: the file of {source} is not as expected: {problem}")
    with open(landed, "w", newline="", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Brings a downloaded official file into the layout that the models read, or says why it is not what was expected.

    landing.py psd|cot|prices DOWNLOADED LANDED
"""

import csv
import io
import re
import sys
import xml.etree.ElementTree as ElementTree
import zipfile

PSD_COLUMNS = ["Commodity_Code", "Country_Code", "Market_Year", "Attribute_ID", "Unit_ID", "Value"]
# What the models call a column, and what the CFTC does; there, some names end in `_all` in one dataset and not in the other.
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
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


class NotExpected(Exception):
    """The file is not what its source used to publish."""


def psd(path):
    """The one CSV file in the archive, as it is."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise NotExpected(f"one CSV file was expected in the archive, not {names}")
        text = archive.read(names[0]).decode("utf-8-sig")
    header = next(csv.reader(io.StringIO(text)), [])
    lacking = [name for name in PSD_COLUMNS if name not in header]
    if lacking:
        raise NotExpected(f"columns are missing: {', '.join(lacking)}")
    return text


def cot(path):
    """One line for each weekly report, with the net positions."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reports = csv.DictReader(file)
        known = reports.fieldnames or []

        def column(name):
            for candidate in (name, f"{name}_all"):
                if candidate in known:
                    return candidate
            raise NotExpected(f"there is no column {name}")

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
    """Month, arabica and robusta out of the sheet `Monthly Prices`."""
    rows = list(sheet(path, "Monthly Prices"))
    heads = [row for row in rows if "Coffee, Arabica" in row.values() and "Coffee, Robusta" in row.values()]
    if not heads:
        raise NotExpected("no row names the columns Coffee, Arabica and Coffee, Robusta")
    at = {name: column for column, name in heads[0].items()}
    arabica, robusta = at["Coffee, Arabica"], at["Coffee, Robusta"]
    lines = [
        {"month": row["A"], "arabica_usd_per_kg": row[arabica], "robusta_usd_per_kg": row[robusta]}
        for row in rows
        if re.fullmatch(r"\d{4}M\d{2}", row.get("A", "")) and is_number(row.get(arabica)) and is_number(row.get(robusta))
    ]
    return table(lines)


def sheet(path, name):
    """Each row of a sheet of a workbook, as a dictionary from column letters to texts."""
    with zipfile.ZipFile(path) as archive:
        texts = []
        if "xl/sharedStrings.xml" in archive.namelist():
            for item in ElementTree.fromstring(archive.read("xl/sharedStrings.xml")):
                texts.append("".join(part.text or "" for part in item.iter(f"{SHEET}t")).strip())
        links = {link.get("Id"): link.get("Target") for link in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))}
        sheets = {one.get("name"): one.get(LINK) for one in ElementTree.fromstring(archive.read("xl/workbook.xml")).iter(f"{SHEET}sheet")}
        if name not in sheets:
            raise NotExpected(f"there is no sheet {name}, only {', '.join(sheets)}")
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
        raise NotExpected("there is not one line of figures in it")
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def main():
    try:
        source, downloaded, landed = sys.argv[1:]
        convert = {"psd": psd, "cot": cot, "prices": prices}[source]
    except (ValueError, KeyError):
        sys.exit(__doc__)
    try:
        text = convert(downloaded)
    except (NotExpected, zipfile.BadZipFile, KeyError, ValueError, ElementTree.ParseError) as problem:
        sys.exit(f"landing.py: what {source} sent is not what was expected: {problem}")
    with open(landed, "w", newline="", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()

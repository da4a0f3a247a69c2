"""A Streamlit app on published data: streamlit run streamlit_app.py

Every rerun shows the newest generation, and reads only that one.
"""

import os

import materia
import streamlit as st


@st.cache_resource
def reader() -> materia.Reader:
    return materia.Reader(os.environ.get("SERVING_DUCKDB_PATH", "analytics.duckdb"))


with reader().pin() as pinned:
    years = pinned.execute(
        "SELECT DISTINCT market_year FROM commodity_metrics ORDER BY market_year DESC"
    ).fetchall()
    st.title("Coffee production")
    year = st.selectbox("Market year", [year for (year,) in years])
    rows = pinned.execute(
        "SELECT country_name, production FROM commodity_metrics"
        " WHERE market_year = ? ORDER BY production DESC NULLS LAST LIMIT 20",
        [year],
    ).df()
    st.dataframe(rows)
    st.caption(f"generation {pinned.generation}")
if reader().problem:
    st.warning(f"The newest data cannot be read: {reader().problem}")

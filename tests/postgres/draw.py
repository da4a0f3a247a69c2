"""Apache Superset reads from `materia postgres`, through its own API: adds a database, syncs columns, builds and runs a chart.

    draw.py PORT KEY

Run with the Python of an environment with apache-superset and psycopg2-binary. Superset keeps its own data in a temporary folder.
"""

import json
import os
import pathlib
import sys
import tempfile

port, key = int(sys.argv[1]), sys.argv[2]
folder = pathlib.Path(tempfile.mkdtemp(prefix="superset-"))
(folder / "superset_config.py").write_text(
    f"""
SECRET_KEY = "only-for-this-test-only-for-this-test"
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/superset.db"
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
"""
)
os.environ["SUPERSET_CONFIG_PATH"] = str(folder / "superset_config.py")
os.environ["SUPERSET_HOME"] = str(folder)

from flask_migrate import upgrade  # noqa: E402
from superset.app import create_app  # noqa: E402


def check(promise, found, wanted):
    if found != wanted:
        print(f"BROKEN {promise}: {found!r}, not {wanted!r}")
        sys.exit(1)
    print(f"ok {promise}", flush=True)


app = create_app()
with app.app_context():
    import superset

    upgrade(directory=str(pathlib.Path(superset.__file__).parent / "migrations"))
    superset.appbuilder.sm.sync_role_definitions()
    manager = superset.appbuilder.sm
    manager.add_user("admin", "A", "B", "admin@example.test", manager.find_role("Admin"), password="admin")

client = app.test_client()
login = client.post("/api/v1/security/login", json={"username": "admin", "password": "admin", "provider": "db", "refresh": True})
head = {"Authorization": f"Bearer {login.json['access_token']}"}


def call(method, path, wanted=(200, 201), **body):
    answer = getattr(client, method)(path, headers=head, json=body or None)
    if answer.status_code not in wanted:
        print(f"BROKEN {method} {path}: {answer.status_code} {answer.get_data(as_text=True)[:2000]}")
        sys.exit(1)
    return answer.json


uri = f"postgresql+psycopg2://anybody:{key}@127.0.0.1:{port}/analytics"
tested = call("post", "/api/v1/database/test_connection/", database_name="materia", sqlalchemy_uri=uri)
check("the connection is tested", tested["message"], "OK")
database = call("post", "/api/v1/database/", database_name="materia", sqlalchemy_uri=uri, expose_in_sqllab=True)["id"]
schemas = call("get", f"/api/v1/database/{database}/schemas/")["result"]
check("the schema is listed", "serving" in schemas, True)
tables = call("get", f"/api/v1/database/{database}/tables/?q=(schema_name:serving)")["result"]
check("tables are listed", {"psd", "types"} <= {table["value"] for table in tables}, True)
dataset = call("post", "/api/v1/dataset/", database=database, schema="serving", table_name="psd")["id"]
call("put", f"/api/v1/dataset/{dataset}/refresh")
columns = call("get", f"/api/v1/dataset/{dataset}")["result"]["columns"]
check("columns are synced", {column["column_name"]: column["type"] for column in columns}, {"year": "INTEGER", "country": "TEXT", "value": "NUMERIC(21, 1)"})

metric = {"expressionType": "SQL", "sqlExpression": "AVG(value)", "label": "average"}
query = {
    "columns": ["country"],
    "metrics": [metric],
    "filters": [{"col": "year", "op": ">=", "val": 2010}],
    "orderby": [[metric, False]],
    "row_limit": 5,
}
source = {"id": dataset, "type": "table"}
context = {"datasource": source, "queries": [query], "result_format": "json", "result_type": "full", "form_data": {"viz_type": "table", "datasource": f"{dataset}__table"}}
params = {"viz_type": "table", "groupby": ["country"], "metrics": [metric], "datasource": f"{dataset}__table"}
chart = call("post", "/api/v1/chart/", slice_name="averages", viz_type="table", datasource_id=dataset, datasource_type="table", params=json.dumps(params), query_context=json.dumps(context))["id"]
rows = call("get", f"/api/v1/chart/{chart}/data/")["result"][0]["data"]
check("a chart has rows", (len(rows), set(rows[0])), (5, {"country", "average"}))
rows = call("post", "/api/v1/chart/data", **context)["result"][0]
check("its query runs", (rows["status"], rows["rowcount"]), ("success", 5))
trend = {**query, "columns": [], "filters": [], "orderby": [], "metrics": [{"expressionType": "SIMPLE", "column": {"column_name": "value"}, "aggregate": "SUM", "label": "sum"}]}
rows = call("post", "/api/v1/chart/data", **{**context, "queries": [trend]})["result"][0]["data"]
check("a sum is the table's", float(rows[0]["sum"]), 749250.0)

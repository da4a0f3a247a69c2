"""Runs an example app, publishes another generation, and checks that the app shows it.

    apps.py streamlit|quart MATERIA          in a folder with a demo that is served
"""

import asyncio
import importlib.util
import os
import subprocess
import sys

app, command = sys.argv[1:3]
examples = os.environ["EXAMPLES"]


def publish():
    for words in (["demo", ".", "--refresh"], ["export", "-q"]):
        subprocess.run([command, *words], check=True, stdout=subprocess.DEVNULL)


def of_streamlit():
    from streamlit.testing.v1 import AppTest

    test = AppTest.from_file(f"{examples}/streamlit_app.py", default_timeout=60)

    def shown():
        test.run()
        assert not test.exception, test.exception
        return test.caption[0].value, len(test.dataframe[0].value)

    return shown


def of_quart():
    spec = importlib.util.spec_from_file_location("quart_app", f"{examples}/quart_app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    client = module.app.test_client()

    async def get():
        answers = await asyncio.gather(*(client.get("/countries") for _ in range(8)))
        assert all(answer.status_code == 200 for answer in answers)
        documents = [await answer.get_json() for answer in answers]
        assert all(document == documents[0] for document in documents)
        return documents[0]["generation"], len(documents[0]["rows"])

    return lambda: asyncio.run(get())


shown = of_streamlit() if app == "streamlit" else of_quart()
before = shown()
assert before[1] > 0, before
publish()
after = shown()
assert after[0] != before[0] and after[1] > 0, (before, after)
print(before, after)

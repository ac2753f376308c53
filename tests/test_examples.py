"""The examples, with the embedded model: each question is answered by really calling things. What is checked is which call was
made and what it gave; what a model of this size then says about it is not."""
import json
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_agent_cli import TENON, own_state, write  # noqa: F401 (own_state keeps the user's state out)


def ask(tools, question, *more):
    p = subprocess.run([TENON, "run", "--json", "--no-history", "--max-tokens", "60", "--tools", str(tools), *more, question], capture_output=True, text=True, timeout=280)
    assert p.returncode in (0, 4), p.stdout + p.stderr
    report = json.loads(p.stdout)
    assert report["text"] and report["calls"], report
    return p.returncode, report["calls"][0]


def one(tools, question, name, arguments, *more):
    rc, c = ask(tools, question, *more)
    assert rc == 0 and (c["name"], json.loads(c["arguments"]) if isinstance(c["arguments"], str) else c["arguments"]) == (name, arguments), c
    return json.loads(c["result"])


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setenv("TENON_HOME", str(tmp_path / "home.json"))
    return tmp_path / "home.json"


def test_home_automation(house):
    tools = "examples/home/tools.json"
    assert one(tools, "dim the light in the kitchen to 10", "set_light", {"room": "kitchen", "brightness": 10})["light"] == 10
    assert one(tools, "set the heating in the bedroom to 21 degrees", "set_heating", {"room": "bedroom", "degrees": 21})["heating"] == 21
    assert one(tools, "how is the kitchen set?", "get_room", {"room": "kitchen"})["light"] == 10
    rc, c = ask(tools, "unlock the front door")
    assert rc == 4 and not c["ran"] and json.loads(house.read_text())["locked"], "nobody was there to allow it"
    assert one(tools, "unlock the front door", "lock_door", {"locked": False}, "--approve", "all") == {"front_door": "open"}


def test_orders_in_a_database(tmp_path, monkeypatch):
    monkeypatch.setenv("TENON_ORDERS", str(tmp_path / "orders.db"))
    tools = "examples/orders/tools.json"
    found = one(tools, "find the orders of Maria Lopez", "find_orders", {"customer": "Maria Lopez"})["orders"]
    assert [o["order_id"] for o in found] == [1041, 1042]
    assert one(tools, "get order 1043", "get_order", {"order_id": 1043})["item"] == "office chair"
    rc, c = ask(tools, "cancel order 1042")
    assert rc == 4 and not c["ran"]
    assert one(tools, "cancel order 1042", "cancel_order", {"order_id": 1042}, "--approve", "all")["status"] == "cancelled"
    assert one(tools, "get order 1042", "get_order", {"order_id": 1042})["status"] == "cancelled"


def test_what_a_model_says_is_no_sql(tmp_path, monkeypatch):
    monkeypatch.setenv("TENON_ORDERS", str(tmp_path / "orders.db"))
    p = subprocess.run([TENON, "tools", "test", "--tools", "examples/orders/tools.json", "find_orders", json.dumps({"customer": "x'; drop table orders; --"})],
                       capture_output=True, text=True, timeout=120)
    assert json.loads(p.stdout) == {"orders": []}


def test_weather_by_http(monkeypatch):
    if "http client: yes" not in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("built without libcurl")
    stub = subprocess.Popen([sys.executable, "examples/weather/stub.py", "0"], stdout=subprocess.PIPE, text=True)
    try:
        monkeypatch.setenv(*stub.stdout.readline().strip().split("=", 1))
        tools = "examples/weather/tools.json"
        assert one(tools, "what is the weather in Paris?", "get_weather", {"city": "Paris"}) == {"city": "Paris", "temperature": 14, "units": "celsius", "sky": "rain"}
        assert one(tools, "weather in Oslo in fahrenheit", "get_weather", {"city": "Oslo", "units": "fahrenheit"})["temperature"] == 39
    finally:
        stub.kill()
        stub.wait()


def test_files_by_an_mcp_server_of_npm(tmp_path, monkeypatch):
    server = os.path.abspath(".npm/node_modules/.bin/mcp-server-filesystem")
    if not os.path.exists(server):
        pytest.skip("server-filesystem of npm is not here (make deps fetches it)")
    folder = tmp_path / "files"
    (folder / "letters").mkdir(parents=True)
    write(folder / "letters" / "anna.txt", "Dear Anna\n")
    write(folder / "notes.txt", "buy milk\n")
    monkeypatch.setenv("TENON_FILES", str(folder))
    config = json.load(open("examples/files.json"))
    files = config["mcpServers"]["files"]
    assert files["command"] == "npx" and files["args"][1] == "@modelcontextprotocol/server-filesystem"
    files.update(command=server, args=files["args"][2:])     # what npx would start, without asking the registry
    tools = write(tmp_path / "files.json", config)
    rc, c = ask(tools, "get a listing of the directory letters")
    assert c["name"] == "list_directory" and "anna.txt" in c["result"], c
    rc, c = ask(tools, "read the text file notes.txt")
    assert c["name"] == "read_text_file" and "buy milk" in c["result"], c


def test_python_functions():
    library = os.path.join(os.path.dirname(TENON), "libtenon.so")
    if not os.path.exists(library) or b"__asan_init" in open(library, "rb").read():
        pytest.skip("no library that Python can load")
    env = dict(os.environ, TENON_LIBRARY=library, PYTHONPATH="python")
    p = subprocess.run([sys.executable, "examples/cars.py"], capture_output=True, text=True, timeout=280, env=env)
    assert p.returncode == 0 and p.stdout.startswith('get_car_price({"car_name":"Tang"') and '"price":32000' in p.stdout, p.stdout + p.stderr

#!/bin/sh
# Installs what the build and the tests need and this machine lacks: Debian packages, and a Python
# virtual environment in .venv for the tests that call Python packages. Does nothing when all is there.
set -eu
cd "$(dirname "$0")/.."

missing=""
need() { missing="$missing $1"; }
command -v cc >/dev/null 2>&1 || need gcc
command -v ninja >/dev/null 2>&1 || need ninja-build
command -v meson >/dev/null 2>&1 || need meson
command -v pkg-config >/dev/null 2>&1 || need pkg-config
command -v python3 >/dev/null 2>&1 || need python3
[ -x .venv/bin/python ] || python3 -c "import ensurepip" >/dev/null 2>&1 || need python3-venv
has() { command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$1"; }
has libpcre2-8 || need libpcre2-dev
has libzstd || need libzstd-dev
has zlib || need zlib1g-dev
has libidn2 || need libidn2-dev
has libxxhash || need libxxhash-dev
has sqlite3 || need libsqlite3-dev
has libseccomp || need libseccomp-dev
has libedit || need libedit-dev
command -v bwrap >/dev/null 2>&1 || need bubblewrap
command -v tmux >/dev/null 2>&1 || need tmux
has libcurl || need libcurl4-openssl-dev
has libmicrohttpd || need libmicrohttpd-dev
has cmocka || need libcmocka-dev

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "deps: please install:$missing (this script only knows apt-get)" >&2
        exit 1
    fi
    sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
    echo "deps: installing$missing"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $missing >/dev/null
fi

# The tests that need these say "skipped" without them, so no network is no failure here.
if [ ! -x .venv/bin/python ]; then
    if ! python3 -m venv .venv >/dev/null 2>&1; then rm -rf .venv; echo "deps: no python3-venv: Python tests will be skipped" >&2; exit 0; fi
    .venv/bin/python -m pip install -q pytest jsonschema jinja2 >/dev/null 2>&1 ||
        { rm -rf .venv; echo "deps: Python packages cannot be fetched: Python tests will be skipped" >&2; exit 0; }
fi
.venv/bin/python -c "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('numpy', 'gguf', 'tokenizers', 'xxhash'))))" ||
    .venv/bin/python -m pip install -q numpy gguf tokenizers xxhash >/dev/null 2>&1 ||
    echo "deps: numpy, gguf, tokenizers and xxhash cannot be fetched: the tests of tenon convert and tools/accel will be skipped" >&2
.venv/bin/python -c "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('openai', 'anthropic', 'prometheus_client'))))" ||
    .venv/bin/python -m pip install -q openai anthropic prometheus_client >/dev/null 2>&1 ||
    echo "deps: openai, anthropic and prometheus_client cannot be fetched: the tests of tenon serve with them will be skipped" >&2
.venv/bin/python -c "import importlib.util as u, sys; sys.exit(not u.find_spec('mcp'))" ||
    .venv/bin/python -m pip install -q mcp >/dev/null 2>&1 ||
    echo "deps: mcp cannot be fetched: the tests with MCP servers of the Python package will be skipped" >&2

# MCP servers and the conformance runner, from npm; the runner needs Node 22.
conformance=@modelcontextprotocol/conformance@0.2.0-alpha.12
servers="@modelcontextprotocol/server-filesystem@2026.8.31 @modelcontextprotocol/server-everything@2026.8.31"
if command -v npm >/dev/null 2>&1; then
    if [ ! -d .npm/node_modules/@modelcontextprotocol/conformance ]; then
        node=""; node -e 'process.exit(parseInt(process.versions.node) < 22)' 2>/dev/null || node=node@22
        npm install --prefix .npm --no-audit --no-fund --loglevel error $conformance $servers $node >/dev/null 2>&1 ||
            { rm -rf .npm; echo "deps: packages of npm cannot be fetched: the tests with MCP servers from npm will be skipped" >&2; }
    fi
else
    echo "deps: no npm: the tests with MCP servers from npm will be skipped" >&2
fi

# Two commands matter: `make test` and `make demo`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.done

.DEFAULT_GOAL := test
.PHONY: test demo lab setup compiled chromium postgres lint types contracts check bench bench-million bench-phoenix bench-mutations bench-detectors scores record screenshots lock clean

test: compiled chromium postgres lint types contracts  ## all that CI does
	$(BIN)/python -m pytest -n 2 --dist worksteal

demo: compiled  ## load the recorded incidents, detect, report, and say where to look
	$(BIN)/workbench demo

lab: compiled  ## open JupyterLab on the first notebook
	$(BIN)/workbench lab

setup: $(SETUP)

compiled: setup  ## re-runs are processes that may not write: without this each would compile anew what it imports
	$(BIN)/python -m compileall -q -j 0 workbench collectors detectors sample_traces tests

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

chromium:  ## the browser tests need one; without root they skip, loudly
	@command -v chromium chromium-browser google-chrome >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	  || echo "Chromium is missing and can't be installed here: the browser tests will be SKIPPED"

postgres:  ## the tests of PostgreSQL start one of their own (so Debian's own cluster is not made); without root they skip, loudly
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null \
	  && sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } \
	  || echo "PostgreSQL is missing and can't be installed here: its tests will be SKIPPED"

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

bench: compiled  ## measure against floors taken in the same run
	$(BIN)/python -m tests.bench.ingest
	$(BIN)/python -m tests.bench.reading
	$(BIN)/python -m tests.bench.exporting
	$(BIN)/python -m tests.bench.checkpoints
	$(BIN)/python -m tests.bench.forks
	$(BIN)/python -m tests.bench.replaying
	$(BIN)/python -m tests.bench.detecting
	$(BIN)/python -m tests.bench.incidents
	$(BIN)/python -m tests.bench.views

bench-million: setup  ## a million spans: memory, and the last 100,000 against the first
	$(BIN)/python -m tests.bench.million

bench-phoenix: setup  ## beside Phoenix, which is installed into a throw-away environment
	$(BIN)/python -m tests.bench.phoenix

bench-detectors: setup  ## measure the detectors on labelled public runs, and keep the figures that findings show
	$(BIN)/python -m tests.bench.detectors

bench-mutations: setup  ## plant faults in healthy runs: what the structural detectors find, and whom they flag; keep the figures that findings show
	$(BIN)/python -m tests.bench.mutations

scores: setup  ## the scorers beside the repository, the slow one too
	WORKBENCH_SCORES=1 $(BIN)/python -m pytest tests/test_scores.py

record: setup  ## record the sample incidents anew
	$(BIN)/python -m sample_traces.record

screenshots: setup chromium  ## make README's pictures anew
	REFRESH_SCREENSHOTS=1 $(BIN)/python -m pytest -m browser tests/browser

lock: setup  ## write the versions in use to constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' > constraints.txt

clean:
	rm -rf $(VENV) workbench.db* report.html

# make quickstart   environment, corpus, vocabulary, training, held-out score, sample fills, report
# make test         environment, the whole test suite
# make build        BUILD, from the imports
# make lint         formatting and linting

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart test build lint clean

quickstart: $(VENV)/.installed
	$(BIN)/python -m sparse_mixer_tf.train --flagfile=configs/quickstart.flags --workdir=runs/quickstart

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile  # two processes: much of the time programs start up

build:
	$(PYTHON) .ci/build_file.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

# The stamp is written last, so an installation that was interrupted is done again.
$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip  # an old pip resolves these for minutes
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements.txt requirements-tpu-compile.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip  # an old pip resolves these for minutes
	$(PIP) -r requirements-dev.txt
	touch $(VENV)/.installed $@

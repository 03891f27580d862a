# make quickstart   environment, corpus, vocabulary, training, held-out score, sample fills, report
# make test         environment, the whole test suite
# make test-tpu     the same on TensorFlow 2.20, the newest that there is for TPUs, without a TPU
# make test-jax     the tests of layers on JAX, the laws of routing included
# make build        BUILD, from the imports
# make lint         formatting and linting

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart test test-tpu test-jax build lint clean

quickstart: $(VENV)/.installed
	$(BIN)/python -m sparse_mixer_tf.train --flagfile=configs/quickstart.flags --workdir=runs/quickstart

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile  # two processes: much of the time programs start up

test-tpu: $(VENV)-tpu/.installed
	$(VENV)-tpu/bin/python -m pytest -n 2 --dist loadfile

test-jax: $(VENV)/.installed-dev
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 -m "not tensorflow" tests/layers

build:
	$(PYTHON) .ci/build_file.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-tpu

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

# As for `make test`, but for the versions that requirements-tpu.txt names.
$(VENV)-tpu/.installed: requirements.txt requirements-tpu.txt requirements-tpu-compile.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)-tpu
	$(VENV)-tpu/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	cp requirements-tpu-compile.txt requirements-dev.txt $(VENV)-tpu
	sed 's/^\(tensorflow\|tensorboard\)==.*/\1==2.20.0/; s/^tensorflow-text==.*/tensorflow-text==2.20.1/' \
		requirements.txt > $(VENV)-tpu/requirements.txt
	grep '^setuptools' requirements-tpu.txt >> $(VENV)-tpu/requirements.txt
	$(VENV)-tpu/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)-tpu/requirements-dev.txt
	touch $@

# make quickstart   environment, corpus, vocabulary, training, held-out score, sample fills, report
# make test         environment, linting, the tests of every module: minutes
# make test-all     the same, the tests marked `long`, then test-jax and test-tf-2-20: an hour or so
# make test-jax     the tests of layers on JAX
# make test-tf-2-20 the tests on TensorFlow 2.20, the newest build for TPUs; needs no TPU
# make coverage     `make test` with coverage by line
# make build        BUILD, from the imports
# make lint         formatting and linting

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart test test-all test-jax test-tf-2-20 coverage build lint clean

# Two processes: a test file stays in one, since its tests share traced functions.
PYTEST = -m pytest -n 2 --dist loadfile

quickstart: $(VENV)/.installed
	$(BIN)/python -m sparse_mixer_tf.train --flagfile=configs/quickstart.flags --workdir=runs/quickstart

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python $(PYTEST) --durations=20

test-all: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	HYPOTHESIS_PROFILE=thorough $(BIN)/python $(PYTEST) --durations=40 -m "long or not long"
	$(MAKE) test-jax
	$(MAKE) test-tf-2-20

test-jax: $(VENV)/.installed-dev
	KERAS_BACKEND=jax $(BIN)/python $(PYTEST) -m "not tensorflow" tests/layers

test-tf-2-20: $(VENV)-tf-2-20/.installed
	$(VENV)-tf-2-20/bin/python $(PYTEST)

coverage: $(VENV)/.installed-dev
	$(BIN)/python $(PYTEST) --cov --cov-report=term:skip-covered

build:
	$(PYTHON) .ci/build_file.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-tf-2-20

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

# The versions that requirements-tpu.txt names, otherwise as for `make test`.
$(VENV)-tf-2-20/.installed: requirements.txt requirements-tpu.txt requirements-tpu-compile.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)-tf-2-20
	$(VENV)-tf-2-20/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	cp requirements-tpu-compile.txt requirements-dev.txt $(VENV)-tf-2-20
	sed 's/^\(tensorflow\|tensorboard\)==.*/\1==2.20.0/; s/^tensorflow-text==.*/tensorflow-text==2.20.1/' \
		requirements.txt > $(VENV)-tf-2-20/requirements.txt
	grep '^setuptools' requirements-tpu.txt >> $(VENV)-tf-2-20/requirements.txt
	$(VENV)-tf-2-20/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)-tf-2-20/requirements-dev.txt
	touch $@

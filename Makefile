# cytostorm: `make fit` and `make test` need only git, make, a C compiler and some python3.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := .tools
STAN := .cache/stan
AXE := $(TOOLS)/axe/node_modules/axe-core/axe.min.js
REPORTS ?= $(wildcard runs/*/*/report.html)
UV := $(or $(shell command -v uv 2>/dev/null),$(TOOLS)/bin/uv)
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export CYTOSTORM_CACHE ?= $(CURDIR)/.cache

.PHONY: help setup fit test test-slow test-slurm test-ray lint docs accessibility notebooks timing trials benchmark kills certificates lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## the environment, from the committed lock

$(READY): requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Where there is no uv, it is fetched into a private folder: by venv, or by pip where venv is not installed.
$(TOOLS)/bin/uv:
	@$(PYTHON) -m venv $(TOOLS) >/dev/null 2>&1 && $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv \
	  || $(PYTHON) -m pip install --quiet --disable-pip-version-check --prefix $(TOOLS) --ignore-installed uv \
	  || { echo "cytostorm: no uv on the path, and $(PYTHON) has neither venv nor pip; install uv" >&2; exit 1; }

fit: $(READY)  ## fit the data that ships and show the posterior
	$(BIN)/cytostorm fit $(ARGS)

timing: $(READY)  ## when to treat: fit a patient whose IL-6 rises, compare treatments and starts, show the decision table
	@test -f runs/timing/fit/manifest.json || $(BIN)/cytostorm fit experiment=timing hydra.run.dir=runs/timing/fit
	$(BIN)/cytostorm compare fit=runs/timing/fit start_h=0:72:12 $(ARGS)

test: lint  ## lint, types and the fast tests
	$(BIN)/python -m pytest -m "not slow and not slurm and not ray" -n 2 --dist loadfile $(ARGS)

test-slow: $(READY)  ## the slow tests: statistical checks of whole fits
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile $(ARGS)

test-slurm: $(READY)  ## sweeps on a SLURM cluster of one node, from Debian's packages (as root)
	scripts/slurm_local.sh up
	$(BIN)/python -m pytest -m slurm $(ARGS); code=$$?; scripts/slurm_local.sh down; exit $$code

test-ray: $(READY)  ## sweeps on a Ray cluster of this machine, in an environment of its own
	$(UV) venv --quiet --allow-existing --system-site-packages --python $(BIN)/python .cache/ray
	$(UV) pip install --quiet --python .cache/ray/bin/python 'ray>=2.50,<3'
	PYTHONPATH=$$(echo .cache/ray/lib/python3.*/site-packages) $(BIN)/python -m pytest -m ray $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(READY)  ## the documentation site, in site/
	$(BIN)/mkdocs build --strict --quiet

accessibility: $(READY) $(AXE)  ## check REPORTS="a/report.html ..." with axe-core in Chromium, both fetched or found
	PYTHONPATH=tests $(BIN)/python tests/accessibility.py $(AXE) $(REPORTS)

$(AXE):
	@mkdir -p $(TOOLS)/axe
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/axe axe-core@4

notebooks: $(READY)  ## run the notebooks; writes docs/notebooks
	$(BIN)/python notebooks/render.py $(ARGS)

benchmark: $(READY) $(STAN)/.ready  ## time and accuracy here, against LSODA, plain C and Stan (an hour)
	$(BIN)/cytostorm benchmark $(ARGS)
	PYTHONPATH=tests $(BIN)/python benchmarks/race.py
	PYTHONPATH=tests $(BIN)/python benchmarks/plain_c.py
	$(BIN)/python benchmarks/throughput.py
	PYTHONPATH=tests $(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/against_stan.py minimal --plain
	$(BIN)/python benchmarks/against_stan.py network --minutes 20
	$(BIN)/python benchmarks/against_stan.py hierarchical --minutes 4
	PYTHONPATH=tests $(BIN)/python benchmarks/cohorts.py
	$(BIN)/python benchmarks/timing.py
	$(BIN)/python benchmarks/page.py

trials: $(READY)  ## virtual trials, and warnings of synthetic patients; writes docs/trials.md, docs/warning.md
	$(BIN)/python benchmarks/trials.py
	$(BIN)/python benchmarks/warning.py

$(STAN)/.ready: benchmarks/stan-requirements.txt $(READY)
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(STAN)
	$(UV) pip install --quiet --python $(STAN)/bin/python --requirement $<
	@touch $@

kills: $(READY)  ## kill twenty fits at random moments and continue them: the same draws to the bit?
	$(BIN)/python tests/kills.py

certificates: $(READY)  ## certify the gradients of every trigger over its prior; writes docs/certificates.md
	$(BIN)/python tests/certificates.py

lock: | $(UV)  ## resolve requirements.lock anew
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 --extra dev \
	  --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

clean:  ## remove everything that was made here, but runs
	rm -rf $(VENV) $(TOOLS) .cache .pytest_cache .ruff_cache .hypothesis build dist site *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

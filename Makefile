# make demo: install, then faces for the example clips and voices for these faces.
# make test: install, lint, quick tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
STARTED := $(shell date +%s)

.PHONY: demo test test-full lint install
test test-full: export HF_HUB_OFFLINE = 1

demo: $(INSTALLED)
	$(BIN)/scldm generate examples/*.flac --seed 3 --out outputs/demo
	for name in anna bruno clara david; do \
	  $(BIN)/scldm voice outputs/demo/$$name/portrait_*.png --voices 1 \
	    --out outputs/demo-voices/$$name || exit; done

test: lint
	$(BIN)/pytest

test-full: lint
	$(BIN)/pytest -m "full or not full"

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: SCLDM needs Python 3.11 or newer, which '$(PYTHON)' is not;" \
	    "name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv: several GB the first time, mostly torch with CUDA"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --editable ".[dev]"
	@why=$$($(BIN)/python -W ignore -c 'import torchvision' 2>&1) || { \
	  echo "error: torchvision does not load beside this torch ($$(echo "$$why" | tail -n 1));" \
	    "take both from one index, then make again:" \
	    "$(BIN)/pip install --force-reinstall torch torchvision" \
	    "(CPU only: add --index-url https://download.pytorch.org/whl/cpu)" >&2; exit 1; }
	@echo "installed in $$(($$(date +%s) - $(STARTED))) s"
	@touch $@

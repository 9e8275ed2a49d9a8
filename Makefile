# The two commands are `make demo` and `make test`; the others are developers' habits.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed

.PHONY: demo test test-full lint
test test-full lint: export HF_HUB_OFFLINE = 1

demo: $(READY)  ## portraits for the example clips
	$(BIN)/scldm generate examples/*.flac --out outputs/demo

test: lint  ## lint, then every test but the long ones
	$(BIN)/pytest -q

test-full: test  ## the long tests as well
	$(BIN)/pytest -q -m full

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "SCLDM needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e ".[dev]"
	@$(BIN)/python -c 'import torchvision' 2>/dev/null || { \
	  echo "torchvision does not fit torch: they come from different indexes (one built for the CPU," \
	    "one for CUDA). Reinstall both from one: $(BIN)/pip install --force-reinstall" \
	    "--index-url https://download.pytorch.org/whl/cpu torch torchvision" >&2; exit 2; }
	@touch $@

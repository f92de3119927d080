# Everything is set up in .venv; all that is needed is Python 3.11 or later with pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test lint proto clean

## Completes an example with the shipped model, through a real server, and shows the stream.
run: $(VENV)/.run
	$(BIN)/python benchmarks/demo.py

## All checks: format, lint, types, protocol, tests.
test: $(VENV)/.dev lint
	$(BIN)/pytest

lint: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

## Writes the stubs of the protocol and of the graph check anew.
proto: $(VENV)/.dev
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I client --python_out=client \
		--grpc_python_out=client --mypy_out=quiet:client --mypy_grpc_out=quiet:client \
		foretype/v1/completion.proto foretype/v1/models.proto foretype/v1/workspace.proto
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I models --python_out=models \
		--mypy_out=quiet:models foretype_models/graph.proto

$(VENV)/.run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV)

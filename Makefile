# make demo         train a small SSD on generated pictures, evaluate it, draw what it sees
# make test         lint and every test
# make test-oldest  every test with the oldest versions of all packages (Python 3.11 or 3.12)
# make test-gpu     what can be tested on a GPU, with PYTHON (or PY) as it is: installs nothing
# make test-peer    the comparisons with PyTorch and torchvision, and how far apart the numbers were
# make chapters     run the chapters and save them with their outputs
# make site         build the chapters as web pages: open build/site/index.html
# make test-site    build them and check every page, in Chromium where it is installed
# Those that need it create .venv and install into it, test-oldest .venv-oldest and test-peer .venv-peer; the second time
# that takes no time.

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
  BIN := Scripts/python.exe
else
  BIN := bin/python
endif
PY := .venv/$(BIN)
STAMP := .venv/.installed
OLDEST_PY := .venv-oldest/$(BIN)
OLDEST_STAMP := .venv-oldest/.installed
KERNELS_STAMP := .venv/.installed-kernels
SITE_STAMP := .venv/.installed-site
PEER_PY := .venv-peer/$(BIN)
PEER_STAMP := .venv-peer/.installed

.PHONY: demo chapters site test-site test test-oldest test-gpu test-peer lint install install-peer clean help

help:
	@sed -n 's/^# //p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"minissd needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.12 ...")'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(STAMP)

demo: $(STAMP)
	$(PY) -m minissd demo

chapters: $(STAMP)
	$(PY) chapters/build.py

$(SITE_STAMP): $(STAMP)
	$(PY) -m pip install --quiet --disable-pip-version-check -e .[site]
	@touch $(SITE_STAMP)

site: $(SITE_STAMP)
	$(PY) chapters/web/make.py

test-site: site
	$(PY) chapters/web/check.py

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

## CUDA's compiler, for one test, which is skipped where it cannot be had: hence the minus.
$(KERNELS_STAMP): $(STAMP)
	-$(PY) -m pip install --quiet --disable-pip-version-check -e .[kernels]
	@touch $(KERNELS_STAMP)

test: lint $(KERNELS_STAMP)
	$(PY) -m pytest

$(OLDEST_STAMP): pyproject.toml requirements-oldest.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 13) else f"The oldest versions exist for Python 3.11 and 3.12; {sys.executable} is {v[0]}.{v[1]}. Name another one: make test-oldest PYTHON=python3.12")'
	test -x $(OLDEST_PY) || $(PYTHON) -m venv .venv-oldest
	$(OLDEST_PY) -m pip install --quiet --disable-pip-version-check -r requirements-oldest.txt
	$(OLDEST_PY) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(OLDEST_STAMP)

test-oldest: $(OLDEST_STAMP)
	$(OLDEST_PY) -m pytest

## With the Python at hand: the one named by PY=... or PYTHON=..., not one of its own.
test-gpu:
	@$(if $(filter command environment,$(firstword $(origin PY))),$(PY),$(PYTHON)) tests/gpu.py

install-peer: $(PEER_STAMP)

$(PEER_STAMP): pyproject.toml requirements-peer.txt
	test -x $(PEER_PY) || $(PYTHON) -m venv .venv-peer
	$(PEER_PY) -m pip install --quiet --disable-pip-version-check -r requirements-peer.txt
	@touch $(PEER_STAMP)

test-peer: $(PEER_STAMP)
	$(PEER_PY) -m pytest -m peer

clean:
	rm -rf .venv .venv-oldest .venv-peer build *.egg-info .pytest_cache .ruff_cache .hypothesis

# A thin front for tools/make.py, which also runs without make (on Windows: py tools\make.py book).
# `make help` lists the targets. Another Python: make PYTHON=python3.12 book
PYTHON ?= python3
TARGETS := help book test lab refresh lint unit static notebooks portability site site-tests bench environment install clean

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: $(TARGETS)

$(TARGETS):
	@$(PYTHON) tools/make.py $@

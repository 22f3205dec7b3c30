.PHONY: help install
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: .venv/installed ## make .venv with the package and what its tests need

.venv/installed: pyproject.toml
	python3.11 -m venv .venv
	.venv/bin/pip install --quiet --editable '.[dev]'
	touch $@

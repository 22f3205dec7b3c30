.PHONY: help install demo test test-fast fleet soak fuzz bench proto check format

# The first Python that is new enough and can make virtual environments.
PYTHON = $(shell for python in python3.11 python3 python; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)

# Whatever the environment says, compiled modules are kept: tests start hundreds of processes that import them.
export PYTHONDONTWRITEBYTECODE :=

PROTOC = .venv/bin/python -m grpc_tools.protoc -I proto --include_imports
COMPILED = $(addprefix flightsrv/wire/,flight_sql.fds flight_pb2.pyi flight_sql_pb2.pyi ticket_pb2.pyi) \
	$(addprefix udtf/perfetto/,perfetto_trace.fds perfetto_trace_pb2.pyi)

# $(call compile,FOLDER): descriptor sets and types of proto/, each where its package is below FOLDER.
define compile
@mkdir -p $(addprefix $(1)/,$(dir $(COMPILED)))
$(PROTOC) --descriptor_set_out=$(1)/flightsrv/wire/flight_sql.fds --pyi_out=$(1)/flightsrv/wire \
	flight.proto flight_sql.proto ticket.proto
$(PROTOC) --descriptor_set_out=$(1)/udtf/perfetto/perfetto_trace.fds --pyi_out=$(1)/udtf/perfetto \
	perfetto_trace.proto
endef

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: .venv/installed ## make .venv with the package and what its tests need

# The file says that the environment is whole. What was left half made is completed, or made anew if it has no pip.
.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Needs Python 3.11 or newer with its venv module" >&2; exit 1; }
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: install ## record a program of many threads, serve it, write demo.pftrace
	.venv/bin/flightsrv demo

test: install ## run all tests; as root, first install the Debian packages that some need
	.venv/bin/python -m tests.support.debian
	.venv/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-fast: install ## run the tests that take no longer than a few seconds
	.venv/bin/pytest -m 'not slow and not browser'

fleet: install ## run PostgreSQL, S3, Dask, two servers and ten traced programs until Ctrl-C, or for SECONDS=60
	.venv/bin/python -m tests.fleet $(if $(SECONDS),--seconds $(SECONDS))

soak: install ## let 64 clients do everything for five minutes, and see what that leaves of a server
	.venv/bin/python -m tests.soak

fuzz: install ## feed whatever reads bytes of strangers with a million of inputs each
	.venv/bin/python -m tests.fuzz

bench: install ## measure against the budgets, write benchmarks/out/latest.json
	.venv/bin/python -m benchmarks run

proto: install ## compile proto/ into the packages that use it
	$(call compile,.)

check: install ## format, lint, types, and whether the compiled proto/ is current
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	$(call compile,build/proto)
	@for file in $(COMPILED); do cmp $$file build/proto/$$file || { echo "run: make proto" >&2; exit 1; }; done

format: install ## format the code and sort its imports
	.venv/bin/ruff check --select I --fix
	.venv/bin/ruff format

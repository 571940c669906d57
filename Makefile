# Every target sets up .venv by itself: a machine needs Python 3.11+, gcc, g++ and make.
PYTHON ?= python3
VENV := .venv/bin
READY := .venv/.ready
WORKERS ?= 2

export PYTHON
# The tests' own threads are the parallelism; torch's would fight them for the cores.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all check format clean

# compiles the embedded model, asks it one question of each task and checks the answers
demo: $(READY)
	OMP_NUM_THREADS=$(WORKERS) $(VENV)/python -m examples.demo

# CPU alone, no network, minutes
test: $(READY)
	$(VENV)/python -m pytest -q -n $(WORKERS) --dist worksteal

# also what is slow; what needs a GPU stays out
test-all: $(READY)
	$(VENV)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not gpu and not multi_gpu"

check: $(READY) .build/tapeout
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/python -m pytest -q tests/repository

format: $(READY)
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .

clean:
	rm -rf build .build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(READY): pyproject.toml tools/constraints.txt tools/setup_venv.sh
	bash tools/setup_venv.sh
	touch $@

# the name under which mypy finds the packages at the root
.build/tapeout:
	mkdir -p .build
	ln -sfn .. $@

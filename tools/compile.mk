# How the C core is compiled: included by the Makefile when it calls itself to do so.

# The first of some names (they differ between distributions) that pkg-config knows.
known = $(firstword $(foreach p,$1,$(shell pkg-config --exists '$p' && echo $(firstword $p))))
LUA_PC := $(or $(call known,lua5.4 lua-5.4 lua54),$(shell pkg-config --exists 'lua >= 5.4 lua < 5.5' && echo lua))
BLAS_PC := $(call known,openblas cblas)
ZLIB_PC := $(call known,zlib)
READLINE_PC := $(call known,readline libedit)
# Wrappers of a compiler, as mpicc is, say the same where pkg-config knows nothing.
MPI_PC := $(call known,ompi-c ompi mpich)
MPICC := $(if $(MPI_PC),,$(shell command -v mpicc))
ifneq ($(words $(LUA_PC) $(BLAS_PC) $(ZLIB_PC)),3)
$(error Lua 5.4, OpenBLAS or zlib is missing (development files): run `make setup`)
endif
DEPS_CFLAGS := $(shell pkg-config --cflags $(LUA_PC) $(BLAS_PC) $(ZLIB_PC))
DEPS_LIBS := $(shell pkg-config --libs $(ZLIB_PC)) -ldl

OPTIMIZE = -O3
# clang says which of the loops that are marked with _Pragma it leaves as they are: no fault of the code. gcc ignores the word.
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror -Wno-pass-failed
FLAGS = $(CFLAGS) -std=c11 -D_GNU_SOURCE $(OPTIMIZE) -fno-math-errno -fno-trapping-math -ffp-contract=fast \
  -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(SANITIZE) -Ic $(DEPS_CFLAGS) $(CPPFLAGS)

# Numeric files are compiled once per instruction set and floating type, the others once. The symbols
# carry both names; c/ops/dispatch.c picks one set when the library is loaded.
ONCE := $(patsubst %,c/ops/%.c,broadcast convert dispatch nonzero permute picture sorting whole)
NUMERIC := $(filter-out $(ONCE),$(wildcard c/ops/*.c))
COMMON := $(ONCE) $(wildcard c/base/*.c c/graph/*.c c/lua/*.c)
FLAGS_avx2 = -mavx2 -mfma
FLAGS_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl $(FLAGS_avx2)
ISAS := baseline
MACHINE := $(shell $(CC) -dumpmachine)
ifneq ($(filter x86_64-% amd64-%,$(MACHINE)),)
ISAS += avx2 avx512
# gcc copies and clears what has some hundred bytes, as every op does, by one instruction that takes six times as long
# as the library's function (Zen 5: 20 ns for 320 bytes).
BY_LIBRARY := -mstringop-strategy=libcall
X86 := -DLATENT_X86 $(shell $(CC) -Werror $(BY_LIBRARY) -E -x c /dev/null >/dev/null 2>&1 && echo $(BY_LIBRARY))
endif

# Lua closes C modules at its end while a worker thread may still be inside: `nodelete` keeps them.
SHARED = -shared -Wl,-z,nodelete
ifneq ($(findstring darwin,$(MACHINE)),)
SHARED = -bundle -undefined dynamic_lookup
endif

# $(call compile,set of objects,flags)
define compile
$(BUILD)/obj/core/$1/%.o: c/%.c Makefile tools/compile.mk
	@mkdir -p $$(@D)
	@echo 'cc $$< ($1)'
	@$$(CC) $$(FLAGS) $2 -MMD -MP -c $$< -o $$@
endef
FLAGS_float64 = -DLATENT_DOUBLE
# Nothing is thrown through a kernel: neither errors of Lua nor exceptions of C++, as which some Lua is compiled.
KERNELS = -fno-asynchronous-unwind-tables -fno-unwind-tables
SETS := $(foreach isa,$(ISAS),$(isa)_float32 $(isa)_float64)
OBJECTS := $(COMMON:c/%.c=$(BUILD)/obj/core/common/%.o) \
  $(foreach set,$(SETS),$(NUMERIC:c/%.c=$(BUILD)/obj/core/$(set)/%.o))
$(eval $(call compile,common,$(X86)))
$(foreach isa,$(ISAS),$(foreach real,float32 float64,$(eval $(call compile,$(isa)_$(real),\
  -DLATENT_ISA=$(isa) -DLATENT_REAL=$(real) $(KERNELS) $(FLAGS_$(isa)) $(FLAGS_$(real))))))
$(CORE): $(OBJECTS)
	@mkdir -p $(@D)
	@echo 'ld $@'
	@$(CC) $(SHARED) -pthread $(SANITIZE) $(LDFLAGS) $^ -o $@.new $(DEPS_LIBS) -lm
	@mv $@.new $@
-include $(OBJECTS:.o=.d)

# The BLAS, which the core loads when it first multiplies: a library of its own.
$(BLAS): c/blas/module.c c/blas/table.h Makefile tools/compile.mk
	@mkdir -p $(@D)
	@echo 'cc $< ($(BLAS_PC))'
	@$(CC) $(FLAGS) $(SHARED) $(LDFLAGS) $< -o $@.new $(shell pkg-config --libs $(BLAS_PC))
	@mv $@.new $@

# What `make faults` preloads: it makes allocations fail, and is the Lua module that says which.
$(ALLOCATIONS): tools/faults/allocations.c Makefile tools/compile.mk
	@mkdir -p $(@D)
	@echo 'cc $<'
	@$(CC) -std=c11 -D_GNU_SOURCE -O1 -fPIC -pthread $(WARNINGS) $(shell pkg-config --cflags $(LUA_PC)) -shared $< -o $@.new -ldl
	@mv $@.new $@

# Line editing for the prompt, where a library for it is installed: a module of its own.
.PHONY: prompt mpi
prompt: $(if $(READLINE_PC),$(READLINE))
$(READLINE): c/optional/readline.c Makefile tools/compile.mk
	@mkdir -p $(@D)
	@echo 'cc $< ($(READLINE_PC))'
	@$(CC) $(FLAGS) $(if $(filter libedit,$(READLINE_PC)),-DLATENT_LIBEDIT) $(shell pkg-config --cflags $(READLINE_PC)) \
	  $(SHARED) $(LDFLAGS) $< -o $@.new $(shell pkg-config --libs $(READLINE_PC))
	@mv $@.new $@

# MPI, where it is installed: a module of its own, too.
mpi: $(if $(MPI_PC)$(MPICC),$(MPI))
$(MPI): c/optional/mpi.c Makefile tools/compile.mk
	@mkdir -p $(@D) $(BUILD)/obj
	@echo 'cc $< ($(or $(MPI_PC),$(MPICC)))'
	@$(if $(MPI_PC),$(CC),$(MPICC)) $(FLAGS) $(if $(MPI_PC),$(shell pkg-config --cflags $(MPI_PC))) -MMD -MP -MT $@ \
	  -MF $(BUILD)/obj/mpi.d $(SHARED) $(LDFLAGS) $< -o $@.new $(if $(MPI_PC),$(shell pkg-config --libs $(MPI_PC)))
	@mv $@.new $@
-include $(BUILD)/obj/mpi.d

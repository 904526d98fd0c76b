# How the core, Lua and zlib are compiled to WebAssembly: `make wasm` calls this, with OUT=folder. One thread,
# no BLAS; SIMD of 128 bits, which is `baseline` there. What differs from other systems lies in c/wasm. The
# kernels of single precision in which pages spend their time are compiled for speed, the rest for size.

OUT = build/wasm
SOURCES = $(OUT)/sources
LUA_SRC = $(SOURCES)/lua5.4/src
ZLIB_SRC = $(SOURCES)/zlib
CLANG = clang
MODULE = $(OUT)/latent.wasm

# Debian's clang also looks into /usr/include, where the headers of this machine's own system lie.
TARGET = --target=wasm32-wasi -msimd128 -nostdlibinc -isystem /usr/include/wasm32-wasi -D_WASI_EMULATED_SIGNAL \
  -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_MMAN
INCLUDE = -Ic -Ic/wasm/include -I$(LUA_SRC) -I$(ZLIB_SRC)
FLAGS = -std=c11 -D_GNU_SOURCE -fno-math-errno -fno-trapping-math -ffp-contract=fast -fvisibility=hidden \
  -ffunction-sections -fdata-sections -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -Wno-pass-failed \
  $(INCLUDE) -include c/wasm/posix.h
FOREIGN = -std=gnu99 -Os -ffunction-sections -fdata-sections $(INCLUDE)

ONCE := $(patsubst %,c/ops/%.c,broadcast convert dispatch nonzero permute picture sorting whole)
NUMERIC := $(filter-out $(ONCE),$(wildcard c/ops/*.c))
# In single precision: what no page trains with.
RARE := $(patsubst %,$(OUT)/obj/float32/ops/%.o,batch_norm conv distances fft group_norm indexing lapack lstm moments norm order \
  scan shape special winograd)
# Where the smallest code is slower than small code, which is wherever the time goes into loops of their own.
LOOPS := $(foreach f,batch_norm block conv gemm order winograd,$(OUT)/obj/float32/ops/$f.o $(OUT)/obj/float64/ops/$f.o)
REPLACED := $(patsubst %,c/base/%.c,blas futex parallel signals)
COMMON := $(ONCE) $(filter-out $(REPLACED),$(wildcard c/base/*.c c/graph/*.c c/lua/*.c)) $(wildcard c/wasm/*.c)
LUA_FILES := $(filter-out %/lua.c %/luac.c,$(wildcard $(LUA_SRC)/*.c))
ZLIB_FILES := $(patsubst %,$(ZLIB_SRC)/%.c,adler32 crc32 deflate inffast inflate inftrees trees zutil)
OBJECTS := $(COMMON:c/%.c=$(OUT)/obj/common/%.o) $(NUMERIC:c/%.c=$(OUT)/obj/float32/%.o) \
  $(NUMERIC:c/%.c=$(OUT)/obj/float64/%.o) $(LUA_FILES:$(LUA_SRC)/%.c=$(OUT)/obj/lua/%.o) \
  $(ZLIB_FILES:$(ZLIB_SRC)/%.c=$(OUT)/obj/zlib/%.o)

# $(call compile,set of objects,folder of sources,flags)
define compile
$(OUT)/obj/$1/%.o: $2/%.c Makefile tools/wasm.mk
	@mkdir -p $$(@D)
	@echo 'cc $$< (wasm $1)'
	@$$(CLANG) $$(TARGET) $3 -MMD -MP -c $$< -o $$@
endef
$(eval $(call compile,common,c,$$(FLAGS) -Os))
$(eval $(call compile,float32,c,$$(FLAGS) $$(SPEED) -DLATENT_ISA=baseline -DLATENT_REAL=float32))
SPEED = -O2
SIZE = -Oz
$(LOOPS): SIZE = -Os
$(RARE): SPEED = $(SIZE)
$(eval $(call compile,float64,c,$$(FLAGS) $$(SIZE) -DLATENT_ISA=baseline -DLATENT_REAL=float64 -DLATENT_DOUBLE))
$(eval $(call compile,lua,$(LUA_SRC),$$(FOREIGN) -include c/wasm/lua_host.h))
$(eval $(call compile,zlib,$(ZLIB_SRC),$$(FOREIGN)))

# Half the addresses of 32 bits: all of them are positive numbers, and any browser grants them.
$(MODULE): $(OBJECTS)
	@echo 'ld $@'
	@$(CLANG) --target=wasm32-wasi -mexec-model=reactor $^ -o $@.new -lwasi-emulated-signal -lwasi-emulated-process-clocks \
	  -lwasi-emulated-getpid -lwasi-emulated-mman -lm -Wl,--export=__stack_pointer -Wl,-z,stack-size=1048576 \
	  -Wl,--max-memory=2147483648 -Wl,--gc-sections -Wl,--strip-all \
	  -Wl,--compress-relocations -Wl,-O2
	@mv $@.new $@
-include $(OBJECTS:.o=.d)

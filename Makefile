# heaptape. `make help` lists the targets. Nothing but make and a shell is needed to read this
# file; tests/setup.sh installs the rest. Everything that is built lies in one folder:
# build, or build-debug (DEBUG=1), build-san (SANITIZE=address,undefined), build-fuzz (FUZZ=1).

VERSION = 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
CC = gcc
CXX = g++
AR = ar
PROTOC_C = protoc-c
CLANG = clang
LDLIBS =

comma := ,
ifdef FUZZ
B ?= build-fuzz
CC = $(CLANG)
SANFLAGS = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
else ifdef SANITIZE
B ?= build-san$(if $(filter-out address$(comma)undefined,$(SANITIZE)),-$(subst $(comma),-,$(SANITIZE)))
# -Wclobbered has false alarms with them.
SANFLAGS = -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-clobbered \
	$(if $(findstring thread,$(SANITIZE)),-Wno-tsan)
else ifdef DEBUG
B ?= build-debug
else
B ?= build
endif

WARNINGS = -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith \
	-Wformat=2 -Wundef -Wvla $(if $(FUZZ),-Wno-unknown-pragmas) $(if $(WERROR),-Werror)
OPTIMIZE = -O2
CFLAGS ?= -g
CPPFLAGS = -D_GNU_SOURCE -DHEAPTAPE_VERSION='"$(VERSION)"' $(if $(DEBUG),-DHT_DEBUG=1) -I. -I$(B)
BASE = -std=gnu17 $(WARNINGS) $(OPTIMIZE) -pthread $(CFLAGS)
# -Wl,--as-needed: a program depends on what it uses, whatever is listed here.
LINK = -pthread -Wl,--as-needed $(LDFLAGS)
STORE_LIBS = -lsqlite3 -lzstd -lz -lprotobuf-c
DAEMON_LIBS = $(STORE_LIBS) -levent_core -ldw -lelf -lsupc++ -lm
VIEWER_LIBS = $(STORE_LIBS) -levent_core -lncursesw -ledit -ldw -lelf -lsupc++ -lm

# The shim replaces malloc, so the compiler must not know what malloc does; its thread variables
# are read without a call; and it brings nothing but libc into the program.
NO_BUILTIN = $(addprefix -fno-builtin-,malloc calloc realloc reallocarray free aligned_alloc \
	memalign posix_memalign valloc pvalloc malloc_usable_size)
SHIM_FLAGS = -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-plt -fno-stack-protector \
	-fno-semantic-interposition $(NO_BUILTIN)
# Without the start files: what they call when an object goes, the program could define.
SHIM_LINK = -shared -nostartfiles -Wl,-z,defs -Wl,-z,now -Wl,-z,nodelete -Wl,-z,initfirst -Wl,--as-needed $(LDFLAGS)

# Sources
shim_src := $(wildcard shim/*.c shim/*/*.c shim/*.S shim/*/*.S)
proto_src := $(wildcard proto/*.c)
daemon_src := $(filter-out daemon/main.c,$(wildcard daemon/*.c daemon/*/*.c))
sqlite_src := $(wildcard viewer/sqlite/*.c)
viewer_src := $(filter-out viewer/main.c $(sqlite_src),$(wildcard viewer/*.c viewer/*/*.c))
unit_src := $(wildcard tests/unit/*.c)
shim_unit_src := $(wildcard tests/unit/shim/*.c)
program_src := $(wildcard tests/programs/*.c)
program_cc_src := $(wildcard tests/programs/*.cc)
bench_src := $(wildcard tests/bench/*.c)
stress_src := $(wildcard tests/stress/*.c)
tool_src := tests/tools/invariants.c tests/tools/shadow.c tests/tools/deny.c
fuzz_src := $(wildcard tests/fuzz/fuzz_*.c)

objects = $(patsubst %,$(B)/$(1)%.o,$(basename $(2)))
shim_obj := $(call objects,obj/,$(shim_src))
shim_unit_obj := $(call objects,unit-shim/,$(shim_src))
proto_obj := $(call objects,obj/,$(proto_src)) $(B)/obj/proto/event.pb-c.o
daemon_obj := $(call objects,obj/,$(daemon_src))
viewer_obj := $(call objects,obj/,$(viewer_src)) $(B)/obj/viewer/export/profile.pb-c.o
sqlite_obj := $(call objects,ext/,$(sqlite_src))
sqlite_core_obj := $(call objects,obj/,$(sqlite_src))
generated := $(B)/proto/event.pb-c.h $(B)/proto/schema.h $(B)/viewer/export/profile.pb-c.h

# What there is to build. A part without sources yet is left out.
products := $(generated) $(B)/libproto.a \
	$(if $(shim_src),$(B)/libheaptape.so) \
	$(if $(wildcard daemon/main.c),$(B)/heaptaped) \
	$(if $(wildcard viewer/main.c),$(B)/heaptape) \
	$(if $(sqlite_src),$(B)/heaptape_sqlite.so)
unit_tests := $(unit_src:tests/%.c=$(B)/tests/%) $(shim_unit_src:tests/%.c=$(B)/tests/%)
programs := $(program_src:%.c=$(B)/%) $(program_cc_src:%.cc=$(B)/%) $(stress_src:%.c=$(B)/%)
bench_programs := $(bench_src:%.c=$(B)/%)
tools := $(tool_src:%.c=$(B)/%)
fuzzers := $(fuzz_src:%.c=$(B)/%)

.PHONY: all parts unit programs fuzzers check check-programs stress demo bench fuzz format tidy lint \
	install uninstall clean help setup
.DELETE_ON_ERROR:
.SECONDARY:

all: $(products)
parts: all
unit: $(unit_tests)
programs: $(programs) $(bench_programs) $(tools)
fuzzers: $(fuzzers)

# The compiler's flags are remembered, so that changing them builds anew.
flags := $(CC) $(CPPFLAGS) $(BASE) $(SANFLAGS) $(SHIM_FLAGS)
ifeq ($(filter clean help setup uninstall,$(MAKECMDGOALS)),)
$(shell mkdir -p $(B); \
	printf '%s\n' '$(subst ','\'',$(flags))' >$(B)/flags.new; \
	cmp -s $(B)/flags.new $(B)/flags || cp $(B)/flags.new $(B)/flags; rm -f $(B)/flags.new)
endif

# Generated sources
$(B)/%.pb-c.c: %.proto
	@mkdir -p $(@D)
	$(PROTOC_C) --c_out=$(B) $<
$(B)/%.pb-c.h: $(B)/%.pb-c.c
	@touch $@
# The flame graph's page; empty when npm cannot bundle it, and `heaptape flame` says so.
$(B)/web/flame.js: $(addprefix viewer/web/,build.sh package.json package-lock.json flame.js flame.css)
	sh viewer/web/build.sh $(B)/web
$(B)/proto/schema.h: proto/schema.sql
	@mkdir -p $(@D)
	{ echo 'static const char schema_sql[] ='; \
	  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $<; echo ';'; } >$@

# Objects: obj/ position independent, for programs and libproto.a; ext/ for the SQLite extension;
# unit-shim/ the shim with its exported names out of the way (the unwinder reads other functions'
# stack frames, which a sanitiser takes for a mistake).
compile = @mkdir -p $(@D)
depend = -MMD -MP -MF $(@:.o=.d)
$(B)/obj/shim/%.o: shim/%.c $(B)/flags
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) $(SHIM_FLAGS) $(depend) -c -o $@ $<
$(B)/obj/shim/%.o: shim/%.S $(B)/flags
	$(compile)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC $(depend) -c -o $@ $<
$(B)/unit-shim/shim/%.o: shim/%.c $(B)/flags | $(generated)
	$(compile)
	$(CC) $(CPPFLAGS) -DHT_UNIT_TEST=1 $(BASE) -Wno-missing-prototypes \
		$(if $(findstring unwind,$<),,$(SANFLAGS)) -fPIC $(NO_BUILTIN) $(depend) -c -o $@ $<
$(B)/unit-shim/shim/%.o: shim/%.S $(B)/flags
	$(compile)
	$(CC) $(CPPFLAGS) -DHT_UNIT_TEST=1 $(CFLAGS) -fPIC $(depend) -c -o $@ $<
$(B)/obj/viewer/web/asset.o: $(B)/web/flame.js
$(B)/obj/%.pb-c.o: $(B)/%.pb-c.c $(B)/flags
	$(compile)
	$(CC) $(CPPFLAGS) -std=gnu17 $(OPTIMIZE) $(CFLAGS) $(SANFLAGS) -fPIC $(depend) -c -o $@ $<
$(B)/obj/%.o: %.c $(B)/flags | $(generated)
	$(compile)
	$(CC) $(CPPFLAGS) $(if $(filter viewer/sqlite/%,$<),-DSQLITE_CORE=1) $(BASE) $(SANFLAGS) -fPIC \
		$(depend) -c -o $@ $<
$(B)/ext/%.o: %.c $(B)/flags | $(generated)
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) -fPIC -fvisibility=hidden $(depend) -c -o $@ $<

$(B)/libproto.a: $(proto_obj)
$(B)/libdaemon.a: $(daemon_obj)
$(B)/libviewer.a: $(viewer_obj) $(sqlite_core_obj)
$(B)/libshim-unit.a: $(shim_unit_obj)
# The extension never shares sanitised objects: any program may load it.
$(B)/libproto-ext.a: $(call objects,ext/,$(proto_src))
$(B)/lib%.a:
	@rm -f $@
	$(AR) qcs $@ $(filter %.o,$^)

# It defines what the compiler would make its loops into calls of.
$(B)/obj/shim/bytes.o $(B)/unit-shim/shim/bytes.o: NO_BUILTIN = -fno-builtin \
	$(if $(FUZZ),,-fno-tree-loop-distribute-patterns)

# Products
$(B)/libheaptape.so: $(shim_obj)
	$(CC) $(BASE) $(SHIM_FLAGS) $(SHIM_LINK) -o $@ $(shim_obj)
$(B)/heaptaped: $(B)/obj/daemon/main.o $(B)/libdaemon.a $(B)/libproto.a
	$(CC) $(BASE) $(SANFLAGS) $(LINK) -o $@ $^ $(DAEMON_LIBS) $(LDLIBS)
$(B)/heaptape: $(B)/obj/viewer/main.o $(B)/libviewer.a $(B)/libproto.a
	$(CC) $(BASE) $(SANFLAGS) $(LINK) -o $@ $^ $(VIEWER_LIBS) $(LDLIBS)
$(B)/heaptape_sqlite.so: $(sqlite_obj) $(B)/libproto-ext.a
	$(CC) $(BASE) -shared -Wl,-z,defs -Wl,--exclude-libs,ALL $(LINK) -o $@ $^ -lzstd -lz -lm

# Tests
test_depend = -MMD -MP -MF $@.d
$(B)/tests/unit/shim/%: tests/unit/shim/%.c $(B)/libshim-unit.a $(B)/libproto.a $(B)/flags | $(generated)
	$(compile)
	$(CC) $(CPPFLAGS) -DHT_UNIT_TEST=1 $(BASE) $(SANFLAGS) $(test_depend) $(LINK) -o $@ $< \
		-Wl,-u,ht_start $(filter %.a,$^) -lcmocka $(STORE_LIBS) -lm
# A test is linked with the folder it includes from.
uses = $(addprefix $(B)/tests/,$(basename $(patsubst tests/%,%,$(shell grep -ls '"$(1)/' $(2)))))
$(call uses,viewer,$(unit_src) $(fuzz_src)): $(B)/libviewer.a
$(call uses,daemon,$(unit_src) $(fuzz_src)): $(B)/libdaemon.a
$(call uses,shim,$(fuzz_src)): $(B)/libshim-unit.a
parts_of = $(filter %libviewer.a %libdaemon.a %libshim-unit.a,$^) $(B)/libproto.a
$(B)/tests/unit/%: tests/unit/%.c $(B)/libproto.a $(B)/flags | $(generated)
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) $(SANFLAGS) $(test_depend) $(LINK) -o $@ $< \
		$(parts_of) -lcmocka $(DAEMON_LIBS) $(VIEWER_LIBS)
$(B)/tests/tools/invariants: tests/tools/invariants.c tests/tools/heap_model.c \
		tests/tools/heap_model.h $(B)/libproto.a $(B)/flags
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) $(SANFLAGS) $(LINK) -o $@ $(filter %.c %.a,$^) $(STORE_LIBS)
$(B)/tests/tools/shadow: tests/tools/shadow.c $(B)/libproto.a $(B)/flags
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) $(SANFLAGS) $(test_depend) $(LINK) -o $@ $(filter %.c %.a,$^) \
		$(STORE_LIBS)
$(B)/tests/tools/deny: tests/tools/deny.c $(B)/flags
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) -o $@ $<
# Scripted programs: what they call is what is recorded, so no call may be optimised away.
$(B)/tests/programs/%: tests/programs/%.c $(B)/flags
	$(compile)
	$(CC) -D_GNU_SOURCE -I. $(BASE) -fno-builtin $(test_depend) -o $@ $< -ldl -lm
$(B)/tests/stress/%: tests/stress/%.c $(B)/flags
	$(compile)
	$(CC) -D_GNU_SOURCE -I. $(BASE) -fno-builtin $(test_depend) -o $@ $< -ldl -lm
# Where the shim has nothing to do.
$(B)/tests/programs/launcher: tests/programs/launcher.c $(B)/flags
	$(compile)
	$(CC) -D_GNU_SOURCE $(BASE) -static -o $@ $<
$(B)/tests/programs/%: tests/programs/%.cc $(B)/flags
	$(compile)
	$(CXX) -I. -std=gnu++17 -Wall -Wextra $(OPTIMIZE) $(CFLAGS) -pthread $(test_depend) -o $@ $<
$(B)/tests/bench/clock: tests/bench/clock.c $(B)/flags
	$(compile)
	$(CC) -D_GNU_SOURCE $(BASE) -static -o $@ $<
$(B)/tests/bench/alloc_%: tests/bench/alloc_%.c $(B)/flags
	$(compile)
	$(CC) -D_GNU_SOURCE -I. $(BASE) -fno-builtin $(test_depend) -o $@ $< -ldl -lm
$(B)/tests/bench/%: tests/bench/%.c $(B)/libproto.a $(B)/flags | $(generated)
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) $(SANFLAGS) $(test_depend) $(LINK) -o $@ $< $(B)/libproto.a $(STORE_LIBS) -lm
$(B)/tests/fuzz/%: tests/fuzz/%.c $(B)/libproto.a $(B)/flags | $(generated)
	$(compile)
	$(CC) $(CPPFLAGS) $(BASE) $(SANFLAGS) -fsanitize=fuzzer $(test_depend) $(LINK) -o $@ $< \
		$(parts_of) $(DAEMON_LIBS) $(VIEWER_LIBS)

setup:
	@sh tests/setup.sh

check: setup
	@sh tests/run.sh

check-programs:
	@sh tests/setup.sh programs
	@$(MAKE) --no-print-directory all programs
	@sh tests/run.sh programs

# Ten minutes with every byte and every invariant checked; HT_SCALE=60 makes it an hour.
stress: setup
	@$(MAKE) --no-print-directory DEBUG=1 all programs
	@HT_SCALE=$(or $(HT_SCALE),10) HT_BUILD=build-debug sh tests/e2e/alloc_stress.sh
	@HT_SCALE=$(or $(HT_SCALE),10) HT_BUILD=build-debug sh tests/e2e/alloc_switched.sh

# The demo is about what comes after the build.
demo: setup
	@echo 'building in $(B)/ ...'
	@$(MAKE) --no-print-directory -s $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc)) all
	@HT_BUILD=$(B) sh tests/demo.sh

bench:
	@sh tests/setup.sh bench
	@$(MAKE) --no-print-directory all programs
	@sh tests/bench/run.sh

fuzz: setup
	@$(MAKE) --no-print-directory FUZZ=1 fuzzers
	@sh tests/fuzz/run.sh

format:
	@sh tests/setup.sh tools
	clang-format -i $(shell find shim daemon proto viewer tests -name '*.[ch]' -o -name '*.cc')

tidy: $(generated)
	@sh tests/setup.sh tools
	clang-tidy --quiet $(filter %.c,$(shim_src) $(proto_src)) $(daemon_src) $(viewer_src) $(sqlite_src) \
		$(wildcard daemon/main.c viewer/main.c) -- -std=gnu17 $(CPPFLAGS)

lint:
	@sh tests/setup.sh tools
	shellcheck -s sh $(shell find tests .ci -name '*.sh' -o -path '.ci/run')

bindir = $(DESTDIR)$(PREFIX)/bin
libdir = $(DESTDIR)$(PREFIX)/lib/heaptape
includedir = $(DESTDIR)$(PREFIX)/include
install: all
	install -d $(bindir) $(libdir) $(includedir)
	install -m 644 shim/api/heaptape.h $(includedir)
	install -m 755 $(B)/heaptape $(B)/heaptaped $(bindir)
	install -m 755 $(B)/libheaptape.so $(B)/heaptape_sqlite.so $(libdir)

uninstall:
	rm -f $(bindir)/heaptape $(bindir)/heaptaped $(includedir)/heaptape.h
	rm -f $(libdir)/libheaptape.so $(libdir)/heaptape_sqlite.so
	-rmdir $(libdir) 2>/dev/null

clean:
	rm -rf build build-debug build-san build-san-* build-fuzz

help:
	@echo 'make                build everything into build/'
	@echo 'make demo           set up, build, record a real program and show its report'
	@echo 'make check          set up, build, run every test (DEBUG=1: with invariants checked)'
	@echo 'make check-programs the long tests on large real programs'
	@echo 'make stress         random use of the allocator, every byte checked (HT_SCALE=60)'
	@echo 'make bench          measure against glibc and heaptrack (ONLY="cc1 jq" RUNS=3)'
	@echo 'make fuzz           fuzz every decoder (SECONDS_EACH=600 or RUNS=10000000)'
	@echo 'make install        PREFIX=/usr/local DESTDIR=; make uninstall takes it away again'
	@echo 'make format, make tidy, make lint, make clean'
	@echo 'DEBUG=1, SANITIZE=address,undefined, WERROR=1 work with every target'

-include $(wildcard $(foreach at,obj ext unit-shim tests,$(B)/$(at)/*/*.d $(B)/$(at)/*/*/*.d))

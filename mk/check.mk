# Tests, lint, fuzzing, benchmarks.

# Sources under the full lint, and those under the format check alone.
LINT_DIRS = common submitter worker status-api cli tests/fake-claude
FORMAT_DIRS = $(LINT_DIRS) tests/unit tests/fuzz tests/bench
CLANG_FORMAT = clang-format-14
format_files = $(shell find $(wildcard $(FORMAT_DIRS)) -name '*.[ch]' \
    -not -path '*/node_modules/*')

# Every tests/unit/test_*.c is a program of its own; the other files there are
# linked into all of them. test_fake_* tests the simulator and nothing else.
T = *
TEST_SRC := $(filter tests/unit/test_%,$(UNIT_SRC))
TEST_PROGRAMS := $(patsubst tests/unit/%.c,$(ASAN)/tests/%,$(TEST_SRC))
TEST_SUPPORT := $(call objects,$(ASAN),$(filter-out $(TEST_SRC),$(UNIT_SRC)))
asan_archives = $(foreach dir,$(1),$(call archive,$(ASAN),$(dir)))
TEST_ARCHIVES := $(call asan_archives,cli worker submitter status-api)
FAKE_ARCHIVES := $(call asan_archives,tests/fake-claude)

# cmocka's macros cast; the tests are held to the rest of the warnings.
$(ASAN)/obj/tests/unit/%.o: CFLAGS += -Wno-conversion -Wno-sign-conversion \
    -Wno-cast-qual

$(ASAN)/tests/test_fake_%: $(ASAN)/obj/tests/unit/test_fake_%.o \
    $(TEST_SUPPORT) $(FAKE_ARCHIVES) $(TEST_ARCHIVES) $(ASAN)/liblonghaul.a
	@mkdir -p $(@D)
	$(call say,link,$@)
	$(Q)$(CC) $(ASAN_LDFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(ALL_LIBS) -lcmocka

$(ASAN)/tests/%: $(ASAN)/obj/tests/unit/%.o $(TEST_SUPPORT) \
    $(TEST_ARCHIVES) $(ASAN)/liblonghaul.a
	@mkdir -p $(@D)
	$(call say,link,$@)
	$(Q)$(CC) $(ASAN_LDFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(ALL_LIBS) -lcmocka

WANTED_TESTS = $(filter $(patsubst %,$(ASAN)/tests/test_%,$(patsubst \
    test_%,%,$(subst *,%,$(T)))),$(TEST_PROGRAMS))

test: deps-build deps-test ## Run every test; last line: N passed, N failed
	+@$(BUILD_NOW) all unit-programs
	+@$(BUILD_NOW) BUILD=$(CHAOS) CRASH_POINTS=1 all
	@BUILD=$(BUILD) tests/run unit scenario chaos -- $(TEST_PROGRAMS)

test-unit: deps-build deps-test ## Unit tests under ASan and UBSan; T=name
	+@$(BUILD_NOW) unit-programs T='$(T)'
	@BUILD=$(BUILD) tests/run unit -- $(WANTED_TESTS)

test-scenario: deps-build deps-test ## Scenarios with the real programs; T=name
	+@$(BUILD_NOW) all
	@BUILD=$(BUILD) T='$(T)' tests/run scenario

# The programs forbid others to look into their memory, and so the search for
# leaks, which is the unit tests' business.
test-asan: deps-build deps-test ## Scenarios with programs under ASan; T=name
	+@$(BUILD_NOW) asan-programs
	@BUILD=$(ASAN) T='$(T)' ASAN_OPTIONS=detect_leaks=0 tests/run scenario

.PHONY: asan-programs unit-programs
asan-programs: $(PROGRAMS:$(BUILD)/%=$(ASAN)/%)
unit-programs: $(WANTED_TESTS)

docs: deps-build deps-test ## Bring docs/ to what tables and programs say
	+@$(BUILD_NOW) all unit-programs T=docs
	@LONGHAUL_DOCS=write BUILD=$(BUILD) tests/run unit -- \
	    $(ASAN)/tests/test_docs
	@LONGHAUL_DOCS=write BUILD=$(BUILD) T=docs tests/run scenario

lint: deps-lint ## Format, banned functions, layers, complexity, sizes
	@CLANG_FORMAT=$(CLANG_FORMAT) tests/lint

format: deps-lint ## Rewrite the sources in the project's format
	@$(CLANG_FORMAT) -i $(format_files)

# Every tests/bench/NAME.c is a program build/bench/NAME; tests/bench/run is
# what measures with them.
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH_SRC))
BENCH_ARCHIVES := $(foreach dir,cli worker submitter status-api, \
    $(call archive,$(BUILD),$(dir))) $(BUILD)/liblonghaul.a

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(BENCH_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,link,$@)
	$(Q)$(CC) $(RELEASE_LDFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(ALL_LIBS)

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS) ## Only build what bench runs

bench: deps-build deps-test ## Measure; prints a table of ratios
	+@$(BUILD_NOW) all bench-programs
	@if [ -x tests/bench/run ]; then BUILD=$(BUILD) tests/bench/run; \
	    else echo 'no benchmarks here' >&2; exit 1; fi

# One libFuzzer program for each tests/fuzz/fuzz_NAME.c, with its corpus in
# tests/fuzz/corpus/NAME/; the other files there are linked into all of them.
# What a run adds to the corpus stays in build/fuzz/corpus/.
FUZZ_SECONDS = 60
FUZZ_TARGETS := $(filter tests/fuzz/fuzz_%,$(FUZZ_SRC))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%.c,$(FUZZ)/bin/%,$(FUZZ_TARGETS))
FUZZ_ARCHIVES := $(foreach dir,cli worker submitter status-api, \
    $(call archive,$(FUZZ),$(dir))) $(FUZZ)/liblonghaul.a

$(FUZZ)/obj/tests/fuzz/%.o: CFLAGS += -Wno-missing-prototypes

$(FUZZ)/bin/%: $(FUZZ)/obj/tests/fuzz/%.o $(call objects,$(FUZZ),$(filter-out \
    $(FUZZ_TARGETS),$(FUZZ_SRC))) $(FUZZ_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,link,$@)
	$(Q)clang $(FUZZ_LDFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(ALL_LIBS)

.PHONY: fuzz-programs
fuzz-programs: $(filter $(patsubst %,$(FUZZ)/bin/fuzz_%,$(subst *,%,$(T))), \
    $(FUZZ_PROGRAMS))

fuzz: deps-build deps-fuzz ## Fuzz each parser for FUZZ_SECONDS; T=name
	+@$(BUILD_NOW) fuzz-programs T='$(T)'
	@BUILD=$(BUILD) T='$(T)' FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz

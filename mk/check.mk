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
    $(TEST_SUPPORT) $(FAKE_ARCHIVES) $(ASAN)/liblonghaul.a
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
	+@$(MAKE) --no-print-directory -s all unit-programs
	@BUILD=$(BUILD) tests/run unit scenario -- $(TEST_PROGRAMS)

test-unit: deps-build deps-test ## Unit tests under ASan and UBSan; T=name
	+@$(MAKE) --no-print-directory -s unit-programs T='$(T)'
	@BUILD=$(BUILD) tests/run unit -- $(WANTED_TESTS)

test-scenario: deps-build deps-test ## Scenarios with the real programs; T=name
	+@$(MAKE) --no-print-directory -s all
	@BUILD=$(BUILD) T='$(T)' tests/run scenario

.PHONY: unit-programs
unit-programs: $(WANTED_TESTS)

lint: deps-lint ## Format, banned functions, layers, complexity, sizes
	@CLANG_FORMAT=$(CLANG_FORMAT) tests/lint

format: deps-lint ## Rewrite the sources in the project's format
	@$(CLANG_FORMAT) -i $(format_files)

bench: deps-build deps-test ## Measure; prints a table of ratios
	+@$(MAKE) --no-print-directory -s all
	@if [ -x tests/bench/run ]; then BUILD=$(BUILD) tests/bench/run; \
	    else echo 'no benchmarks here' >&2; exit 1; fi

# One libFuzzer program for each tests/fuzz/fuzz_NAME.c, with its corpus in
# tests/fuzz/corpus/NAME/. What a run discovers stays in build/fuzz/corpus/.
FUZZ_SECONDS = 60
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
FUZZ_FLAGS = -O1 -g -fno-omit-frame-pointer \
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(LIB_SRC) $(PROGRAM_SRC) $(GEN)
	@mkdir -p $(@D)
	clang $(CPPFLAGS) $(ALL_CFLAGS) -Wno-missing-prototypes $(FUZZ_FLAGS) \
	    -fsanitize=fuzzer -o $@ $< $(FUZZ_WITH) $(ALL_LIBS)

FUZZ_WITH = $(call no_main,$(LIB_SRC) $(GEN) $(call sources,submitter worker))

fuzz: deps-build deps-fuzz $(patsubst %,$(BUILD)/fuzz/fuzz_%,$(FUZZ_NAMES)) \
    ## Fuzz each parser for FUZZ_SECONDS
	@for name in $(FUZZ_NAMES); do \
	    found=$(BUILD)/fuzz/corpus/$$name; mkdir -p $$found; \
	    echo "fuzz $$name for $(FUZZ_SECONDS) s"; \
	    $(BUILD)/fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) \
	        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	        -artifact_prefix=$(BUILD)/fuzz/$$name- -verbosity=0 $$found \
	        $$(ls -d tests/fuzz/corpus/$$name 2>/dev/null) || exit 1; \
	done

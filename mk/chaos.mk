# Chaos: the real programs under injected faults (docs/reliability.md). They
# are built once more, with named crash points, into build/chaos; the proof of
# the checker needs five further builds, which share all but a few objects.

SEED = 1
SEEDS = 1
SECONDS = 10
JOBS = 1
CHAOS := build/chaos
BUGS := 1 2 3 4 5

# With BUG=n a known fault is planted (common/base/crash.h).
BUG_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,common/queue/queue_keys.c \
    common/store/sqlite_write.c submitter/submit_queue.c worker/flight.c \
    worker/flight_save.c)
ifneq ($(BUG),)
$(BUG_OBJECTS): private CPPFLAGS += -DLONGHAUL_BUG=$(BUG)
$(BUG_OBJECTS): $(BUILD)/bug
$(BUILD)/bug: FORCE
	@mkdir -p $(@D)
	@echo '$(BUG)' | cmp -s - $@ || echo '$(BUG)' >$@
endif

.PHONY: chaos-build chaos chaos-asan chaos-bugs chaos-points \
    torture
chaos-build: deps-build deps-test ## Programs with crash points: build/chaos
	+@$(BUILD_NOW) BUILD=$(CHAOS) CRASH_POINTS=1 all

chaos: chaos-build ## Faults by SEED=n SEEDS=k SECONDS=10 JOBS=1; then a checker
	@BUILD=$(CHAOS) tests/chaos/run --seed $(SEED) --seeds $(SEEDS) \
	    --seconds $(SECONDS) --jobs $(JOBS)

# ASan keeps freed memory for a while, so that has no base line.
chaos-asan: deps-build deps-test ## The same with programs under ASan and UBSan
	+@$(BUILD_NOW) BUILD=$(CHAOS) CRASH_POINTS=1 asan-programs
	@BUILD=$(CHAOS)/asan LONGHAUL_CHAOS_MEMORY_MB=1024 \
	    ASAN_OPTIONS=detect_leaks=0 tests/chaos/run --seed $(SEED) \
	    --seeds $(SEEDS) --seconds $(SECONDS)

chaos-points: chaos-build ## A death at every named crash point
	@BUILD=$(CHAOS) tests/chaos/crashpoints $(filter-out *,$(T))

torture: chaos-build ## Writes, fsyncs, connects fail in turn; T=program LIMIT=20
	@BUILD=$(CHAOS) tests/torture/run $(filter-out *,$(T))

chaos-bugs: deps-build deps-test ## Planted bugs must be caught by the checker
	+@for bug in $(BUGS); do \
	    $(BUILD_NOW) BUILD=$(CHAOS)-bug CRASH_POINTS=1 BUG=$$bug all && \
	    BUILD=$(CHAOS)-bug tests/chaos/bugs $$bug || exit 1; \
	done

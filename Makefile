# longhaul. `make help` lists the targets. The parts are in mk/: deps.sh (what
# must be installed), embed.sh (files built into the programs), flavour.mk
# (how sources become programs), check.mk (test, lint, fuzz, bench) and
# install.mk. Another compiler: make CC=clang BUILD=build/clang

CC = gcc
BUILD = build
PREFIX = /usr/local

# The default of $(CC) is make's own `cc`; what a user sets stays.
ifeq ($(origin CC),default)
CC = gcc
endif

PACKAGES = libevent_core hiredis libcurl jansson sqlite3 uuid libzstd inih \
    libcrypto
WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
    -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings \
    -Wformat=2 -Wundef -Wvla -Wswitch-enum -Wconversion
ifeq ($(CI),true)
WARNINGS += -Werror
endif

# Asked once, when a recipe first needs it: `make run` on a fresh machine
# reads this file before pkg-config is installed.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(subst -I,-isystem ,$$(shell \
    pkg-config --cflags $(PACKAGES))))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell \
    pkg-config --libs $(PACKAGES)))$(PKG_LIBS)
VERSION = 0.1.0

# Builds for chaos runs have crash points (mk/chaos.mk).
ifneq ($(CRASH_POINTS),)
CPPFLAGS += -DLONGHAUL_TEST
endif
CPPFLAGS += -D_GNU_SOURCE -DLONGHAUL_VERSION='"$(VERSION)"' -I. -I$(BUILD)/gen
ALL_CFLAGS = -std=c11 -pthread $(WARNINGS) $(PKG_CFLAGS) $(CFLAGS)
ALL_LIBS = $(PKG_LIBS) -lm $(LDLIBS)

RELEASE_CFLAGS = -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
    -fstack-protector-strong -fPIE
RELEASE_LDFLAGS = -pie -Wl,-z,relro,-z,now
# Takes the place of malloc in the programs (docs/design.md), not in those of
# the benches and not under sanitizers; `make ALLOCATOR= BUILD=build/plain`
# builds without it. No symbol of its own is asked for, so some linkers would
# leave it out.
ALLOCATOR = -Wl,--push-state,--no-as-needed -lmimalloc -Wl,--pop-state
ASAN_CFLAGS = -O1 -g -fno-omit-frame-pointer \
    -fsanitize=address,undefined -fno-sanitize-recover=all
ASAN_LDFLAGS = -fsanitize=address,undefined
FUZZ_CFLAGS = -O1 -g -fno-omit-frame-pointer \
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_LDFLAGS = -fsanitize=fuzzer,address,undefined

# What `run` and `test` build, they build on all processors.
BUILD_NOW = $(MAKE) --no-print-directory -s $(if $(filter -j%,$(MAKEFLAGS)),, \
    -j$(shell nproc))

# V=1 shows the commands.
Q = $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-5s %s\n' \
    '$(1)' '$(2)')

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
FORCE:
.PHONY: FORCE help all run deps test test-unit test-scenario test-asan docs \
    lint format bench fuzz install uninstall clean

include mk/flavour.mk
include mk/check.mk
include mk/chaos.mk
include mk/install.mk

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' \
	    Makefile mk/check.mk mk/chaos.mk \
	    mk/install.mk

all: $(PROGRAMS) $(ARCHIVES) ## Build every program into build/bin/

run: deps-build ## Build, then serve on one machine: longhaul up $(ARGS)
	+@$(BUILD_NOW) all
	@exec $(BUILD)/bin/longhaul up $(ARGS)

deps: ## Install what building, testing and linting need
	@mk/deps.sh build test lint
	@mk/npm.sh || true

deps-%:
	@mk/deps.sh $*

clean: ## Remove everything that was built
	rm -rf $(BUILD)

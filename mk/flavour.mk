# How sources become archives and programs. A folder is one archive; main.c
# stays out of it, so that tests and `longhaul serve` can link the rest. The
# wildcards pick up files as they come; a folder without main.c has no program.

LIB_DIRS := common/base common/job common/net common/store common/queue \
    common/service
PROGRAM_DIRS := submitter worker status-api cli tests/fake-claude

sources = $(sort $(foreach dir,$(1),$(wildcard $(dir)/*.c $(dir)/web/*.c)))
LIB_SRC := $(call sources,$(LIB_DIRS))
PROGRAM_SRC := $(call sources,$(PROGRAM_DIRS))
UNIT_SRC := $(wildcard tests/unit/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
BENCH_SRC := $(wildcard tests/bench/*.c)

name_of = $(strip $(if $(filter cli,$(1)),longhaul, \
    $(if $(filter tests/%,$(1)),$(notdir $(1)), \
    longhaul-$(patsubst status-api,status,$(1)))))
PROGRAMS := $(foreach dir,$(PROGRAM_DIRS),$(if $(wildcard $(dir)/main.c), \
    $(BUILD)/bin/$(call name_of,$(dir))))

# Data files built into the programs.
EMBEDDED := $(sort $(wildcard schema/redis/*.lua schema/sqlite/*.sql \
    schema/models.json schema/openapi.yaml $(addprefix status-api/web/*., \
    html css js svg)))
EMBEDDED_DIRS := $(wildcard schema schema/redis schema/sqlite status-api/web)
GEN := $(BUILD)/gen/embedded.c

$(BUILD)/gen/embedded.h: $(GEN) ;
$(GEN): mk/embed.sh $(EMBEDDED) $(EMBEDDED_DIRS)
	@mkdir -p $(@D)
	@mk/embed.sh $(@D) $(EMBEDDED)

# $(call objects,ROOT,SOURCES), $(call main,SOURCES) without the main.c
objects = $(patsubst %.c,$(1)/obj/%.o,$(2))
no_main = $(filter-out %/main.c,$(1))
archive = $(1)/lib$(subst /,-,$(2)).a

# $(eval $(call flavour,ROOT,COMPILE FLAGS,COMPILER)): objects and archives.
# ROOT/flags changes when compiler or flags do, and everything is rebuilt.
define flavour
$(1)/flags: FORCE
	@mkdir -p $$(@D)
	@echo '$(3) $$(CPPFLAGS) $$(ALL_CFLAGS) $(2)' | cmp -s - $$@ || \
	    echo '$(3) $$(CPPFLAGS) $$(ALL_CFLAGS) $(2)' >$$@

$(1)/obj/%.o: %.c $(1)/flags | $(BUILD)/gen/embedded.h
	@mkdir -p $$(@D)
	$$(call say,cc,$$<)
	$$(Q)$(3) $$(CPPFLAGS) $$(ALL_CFLAGS) $(2) -MMD -MP -c -o $$@ $$<

$(1)/obj/embedded.o: $(GEN) $(1)/flags
	@mkdir -p $$(@D)
	$$(Q)$(3) $$(CPPFLAGS) $$(ALL_CFLAGS) $(2) -c -o $$@ $$<

$(1)/liblonghaul.a: $(call objects,$(1),$(LIB_SRC)) $(1)/obj/embedded.o
	@rm -f $$@
	@$$(AR) rcs $$@ $$(filter %.o,$$^)
endef

define program_archive
$(call archive,$(1),$(2)): $(call objects,$(1),$(call no_main,$(call \
    sources,$(2))))
	@rm -f $$@
	@mkdir -p $$(@D)
	@$$(AR) rcs $$@ $$(filter %.o,$$^)
endef

# $(eval $(call program,ROOT,FOLDER,LINK FLAGS)): a program is its main.o, its
# folder and the common library; `longhaul` also takes the two servers, whose
# routes `longhaul serve` mounts.
define program
$(1)/bin/$(call name_of,$(2)): $(1)/obj/$(2)/main.o \
    $(call archive,$(1),$(2)) $(if $(filter cli,$(2)),$(foreach \
    dir,submitter status-api,$(call archive,$(1),$(dir)))) $(1)/liblonghaul.a
	@mkdir -p $$(@D)
	$$(call say,link,$$@)
	$$(Q)$$(CC) $(3) $$(LDFLAGS) -pthread -o $$@ $$^ $$(ALL_LIBS)
endef

ROOT := $(BUILD)
ASAN := $(BUILD)/asan
FUZZ := $(BUILD)/fuzz
$(eval $(call flavour,$(ROOT),$(RELEASE_CFLAGS),$(CC)))
$(eval $(call flavour,$(ASAN),$(ASAN_CFLAGS),$(CC)))
$(eval $(call flavour,$(FUZZ),$(FUZZ_CFLAGS),clang))
$(foreach dir,$(PROGRAM_DIRS),$(eval $(call \
    program,$(ROOT),$(dir),$(RELEASE_LDFLAGS) $(ALLOCATOR))))
$(foreach dir,$(PROGRAM_DIRS),$(eval $(call \
    program,$(ASAN),$(dir),$(ASAN_LDFLAGS))))
$(foreach root,$(ROOT) $(ASAN) $(FUZZ),$(foreach dir,$(PROGRAM_DIRS),$(eval \
    $(call program_archive,$(root),$(dir)))))

# Built even where no program takes them yet.
ARCHIVES := $(ROOT)/liblonghaul.a $(foreach dir,$(PROGRAM_DIRS),$(call \
    archive,$(ROOT),$(dir)))

-include $(foreach root,$(ROOT) $(ASAN) $(FUZZ),$(patsubst %.o,%.d,$(call \
    objects,$(root),$(LIB_SRC) $(PROGRAM_SRC) $(UNIT_SRC) $(FUZZ_SRC) \
    $(BENCH_SRC))))

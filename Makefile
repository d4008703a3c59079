# kamd: how it is built, run and tested. `make help` lists the targets.
#
#   make build CC=clang              another compiler
#   make build VARIANT=asan          asan | tsan | release, each in a folder of its own
#   make build BUILD=/tmp/elsewhere  another build folder

SHELL := bash
MAKEFLAGS += --no-builtin-rules -j$(shell nproc)
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

BUILD ?= .build
export BUILD
VARIANT ?=
OUT := $(BUILD)$(VARIANT:%=/%)
ifeq ($(origin CC),default)
CC := gcc
endif

# ---- layers -----------------------------------------------------------------------------------
# The compiler enforces the one direction: each layer is compiled with an include path that holds
# only what is listed here. `make lint` proves that it does.

LAYERS := core domain store cache remote app worker api

see_core   := core
see_domain := core domain
see_store  := core domain store
see_cache  := core domain cache
see_remote := core domain remote
see_app    := core domain store cache remote app
see_worker := core domain store cache remote app worker
see_api    := core domain app api
see_main   := $(LAYERS)

# What a program needs that calls a layer, upper layers first.
needs_core   := core
needs_domain := domain core
needs_store  := store domain core
needs_cache  := cache domain core
needs_remote := remote domain core
needs_app    := app store cache remote domain core
needs_worker := worker $(needs_app)
needs_api    := api $(needs_app)
needs_main   := api worker $(needs_app)

# service/<layer>/..., api/..., tests/unit/<layer>/..., tests/fuzz/<layer>_...; main and everything
# else may see all.
layer_of = $(firstword $(filter $(LAYERS),$(word 2,$(subst /, ,$(filter service/%,$(1)))) \
           $(if $(filter api/%,$(1)),api) $(word 3,$(subst /, ,$(filter tests/unit/%,$(1)))) \
           $(firstword $(subst _, ,$(patsubst tests/fuzz/%,%,$(filter tests/fuzz/%,$(1)))))) main)
folder_of = $(if $(filter api,$(1)),api,service/$(1))

# ---- flags ------------------------------------------------------------------------------------
# Hardening after the OpenSSF compiler guide, as far as gcc 12 and clang 14 know it.

IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
IS_X86 := $(filter x86_64 i686,$(shell uname -m))

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wformat=2 -Wformat-security -Wswitch-enum -Wpointer-arith -Wundef -Wimplicit-fallthrough \
        -Werror $(if $(IS_CLANG),,-Wbidi-chars=any -Wtrampolines)
HARDEN := -fstack-protector-strong -fstack-clash-protection -fno-delete-null-pointer-checks \
          -fno-strict-overflow -fno-strict-aliasing -fexceptions -fPIE \
          $(if $(IS_X86),-fcf-protection=full) $(if $(IS_CLANG),,-ftrivial-auto-var-init=zero)
FORTIFY := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen,--as-needed

mode_         := -O2 $(FORTIFY)
mode_release  := -O2 -DNDEBUG -ffile-prefix-map=$(CURDIR)=. $(FORTIFY)
mode_asan     := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
mode_tsan     := -O1 -fno-omit-frame-pointer -fsanitize=thread
mode_fuzz     := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
link_asan     := -fsanitize=address,undefined
link_tsan     := -fsanitize=thread
link_fuzz     := -fsanitize=fuzzer,address,undefined
MODE := $(mode_$(VARIANT))
ifeq ($(strip $(MODE)),)
$(error VARIANT is asan, tsan, release, fuzz (with clang) or empty, not "$(VARIANT)")
endif

PACKAGES := libulfius liborcania libyder libmicrohttpd jansson libpq hiredis libcurl gnutls libsodium \
            zlib
ALL_CFLAGS := -std=gnu17 -g -D_GNU_SOURCE -pthread $(WARN) $(HARDEN) $(MODE) $(CFLAGS) \
              $(patsubst -I%,-isystem%,$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null))
ALL_LDFLAGS := -pthread $(LINK) $(link_$(VARIANT)) $(LDFLAGS)
LDLIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm

# ---- sources ----------------------------------------------------------------------------------

sources = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))
layer_sources = $(filter-out service/main.c,$(call sources,$(call folder_of,$(1))))
objects = $(patsubst %.c,$(OUT)/obj/%.o,$(1))

# Files that go into the program as they are: the schema, and what the API serves.
SCHEMA := $(sort $(wildcard service/store/migrations/*.sql service/store/schema/*.sql))
ASSETS := $(sort $(shell find api/assets -type f 2>/dev/null)) \
          $(if $(wildcard openapi.yaml),$(OUT)/gen/openapi.json $(OUT)/gen/openapi-salesforce.json)
embedded_store := $(if $(wildcard include/store/migrate.h),$(OUT)/obj/gen/schema.o)
embedded_api := $(if $(wildcard api/assets.h),$(OUT)/obj/gen/assets.o)

$(foreach l,$(LAYERS),$(eval objects_$(l) := $(call objects,$(call layer_sources,$(l))) $(embedded_$(l))))
MAIN := $(call objects,$(wildcard service/main.c))
libs = $(foreach l,$(needs_$(1)),$(if $(objects_$(l)),$(OUT)/lib$(l).a))

# A file beside the tests that is not named test_* is shared by all tests of its folder.
UNIT_TESTS := $(sort $(shell find tests/unit -name 'test_*.c' 2>/dev/null))
INTEGRATION_TESTS := $(sort $(wildcard tests/integration/test_*.c))
test_bins = $(patsubst tests/%.c,$(OUT)/tests/%,$(1))
shared_with = $(call objects,$(if $(filter tests/fuzz/%,$(1)),,$(filter-out $(dir $(1))test_%,$(wildcard \
              $(dir $(1))*.c))))

# tests/fuzz/<layer>_<what>.c is a libFuzzer entry that needs that layer and those below. Other
# builds than that for fuzzing get a program that replays the inputs that are known.
FUZZ_ENTRIES := $(sort $(wildcard tests/fuzz/*.c))
REPLAY := $(if $(filter fuzz,$(VARIANT)),,$(call objects,tests/fuzz/replay/replay.c))

# ---- rules ------------------------------------------------------------------------------------

.PHONY: build unit-tests integration-tests fuzz-entries FORCE
build: $(if $(MAIN),$(OUT)/kamd,$(foreach l,$(LAYERS),$(if $(objects_$(l)),$(OUT)/lib$(l).a)))
unit-tests: $(call test_bins,$(UNIT_TESTS))
integration-tests: $(call test_bins,$(INTEGRATION_TESTS))
fuzz-entries: $(call test_bins,$(FUZZ_ENTRIES))

# Written anew only when they change, so that what depends on them is built anew only then.
write_if_changed = @mkdir -p $(@D); cmp -s $@ - <<<'$(1)' || cat >$@ <<<'$(1)'
$(OUT)/flags: FORCE
	$(call write_if_changed,$(CURDIR) $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LDLIBS))
$(OUT)/objects: FORCE
	$(call write_if_changed,$(MAIN) $(foreach l,$(LAYERS),$(objects_$(l))))
$(OUT)/gen/embedded: FORCE
	$(call write_if_changed,$(SCHEMA) $(ASSETS))

$(BUILD)/view-of: FORCE
	$(call write_if_changed,$(CURDIR))
$(BUILD)/view/made: Makefile $(BUILD)/view-of
	@rm -rf $(@D); $(foreach l,main $(LAYERS),mkdir -p $(@D)/$(l); \
	  $(foreach s,$(see_$(l)),ln -s $(CURDIR)/include/$(s) $(@D)/$(l)/$(s);)) touch $@

flags_of = $(ALL_CFLAGS) -I$(BUILD)/view/$(1) $(if $(filter main,$(1)),,-iquote $(call folder_of,$(1)))
compile = $(CC) $(call flags_of,$(1)) -MMD -MP -c $< -o $@
$(OUT)/obj/%.o: %.c $(OUT)/flags | $(BUILD)/view/made
	@mkdir -p $(@D); echo "  $(CC) $<"
	@$(call compile,$(call layer_of,$*))
$(OUT)/obj/gen/schema.o: $(OUT)/gen/schema.c $(OUT)/flags | $(BUILD)/view/made
	@mkdir -p $(@D)
	@$(call compile,store)
$(OUT)/obj/gen/assets.o: $(OUT)/gen/assets.c $(OUT)/flags | $(BUILD)/view/made
	@mkdir -p $(@D)
	@$(call compile,api)

$(OUT)/gen/schema.c: $(SCHEMA) deploy/build/embed $(OUT)/gen/embedded
	@deploy/build/embed schema $(SCHEMA) >$@
$(OUT)/gen/assets.c: $(ASSETS) deploy/build/embed $(OUT)/gen/embedded
	@deploy/build/embed assets $(@D)/assets $(ASSETS) >$@
$(OUT)/gen/openapi.json: openapi.yaml deploy/build/yaml-to-json
	@mkdir -p $(@D)
	@deploy/build/yaml-to-json $< >$@
$(OUT)/gen/openapi-salesforce.json: $(OUT)/gen/openapi.json deploy/build/openapi-salesforce
	@deploy/build/openapi-salesforce $< >$@

define archive
$(OUT)/lib$(1).a: $(objects_$(1)) $(OUT)/objects
	@rm -f $$@; ar rcs $$@ $(objects_$(1))
endef
$(foreach l,$(LAYERS),$(eval $(call archive,$(l))))

link = @mkdir -p $(@D); echo "  link $@"; \
       $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS) $(1)
$(OUT)/kamd: $(MAIN) $(call libs,main) $(OUT)/flags $(OUT)/objects
	$(call link)

define test_rule
$(call test_bins,$(1)): $(call objects,$(1)) $(3) $(call shared_with,$(1)) $(call libs,$(call layer_of,$(1))) \
    $(OUT)/flags $(OUT)/objects
	$$(call link,$(2))
endef
$(foreach t,$(UNIT_TESTS) $(INTEGRATION_TESTS),$(eval $(call test_rule,$(t),-lcmocka)))
$(foreach t,$(FUZZ_ENTRIES),$(eval $(call test_rule,$(t),,$(REPLAY))))

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)

# What a compiler says of each C file, tests too; makes nothing: make syntax CC=clang
# clang starts a process for each file; clang-tidy looks at all of them in one, but wants a check of its own besides.
syntax_of = $(if $(IS_CLANG),clang-tidy --quiet --checks='-*$(,)clang-diagnostic-*$(,)misc-static-assert' \
            --header-filter='.*' $(2) -- $(1),$(CC) $(1) -fsyntax-only $(2))
, := ,
C_FILES := $(call sources,service api tests/unit tests/integration tests/fuzz)
.PHONY: syntax $(foreach l,$(LAYERS) main,syntax-$(l))
syntax: $(foreach l,$(LAYERS) main,syntax-$(l))
$(foreach l,$(LAYERS) main,syntax-$(l)): syntax-%: $(BUILD)/view/made
	@$(call syntax_of,$(call flags_of,$*),$(foreach f,$(C_FILES),$(if $(filter $*,$(call layer_of,$(f))),$(f))))

# For the lints: the flags that each layer's files are compiled with, one layer a line.
.PHONY: flags
flags: $(BUILD)/view/made
	@$(foreach l,$(LAYERS) main,echo '$(l) $(call flags_of,$(l))';)

# ---- run --------------------------------------------------------------------------------------

.PHONY: help run start stop
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18
start: ## install what is missing, build, start PostgreSQL, Redis and kamd with demo data
	@deploy/dev/install run
	@+$(MAKE) --no-print-directory build
	@deploy/dev/run start $(abspath $(OUT)/kamd)
run: ## the same in the foreground; Ctrl-C stops everything
	@deploy/dev/install run
	@+$(MAKE) --no-print-directory build
	@deploy/dev/run run $(abspath $(OUT)/kamd)
stop: ## stop what `make start` started
	@deploy/dev/run stop

# ---- check ------------------------------------------------------------------------------------

.PHONY: test test-unit test-integration test-e2e test-contract test-deploy lint format fresh clean
.PHONY: bench openapi soak attack mutation rehearsal fuzz
test: ## all tests; the last line is "N passed, N failed"
	@tests/run all
test-unit: ## only the unit tests
	@tests/run unit
test-integration: ## only those against PostgreSQL and Redis
	@tests/run integration
test-e2e: ## only those against the running program
	@tests/run e2e
test-contract: ## only openapi.yaml against the running program
	@tests/run contract
test-deploy: ## only manifests, rules and dashboards
	@tests/run deploy
lint: ## format, static analysis, and the rules of the house
	@tests/lint/run
format: ## format all C files
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs -r clang-format -i
fresh: ## README's commands, make test too, on a Debian with nothing installed (SUITE=trixie: on 13)
	@tests/fresh/run
bench: ## measure
	@tests/bench/run
openapi: ## assemble openapi.yaml from api/openapi, the descriptors and the routes
	@node api/openapi/assemble.mjs
fuzz: ## fuzz each parser for a while: make fuzz SECONDS=60
	@tests/run-fuzz $(or $(SECONDS),60)
soak: ## the long variants of tests
	@tests/soak/run
attack: ## sqlmap and wapiti against the service
	@tests/attack/run
mutation: ## take each check of access away; a test must miss it
	@tests/mutation/run
rehearsal: ## what operators do: rollout, failover, recovery, pooler, image
	@tests/rehearsal/run
clean: ## remove what was built (not .run, which holds the data)
	rm -rf $(BUILD)

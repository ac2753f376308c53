# What one does with Tenon. The build itself is Meson's (meson.build); SAN=1 builds with address and
# undefined-behaviour sanitizers in a folder of its own.
BUILD  := build$(if $(SAN),-san)
,      := ,
SETUP  := $(if $(SAN),-Db_sanitize=address$(,)undefined -Db_lundef=false)
TENON  := $(BUILD)/tenon

.PHONY: all demo test test-shared bench versus arm fuzz rooms deps install clean help

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja: | deps
	meson setup $(BUILD) $(SETUP)

help:
	@echo "make              build $(TENON), libtenon.so and libtenon.a"
	@echo "make demo         install what is missing, build, answer three requests with the embedded model"
	@echo "make test         install what is missing, build, run every test (SAN=1: with sanitizers)"
	@echo "make test-shared  the checks against ../shared, token masks among them (skipped aloud where it is not there)"
	@echo "make bench        speed of the embedded model, of an LFM2-1.2B-shaped random one, and of token masks"
	@echo "make versus       prefill and decode beside llama.cpp on the same files (builds it once; skipped aloud if it cannot)"
	@echo "make arm          cross-build for 64-bit ARM, its tests under qemu-user (skipped aloud without them)"
	@echo "make fuzz         60 seconds of each fuzz target (SECONDS=N for longer)"
	@echo "make rooms        check that includes point downward only"
	@echo "make deps         install missing packages (Debian and kin)"
	@echo "make install      PREFIX=/usr/local, DESTDIR=: binary, libraries, header, manual page"

deps:
	@sh tools/deps.sh

demo: all
	sh examples/demo.sh $(TENON)

test: all
	python3 tools/run_tests.py $(BUILD) $(if $(SAN),-test_arm) # its programs are the same in every build

test-shared: all
	sh tools/test_shared.sh $(TENON)

bench: all
	sh tools/bench.sh $(TENON)

versus: all
	python3 tools/versus.py $(TENON)

arm:
	@sh tools/arm/run.sh || [ $$? = 77 ]

fuzz: deps
	sh tools/fuzz.sh $(or $(SECONDS),60)

rooms:
	python3 tools/rooms.py

PREFIX ?= /usr/local
install: all
	meson configure $(BUILD) -Dprefix=$(PREFIX)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf build build-san build-fuzz build-gcc build-clang build-arm

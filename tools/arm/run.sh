#!/bin/sh
# Builds for 64-bit ARM with Debian's cross compiler and runs the op test, the model test and a call of
# the embedded model under qemu-user, for a core without dot products, one with them, and one with
# the matrix products too. Usage: run.sh [--quick] (the op test once, with every step). Says what is missing and ends
# with status 77 where something is; needs, on Debian:
#   dpkg --add-architecture arm64 && apt-get update && apt-get install gcc-aarch64-linux-gnu qemu-user
#     libpcre2-dev:arm64 libxxhash-dev:arm64 libzstd-dev:arm64 zlib1g-dev:arm64 libcmocka-dev:arm64
set -eu
cd "$(dirname "$0")/../.."
build=build-arm

skip() { echo "skipped: ARM tests ($1)"; exit 77; }
for tool in aarch64-linux-gnu-gcc qemu-aarch64 meson ninja; do
    command -v "$tool" >/dev/null 2>&1 || skip "no $tool"
done
for lib in libpcre2-8 libxxhash cmocka; do
    [ -f "/usr/lib/aarch64-linux-gnu/pkgconfig/$lib.pc" ] || skip "no $lib for arm64"
done

[ -f "$build/build.ninja" ] || meson setup "$build" --cross-file tools/arm/aarch64.ini >/dev/null
ninja -C "$build" tests/test_cpu tests/test_model tenon >/dev/null

passed=0 failed=0
check() { # what, command…
    what=$1; shift
    if out=$("$@" 2>&1); then passed=$((passed + 1)); echo "ok: $what"
    else failed=$((failed + 1)); echo "FAILED: $what"; printf '%s\n' "$out" | tail -n 20; fi
}
call() { # core: the embedded model answers in both phases of every kernel
    answer=$(qemu-aarch64 -cpu "$1" "$build/tenon" call --tools examples/home.json "dim the kitchen to 10")
    [ "$answer" = 'set_light(room="kitchen", brightness=10)' ] || { echo "answered: $answer"; return 1; }
}
has() { # core, what it is said to have
    qemu-aarch64 -cpu "$1" "$build/tenon" bench -p 1 -n 0 -r 1 -t 1 | grep -q " threads, $2\$"
}
for core in "cortex-a53:neon" "cortex-a76:neon dotprod" "max:neon dotprod i8mm" "max,sve=off:neon dotprod i8mm"; do
    cpu=${core%%:*}
    check "$cpu has ${core#*:}" has "$cpu" "${core#*:}"
    check "call on $cpu" call "$cpu"
done
check "test_cpu on max" qemu-aarch64 -cpu max "$build/tests/test_cpu" # runs every step that a core has
if [ "${1:-}" != --quick ]; then
    check "test_cpu on cortex-a53" qemu-aarch64 -cpu cortex-a53 "$build/tests/test_cpu"
    # Without the shared model files: they take an emulator half an hour.
    for cpu in cortex-a53 cortex-a76 max; do check "test_model on $cpu" env TENON_SHARED=/nowhere qemu-aarch64 -cpu "$cpu" "$build/tests/test_model"; done
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

#!/bin/sh
# Builds the libFuzzer targets with clang and runs each for N seconds, as many at once as there are cores; a crash leaves
# its input in the build folder (build-fuzz, or FUZZ_BUILD). fuzz.sh N [TARGET]: TARGET alone, built already.
set -eu
seconds=$1 dir=${FUZZ_BUILD:-build-fuzz}
if [ $# -gt 1 ]; then
    name=$2; corpus=$dir/corpus-$name; mkdir -p "$corpus"
    [ ! -d "fuzz/seeds/$name" ] || cp -n fuzz/seeds/"$name"/* "$corpus"/ 2>/dev/null || true
    told=$(ASAN_OPTIONS=detect_leaks=1 "$dir/fuzz/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="$dir/crash-$name-" "$corpus" 2>&1 |
        grep -E 'ERROR|SUMMARY|stat::number_of_executed_units|runtime error' || true)
    echo "$name: $seconds s, $told"
    if ls "$dir/crash-$name-"* >/dev/null 2>&1; then echo "fuzz: $name found something: $(ls "$dir/crash-$name-"*)" >&2; exit 1; fi
    exit 0
fi
command -v clang >/dev/null 2>&1 || { echo "fuzz: clang is missing (apt-get install clang libclang-rt-14-dev)" >&2; exit 1; }
[ -f "$dir/build.ninja" ] || CC=clang meson setup "$dir" --werror -Doptimization=1 -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
ninja -C "$dir" >/dev/null || { ninja -C "$dir" | tail -20; exit 1; }
find "$dir/fuzz" -maxdepth 1 -name 'fuzz_*' -type f -perm -u+x -exec basename {} \; | sort |
    xargs -P "$(nproc)" -n 1 sh "$0" "$seconds"

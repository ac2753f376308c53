#!/bin/sh
# soname.sh LIBRARY COMPILER…: the name under which a shared library is loaded when the program runs, or nothing.
lib=$1; shift
file=$("$@" "-print-file-name=lib$lib.so") && [ -f "$file" ] || exit 0
"${READELF:-readelf}" -d "$file" 2>/dev/null | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p'

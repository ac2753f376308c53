#!/bin/sh
# Appends what comes on stdin to the file $TENON_NOTES (default: /tmp/tenon-notes.txt): a tool that writes, so it is asked for.
file="${TENON_NOTES:-/tmp/tenon-notes.txt}"
{ cat; echo; } >>"$file" && echo '{"ok":true}'

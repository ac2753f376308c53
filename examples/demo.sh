#!/bin/sh
# Three requests for tools the embedded model has never seen (examples/home.json).
set -eu
tenon=$1
ask() {
    printf '\n> %s\n' "$1"
    "$tenon" call --tools examples/home.json "$1"
}
ask "dim the kitchen to 10"
ask "wake me up at 6:45, label it swimming"
ask "play Blue Train in the living room"

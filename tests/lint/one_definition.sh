#!/usr/bin/env bash
# bash tests/lint/one_definition.sh BUILD: no two libraries of a build may define a function of one name. The linker takes the
# first that it meets and says nothing, so that a program may run another function than the one that was read.
set -euo pipefail
folder=${1:?the folder of a build}
mapfile -t libraries < <(find "$folder" -name 'libtessera*.a' | sort)
[ ${#libraries[@]} -gt 1 ] || { echo "no libraries in $folder"; exit 1; }
twice=$(for library in "${libraries[@]}"; do
  nm --defined-only "$library" 2>/dev/null | awk '$2 ~ /^[TDBR]$/ { print $3 }' | sort -u
done | sort | uniq -d)
[ -z "$twice" ] && exit 0
while read -r symbol; do
  echo "defined twice: $(c++filt "$symbol")"
  for library in "${libraries[@]}"; do
    if nm --defined-only "$library" 2>/dev/null | grep -q " [TDBR] $symbol\$"; then echo "  $library"; fi
  done
done <<<"$twice"
exit 1

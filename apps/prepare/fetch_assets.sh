#!/bin/sh
# fetch_assets FOLDER: downloads the Debian packages for the scenes of `prepare default` and unpacks them under FOLDER
# without root; FOLDER is then the value of --assets. Packages that are already there are not downloaded again.
# Run this file (fetch_assets.sh FOLDER), or source it to get the function.

fetch_assets_say() { echo "fetch_assets: $*" >&2; }

# fetch_assets_package NAME FOLDER WITNESS [TAR-PATTERN]: WITNESS is a file of the package; its path is relative to FOLDER.
fetch_assets_package() {
  if [ -e "$2/$3" ]; then return 0; fi
  if [ -e "/$3" ] && [ -z "${FETCH_ASSETS_ALL:-}" ]; then
    # Installed on this machine: a link instead of a download.
    mkdir -p "$2/$(dirname "$3")" && ln -s "/$3" "$2/$3" && return 0
  fi
  fetch_dir="$2/.fetch.$1"
  rm -rf "$fetch_dir" && mkdir -p "$fetch_dir" || return 1
  if ! (cd "$fetch_dir" && apt-get -qq download "$1" >log 2>&1); then
    fetch_assets_say "apt-get download $1 failed: $(tail -n 1 "$fetch_dir/log")"
    fetch_assets_say "run apt-get update first, or install the package (apt-get install $1)"
    rm -rf "$fetch_dir"
    return 1
  fi
  if [ -n "${4:-}" ]; then
    dpkg-deb --fsys-tarfile "$fetch_dir"/*.deb | tar -x -C "$fetch_dir" "$4"
  else
    mkdir "$fetch_dir/root" && dpkg-deb -x "$fetch_dir"/*.deb "$fetch_dir/root"
  fi || { fetch_assets_say "cannot unpack $1"; rm -rf "$fetch_dir"; return 1; }
  rm -f "$fetch_dir"/*.deb "$fetch_dir/log"
  if [ -d "$fetch_dir/root" ]; then cp -a "$fetch_dir/root/." "$2/"; else cp -a "$fetch_dir/." "$2/"; fi
  rm -rf "$fetch_dir"
  if [ ! -e "$2/$3" ]; then
    fetch_assets_say "package $1 has no /$3"
    return 1
  fi
}

fetch_assets() {
  if [ $# -ne 1 ] || [ -z "$1" ]; then
    fetch_assets_say "usage: fetch_assets FOLDER"
    return 2
  fi
  mkdir -p "$1" || return 1
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    fetch_assets_say "found no apt-get or no dpkg-deb: the default data set needs Debian packages"
    return 1
  fi
  fetch_assets_package openclipart-svg "$1" usr/share/openclipart/svg &&
    fetch_assets_package fonts-noto-color-emoji "$1" usr/share/fonts/truetype/noto/NotoColorEmoji.ttf &&
    fetch_assets_package unicode-data "$1" usr/share/unicode/emoji/emoji-test.txt ./usr/share/unicode/emoji/emoji-test.txt &&
    fetch_assets_package dataset-fashion-mnist "$1" usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ||
    return 1
  if ! command -v rsvg-convert >/dev/null; then
    fetch_assets_package librsvg2-bin "$1" usr/bin/rsvg-convert || return 1
    if ! "$1/usr/bin/rsvg-convert" --version >/dev/null 2>&1; then
      fetch_assets_say "the unpacked rsvg-convert does not run; install it: apt-get install librsvg2-bin"
      return 1
    fi
  fi
}

case "$0" in
  *fetch_assets.sh) fetch_assets "$@" ;;
esac

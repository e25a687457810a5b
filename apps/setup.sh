# demo.sh and tests/run.sh source this file. It installs the packages that a fresh Debian 12 machine lacks.
# tessera_install PACKAGE…: prints nothing when all packages are installed; otherwise it needs root or sudo.

tessera_build_packages="g++ cmake ninja-build ccache pkg-config libfmt-dev libcli11-dev libtomlplusplus-dev
  nlohmann-json3-dev libjpeg62-turbo-dev libpng-dev libtiff-dev libwebp-dev libstb-dev libfreetype-dev libutf8proc-dev zlib1g-dev"

tessera_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local run=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "setup: packages are missing; install them as root: apt-get install ${missing[*]}" >&2; return 1; }
    run=(sudo)
  fi
  echo "setup: installing ${missing[*]}"
  "${run[@]}" apt-get update -qq || return 1
  DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >"${TMPDIR:-/tmp}/tessera-setup.log" 2>&1 ||
    { tail -n 5 "${TMPDIR:-/tmp}/tessera-setup.log" >&2; echo "setup: apt-get install failed" >&2; return 1; }
}

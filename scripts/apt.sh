# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced: apt_install PACKAGE...: install what exists of these Debian packages when this user may; else return 1.
apt_install() {
  command -v apt-get >/dev/null 2>&1 || return 1
  if [ "$(id -u)" = 0 ]; then as_root=""
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"
  else return 1; fi
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get -qq update >/dev/null 2>&1 || true
  known=""
  for package in "$@"; do
    if apt-cache show "$package" >/dev/null 2>&1; then known="$known $package"; fi
  done
  [ -n "$known" ] || return 1
  # shellcheck disable=SC2086
  $as_root apt-get -qq install -y --no-install-recommends $known >/dev/null 2>&1
}

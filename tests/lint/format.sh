#!/usr/bin/env bash
# Fails when a tracked source is not formatted as .clang-format says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
formatter=$(command -v clang-format-14 || command -v clang-format)
git ls-files '*.h' '*.cpp' '*.cu' | xargs "$formatter" --dry-run --Werror

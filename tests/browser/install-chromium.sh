#!/bin/sh
# Installs Debian's Chromium for tests/browser, or says what to do where that is not possible.
set -e
for name in chromium chromium-browser google-chrome; do
  if [ -n "$CHROMIUM" ] || command -v "$name" >/dev/null; then exit 0; fi
done
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  exec apt-get install -y -qq --no-install-recommends chromium
fi
echo "tests/browser need Chromium: install the package chromium, or name a Chromium with CHROMIUM=/path/to/it" >&2
exit 1

#!/bin/sh
# Measures files of /input, given as one argument with a path on each line, and writes /output/PATH.json for each.
set -eu

measure() {
  file=$1
  # shellcheck disable=SC2046  # three numbers
  set -- $(wc -lwc <"/input/$file")
  sum=$(sha256sum <"/input/$file")
  packed=$(gzip -9 -c <"/input/$file" | wc -c)
  mkdir -p "$(dirname "/output/$file")"
  printf '{"file":"%s","lines":%d,"words":%d,"bytes":%d,"gzip_bytes":%d,"sha256":"%s"}\n' \
    "$(printf %s "$file" | sed 's/[\\"]/\\&/g')" "$1" "$2" "$3" "$packed" "${sum%% *}" >"/output/$file.part"
  # The whole result or none, also when a job is tried again.
  mv "/output/$file.part" "/output/$file.json"
}

printf '%s\n' "$1" | while IFS= read -r file; do
  measure "$file"
done

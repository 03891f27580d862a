#!/usr/bin/env bash
# Runs on the host: trains in a local folder, and copies it to the bucket while it grows. The trainer
# renames files to make each whole at once, which a bucket cannot do. A checkpoint that a preemption
# caught half copied is passed over by its checksum.
set -euo pipefail
cd "$(dirname "$0")/../.."
source configs/tpu/settings.sh
: "${COPY_EVERY:=300}"
workdir=runs/$RUN
cache=cache

# From where an earlier machine left the run and the tokenised data.
there() { gcloud storage ls "$1" > /dev/null 2>&1; }
mkdir -p "$workdir" "$cache"
if there "$BUCKET/cache/"; then gcloud storage rsync --recursive "$BUCKET/cache" "$cache"; fi
if there "$BUCKET/runs/$RUN/"; then gcloud storage rsync --recursive "$BUCKET/runs/$RUN" "$workdir"; fi

copy() {
  gcloud storage rsync --recursive --exclude='.*\.writing.*' "$cache" "$BUCKET/cache" &&
    gcloud storage rsync --recursive --exclude='.*\.writing.*' \
      --delete-unmatched-destination-objects "$workdir" "$BUCKET/runs/$RUN"
}
# A file may be gone before it is copied; the next round finds what took its place.
# Its output goes to a file: who waits for the end of this script waits for its open ends too.
while sleep "$COPY_EVERY"; do copy || true; done > copying.log 2>&1 &
copier=$!

export TPU_LOAD_LIBRARY=1
if [ "$TPU_ADDRESS" != local ]; then export TPU_LOAD_LIBRARY=0; fi
code=0
.venv/bin/python -m sparse_mixer_tf.train --flagfile="$FLAGFILE" --tpu="$TPU_ADDRESS" \
  --data_dir="$BUCKET/tfds" --cache_dir="$cache" --workdir="$workdir" "$@" &
trainer=$!
# A signal to the machine reaches the trainer, which then writes a checkpoint and ends with 75.
trap 'kill -TERM "$trainer"' TERM INT
wait "$trainer" || code=$?
if kill -0 "$trainer" 2> /dev/null; then code=0; wait "$trainer" || code=$?; fi
kill "$copier"
copy
exit "$code"

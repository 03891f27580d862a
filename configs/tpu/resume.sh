#!/usr/bin/env bash
# Trains to the end, however often the TPU is taken away: makes it anew, and the run goes on from
# what the bucket has of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
source configs/tpu/settings.sh

state() {
  gcloud compute tpus tpu-vm describe "$TPU_NAME" --zone="$ZONE" --format='value(state)' || true
}

while true; do
  if [ "$(state)" != READY ]; then
    gcloud compute tpus tpu-vm delete "$TPU_NAME" --zone="$ZONE" --quiet || true
    configs/tpu/create.sh
    configs/tpu/install.sh
  fi
  code=0
  configs/tpu/train.sh "$@" || code=$?
  # 75: interrupted with a checkpoint written. Else a TPU that is still there means a real failure.
  if [ "$code" = 0 ]; then exit 0; fi
  if [ "$code" != 75 ] && [ "$(state)" = READY ]; then exit "$code"; fi
done

#!/usr/bin/env bash
# Starts the run on the TPU, or continues it, and stays until it ends. Exit code: the trainer's.
set -euo pipefail
cd "$(dirname "$0")/../.."
source configs/tpu/settings.sh

# Worker 0 drives every chip, those of other hosts as well.
gcloud compute tpus tpu-vm ssh "$TPU_NAME" --zone="$ZONE" --worker=0 --command="cd $CODE && \
  BUCKET=$BUCKET RUN=$RUN TPU_NAME=$TPU_NAME FLAGFILE=$FLAGFILE TPU_ADDRESS=$TPU_ADDRESS \
  bash configs/tpu/on_host.sh $(printf '%q ' "$@")"

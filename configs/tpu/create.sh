#!/usr/bin/env bash
# Makes the TPU: a spot one, which costs least and may be taken away; resume.sh brings it back.
set -euo pipefail
cd "$(dirname "$0")/../.."
source configs/tpu/settings.sh

gcloud compute tpus tpu-vm create "$TPU_NAME" --zone="$ZONE" \
  --accelerator-type="$ACCELERATOR_TYPE" --version="$RUNTIME_VERSION" --spot

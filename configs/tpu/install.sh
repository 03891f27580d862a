#!/usr/bin/env bash
# Brings code and packages to every host of the TPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
source configs/tpu/settings.sh

ssh_all() {
  gcloud compute tpus tpu-vm ssh "$TPU_NAME" --zone="$ZONE" --worker=all --command="$1"
}

ssh_all "mkdir -p $CODE"
gcloud compute tpus tpu-vm scp --recurse --worker=all --zone="$ZONE" \
  pipelines sparse_mixer_tf configs requirements-tpu.txt requirements-tpu-no-deps.txt \
  "$TPU_NAME:$CODE/"
ssh_all "cd $CODE && python3 -m venv .venv \
  && .venv/bin/python -m pip install --quiet --upgrade pip \
  && .venv/bin/python -m pip install --quiet -r requirements-tpu.txt \
  && .venv/bin/python -m pip install --quiet --no-deps -r requirements-tpu-no-deps.txt"

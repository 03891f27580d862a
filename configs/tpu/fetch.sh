#!/usr/bin/env bash
# Fetches the run from the bucket; it may still be going on. Then evaluate, predict and export work.
set -euo pipefail
cd "$(dirname "$0")/../.."
source configs/tpu/settings.sh

mkdir -p "runs/$RUN"
gcloud storage rsync --recursive "$BUCKET/runs/$RUN" "runs/$RUN"

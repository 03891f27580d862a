# shellcheck shell=bash
# What every script here goes by; set any of it in the environment. BUCKET has no default.
#   BUCKET=gs://mine configs/tpu/create.sh && BUCKET=gs://mine configs/tpu/install.sh && …
: "${BUCKET:?set BUCKET=gs://your-bucket, where data, tokens and runs are kept}"
: "${RUN:=c4}"
: "${ZONE:=us-west4-a}"
: "${TPU_NAME:=sparse-mixer}"
: "${ACCELERATOR_TYPE:=v5litepod-8}"
# Of several hosts: ACCELERATOR_TYPE=v5litepod-32, RUNTIME_VERSION=tpu-vm-tf-2.20.0-pod-pjrt,
# FLAGFILE=configs/tpu/pod_slice.flags, TPU_ADDRESS=$TPU_NAME.
: "${RUNTIME_VERSION:=tpu-vm-tf-2.20.0-pjrt}"
: "${FLAGFILE:=configs/tpu/one_host.flags}"
: "${TPU_ADDRESS:=local}"
export BUCKET RUN ZONE TPU_NAME ACCELERATOR_TYPE RUNTIME_VERSION FLAGFILE TPU_ADDRESS
# Folder of the code on every host, below the home folder.
export CODE=sparse_mixer_tf_code

#!/usr/bin/env bash
# Train both demo models on phantoms, on a CPU, from random weights.
#
#   training/recipes/phantoms_cpu.sh [OUT]            OUT is build/training-run unless given
#   SCALE=3 training/recipes/phantoms_cpu.sh OUT      three times the steps: better models
#   FROM=OUT training/recipes/phantoms_cpu.sh NEW     another round, from OUT's models and images
#
# Two lanes run side by side, one thread each: on a busy machine two threads of one process wait for
# each other longer than they work. Small images first, because a step at 160 px costs a sixth of one
# at 380 px; both trunks learn where findings are before, or while, they learn what to answer.
# Killed or interrupted, the same command goes on where it stopped. Every stage takes some minutes and
# leaves its own weights, curves and settings; the last ones are the models.
set -euo pipefail

OUT=${1:-build/training-run}
PYTHON=${PYTHON:-.venv/bin/python}
STUDIES=${STUDIES:-2000}
SCALE=${SCALE:-1}
FROM=${FROM:-}
DATA=${FROM:-$OUT}
# threads that find no core free must sleep, not spin
export OMP_WAIT_POLICY=PASSIVE

say() { printf '%s  %s\n' "$(date -u +%FT%TZ)" "$*"; }

classifier() {  # NAME IMAGE_SIZE LEARNING_RATE STEPS BATCH [FLAGS...]: one stage, from the one before
  local name=$1 size=$2 rate=$3 steps=$4 batch=$5
  shift 5
  say "classifier $name: $size px, $((steps * SCALE)) steps"
  "$PYTHON" -m training.train_classifier --data "$DATA/prepared" --model-dir "$OUT/classifier-$name" \
    --image-size "$size" --learning-rate "$rate" --max-steps "$((steps * SCALE))" \
    --epochs 100 --patience 0 --batch-size "$batch" --dropout 0.1 --localisation-weight 1 --ema-decay 0.99 --threads 1 "$@"
}

detector() {  # NAME IMAGE_SIZE LEARNING_RATE STEPS BATCH [FLAGS...]
  local name=$1 size=$2 rate=$3 steps=$4 batch=$5
  shift 5
  say "detector $name: $size px, $((steps * SCALE)) steps"
  "$PYTHON" -m training.train_detector --data "$DATA/prepared" --model-dir "$OUT/detector-$name" \
    --image-size "$size" --learning-rate "$rate" --max-steps "$((steps * SCALE))" \
    --epochs 100 --patience 0 --batch-size "$batch" --ema-decay 0.99 --precision "$PRECISION" --threads 1 "$@"
}

classifier_lane() {
  classifier 160 160 1e-3 600 8 \
    ${FROM:+--backbone-weights "$FROM/classifier-380/efficientnet_b4_best.pth"}
  classifier 224 224 6e-4 480 16 --warmup-fraction 0.05 \
    --backbone-weights "$OUT/classifier-160/efficientnet_b4_best.pth"
  # so few steps leave BatchNorm's running statistics behind: measured anew for the final weights
  classifier 380 380 3e-4 110 8 --warmup-fraction 0.05 --ema-decay 0.98 --norm-batches 40 \
    --backbone-weights "$OUT/classifier-224/efficientnet_b4_best.pth"
}

detector_lane() {
  detector backbone 160 1e-3 500 8 --objective localisation --background-fraction 0.3 \
    ${FROM:+--backbone-weights "$FROM/detector-256/final_model.pth"}
  detector 192 192 5e-4 400 4 --regions 64 --validation-images 80 --frozen-norm \
    --trainable-layers 3 --backbone-rate-scale 0.2 \
    --backbone-weights "$OUT/detector-backbone/detector_backbone.pth"
  detector 256 256 3e-4 150 4 --regions 64 --validation-images 80 --frozen-norm \
    --trainable-layers 3 --backbone-rate-scale 0.2 --warmup-fraction 0.05 \
    --backbone-weights "$OUT/detector-192/final_model.pth"
}

mkdir -p "$OUT"
say "$(uname -m), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores"
# bfloat16 halves the cost of a ResNet where the processor multiplies it, and doubles it elsewhere
PRECISION=$(grep -q avx512_bf16 /proc/cpuinfo && echo bf16 || echo fp32)
say "detector in $PRECISION"

[ -f "$DATA/phantoms/master_table.csv" ] || "$PYTHON" -m training.phantoms --out "$DATA/phantoms" \
  --studies "$STUDIES" --seed 2026 --size 640 --workers "$(nproc)"
"$PYTHON" -m training.prepare --data "$DATA/phantoms" --out "$DATA/prepared" --long-side 400 \
  >/dev/null 2>&1
say "$STUDIES phantoms drawn and prepared"

classifier_lane >"$OUT/classifier.log" 2>&1 &
first=$!
detector_lane >"$OUT/detector.log" 2>&1 &
second=$!
wait "$first" || { say "classifier failed, see $OUT/classifier.log"; exit 1; }
wait "$second" || { say "detector failed, see $OUT/detector.log"; exit 1; }
if [ -n "${VARIANT_13:-}" ]; then  # the 13-class detector from the 4-class one, for its figures
  detector 13 192 5e-4 260 4 --classes 13 --regions 64 --validation-images 200 --frozen-norm \
    --trainable-layers 3 --backbone-rate-scale 0.2 \
    --backbone-weights "$OUT/detector-256/final_model.pth" >>"$OUT/detector.log" 2>&1
fi
say "done: $OUT/classifier-380/efficientnet_b4_best.pth and $OUT/detector-256/final_model.pth"

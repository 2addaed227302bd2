# Training and judging the demo model, in Python under .cache/train. Never needed to run it. Sourced by ./dev.

training_environment() {
    install_packages python3-venv g++ libpython3-dev
    [ -x .cache/train/bin/python ] || python3 -m venv .cache/train
    .cache/train/bin/pip install -q -r train/requirements.txt
}

train() {
    model=${MODEL:-models/demo} runs=.cache/train-runs
    cat <<END
Training of the demo model goes on from the weights in $model with a fresh optimiser; checkpoints and logs are in $runs,
and a second call goes on from there. Parts, each of which can be run alone (see train/README.md):
  train/demo/vae.py     the autoencoder (finished; training it anew makes the rest invalid)
  train/demo/flow.py    transformer and text encoders: \`./dev train [--minutes N]\`, at a constant rate
  train/demo/flow.py    with --decay-minutes on a copy of the checkpoint: \`./dev train release [MINUTES]\`, then exports
END
    training_environment
    mkdir -p "$runs"
    python=.cache/train/bin/python
    if [ "${1:-}" = release ]; then
        cp "$runs/flow.pt" "$runs/release.pt"
        $python -m train.demo.flow --model "$model" --name release --kept 64 --decay-minutes "${2:-20}"
        $python -m train.demo.export "$runs/release.pt" "$model"
        return
    fi
    $python -m train.demo.flow --model "$model" --from "$model" "$@"
}

evaluate() {
    training_environment
    build
    if [ "${1:-}" = compare ]; then
        shift
        .cache/train/bin/python -m train.demo.compare build/kontext "${MODEL:-models/demo}" "$@"
        return
    fi
    .cache/train/bin/python -m train.demo.evaluate program build/kontext "${MODEL:-models/demo}" "$@"
}

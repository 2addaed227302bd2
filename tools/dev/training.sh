# Training and judging the demo model, in Python under .cache/train. Never needed to run it. Sourced by ./dev after clients.sh.

# python_environment NAME FILES...: .cache/train with the packages that the first file of pins names; the others are its parts
python_environment() {
    stamp_name=$1
    shift
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
    [ -x .cache/train/bin/python ] || python3 -m venv .cache/train
    once ".cache/train/$stamp_name" "$@" -- install_pins "$1"
}

install_pins() {
    say "installing $1 into .cache/train"
    .cache/train/bin/pip install -q --disable-pip-version-check -r "$1"
}

# For the judge: libegl1 and libgl1 are what the 2D library links to.
judging_environment() {
    install_packages libegl1 libgl1
    python_environment stamp-eval train/requirements-eval.txt
}

# For PyTorch too, 5.7 GB; its compiler wants a C++ compiler and Python's headers.
training_environment() {
    install_packages libegl1 libgl1 g++ libpython3-dev
    python_environment stamp train/requirements.txt train/requirements-eval.txt
}

train() {
    model=${MODEL:-models/demo} runs=${RUNS:-.cache/train-runs}
    if [ "${1:-}" = release ] && [ ! -f "$runs/flow.pt" ]; then
        echo "there is no $runs/flow.pt to make a release of: run \`./dev train --minutes N\` first" >&2
        exit 1
    fi
    cat <<END
Training of the demo model goes on from the weights in $model with a fresh optimiser; the checkpoints are in $runs,
and a second call goes on from there. Parts, each of which can be run alone (see train/README.md):
  train/demo/vae.py     the autoencoder (finished; training it anew makes the rest invalid, its decoder alone may go on)
  train/demo/flow.py    transformer and text encoders: \`./dev train [--minutes N]\`, at a constant rate
  train/demo/flow.py    with --rates 1:0 on a copy of the checkpoint: \`./dev train release [MINUTES]\`, then exports
MODEL and RUNS in the environment name other folders.
END
    training_environment
    mkdir -p "$runs"
    python=.cache/train/bin/python
    if [ "${1:-}" = release ]; then
        cp "$runs/flow.pt" "$runs/release.pt"
        $python -m train.demo.flow --model "$model" --work "$runs" --name release --kept 64 --rates 1:0 --minutes "${2:-20}"
        $python -m train.demo.export "$runs/release.pt" "$model"
        echo "judge the new weights with \`./dev eval\`; \`git checkout $model\` brings the committed ones back"
        return
    fi
    $python -m train.demo.flow --model "$model" --work "$runs" --from "$model" "$@"
}

evaluate() {
    python=.cache/train/bin/python model=${MODEL:-models/demo} what=${1:-}
    case $what in
    test) judging_environment && $python -m train.demo.test_judge && return || exit 1 ;;
    diffusers) training_environment ;;
    *) judging_environment ;;
    esac
    build
    case $what in
    compare | chain) shift && $python -m "train.demo.$what" build/kontext "$model" "$@" ;;
    diffusers) $python -m train.demo.check_diffusers build/kontext "$model" ;;
    *) $python -m train.demo.evaluate program build/kontext "$model" "$@" ;;
    esac
}

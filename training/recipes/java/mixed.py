"""Leaves a share of a base's weights in a model that went on from it.

    python training/recipes/java/mixed.py MODEL BASE PATH... --share SHARE --out FOLDER
        [--include GLOB]

`foretype train` tries that too, by its own validation files; here whoever calls it has chosen
by others. BASE may also be a model that went on from MODEL, of whose weights MODEL gets a share.
model.json lists what was mixed. The mean of weights on one path of training is often better than
both ends (Wortsman et al. 2022, "Model soups"). Tables and counts are the model's. What the
networks cost in bits is measured on a sample of the held-out files of the paths, those that the
model was trained on.
"""

from __future__ import annotations

import argparse

import making
import torch
from safetensors.torch import load

from foretype_models import registry
from foretype_models.bundle import WEIGHTS, Bundle
from foretype_models.network import Network
from foretype_training.bases import weights
from foretype_training.bundling import Identity, make_bundle
from foretype_training.corpus import read_corpus
from foretype_training.display import say
from foretype_training.errors import InputError
from foretype_training.growth import fits


def mixed(model: Bundle, base: Bundle, share: float) -> Network:
    """The model's network with so much of the base's weights. Raises InputError where these do
    not fit into its architecture."""
    architecture = model.description.architecture
    if not fits(base.description.architecture, architecture):
        raise InputError("the two are of different architectures")
    ours, theirs = load(model.files[WEIGHTS]), weights(base, architecture).weights
    network = Network(architecture)
    network.load_state_dict({k: torch.lerp(w, theirs[k], share) for k, w in ours.items()})
    return network


def mixture(options: argparse.Namespace) -> Bundle:
    """The model that the command asks for, checked and measured. Raises TrainingError and
    BundleError."""
    model, base = registry.load(options.model), registry.load(options.base)
    files = read_corpus(options.paths, [options.include]).files
    held_out = [file for file in files if file.is_held_out]
    d = model.description
    share = {"version": base.description.version, "share": options.share}
    training = {**d.training, "mixed": [*d.training.get("mixed", []), share]}
    identity = Identity(d.name, d.language, d.parameters, training)
    network = mixed(model, base, options.share)
    return make_bundle(network, model.ngrams(), identity, held_out, lambda text: say(f"  {text}"))


def main() -> None:
    command = making.parser(__doc__, "MODEL", "BASE")
    command.add_argument("--share", required=True, type=float, metavar="SHARE")
    options = command.parse_args()
    making.save(options.out, lambda: mixture(options))


if __name__ == "__main__":
    main()

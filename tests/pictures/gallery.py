"""The gallery of docs/representations.md: one recording in every representation, each with its default parameters.

The gallery in docs/pictures/ shows a synthetic recording. With --data it shows a recording of UTD-MHAD (fused).

Run: python -m tests.pictures.gallery
     python -m tests.pictures.gallery --data ~/data --out /tmp/gallery.png
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sldml.commands.contact_sheet import contact_sheet
from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.embedding.images import represent
from sldml.embedding.normalize import normalize
from sldml.prepared.batches import Frames
from sldml.recordings import Layout, Recording
from sldml.recordings.readers import ntu, utd_mhad
from sldml.recordings.synthetic.dataset import SyntheticSource, generate

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
OUT = PICTURES / "gallery.png"
NAMES = [name for name in RepresentationConfig.names() if name != "image"]
STEPS = 64
NAME = "S001C003P008R001A007"


def images(recording: Recording, layout: Layout) -> dict[str, NDArray[np.uint8]]:
    """The main actor of a recording in each representation, [H, W, 3]."""
    frames = torch.from_numpy(recording.values)
    lengths = torch.tensor([len(frames)])
    signals = Frames(frames, None, layout, torch.device("cpu")).gather(torch.tensor([0]), lengths, STEPS)
    normalized = normalize(signals, NormalizeConfig(), layout)
    found = {}
    for name in NAMES:
        config = RepresentationConfig.model_validate({"name": name, "steps": STEPS, "num_bodies": 1})
        found[name] = represent(normalized, config, layout)[0].permute(1, 2, 0).round().byte().numpy()
    return found


def gallery(recording: Recording, layout: Layout) -> Image.Image:
    """The images side by side, with name and size as captions."""
    drawn = images(recording, layout)
    captions = [f"{name} ({image.shape[0]} x {image.shape[1]})" for name, image in drawn.items()]
    return contact_sheet(list(drawn.values()), captions, num_columns=3, side_px=256)


def synthetic_recording() -> Recording:
    """A synthetic recording in NTU's format: an exemplar of a novel class."""
    with tempfile.TemporaryDirectory() as folder:
        generate(SyntheticSource(num_auxiliary=4, recordings_per_class=2), Path(folder))
        return ntu.read(Path(folder) / f"{NAME}.skeleton")


def main() -> None:
    """Write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data folder with utd_mhad/ in it")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    if arguments.data is None:
        sheet = gallery(synthetic_recording(), ntu.LAYOUT)
    elif arguments.out == OUT:
        parser.error("--data needs --out: recordings of a dataset must not become part of the project")
    else:
        path = next(p for p in utd_mhad.find(arguments.data / "utd_mhad", "fused") if p.stem.startswith("a9_s1_t1"))
        sheet = gallery(utd_mhad.read(path, "fused"), utd_mhad.layout("fused"))
    sheet.save(arguments.out, optimize=True)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

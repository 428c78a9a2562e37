"""A worker process from its start to its first training step, outside of Ray: what it imports and what it costs.

Run by path, with the tree to look at as the working folder and in PYTHONPATH:

    python first_step.py prepare FOLDER     a small prepared set, and what Ray would send to a worker, pickled
    python first_step.py run FOLDER         does as a worker does; prints JSON: processor seconds, modules loaded

It knows the flat layout of `sldml` before commit ee1ae29, too, to compare with.
"""

import resource


def processor_s() -> float:
    """User and system time of this process, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


START_S = processor_s()

import importlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

FLAT = {
    "sldml.config.space_file": "sldml.space_files",
    "sldml.config.trial": "sldml.config",
    "sldml.prepared.batches": "sldml.batches",
    "sldml.prepared.prepared_set": "sldml.prepared",
    "sldml.protocols.make_split": "sldml.protocols",
    "sldml.training.loop": "sldml.training",
}
SENT, CONFIG = "sent.pickle", "config.json"
CHANGES = {
    "data": {"num_auxiliary": 20, "recordings_per_class": 4},
    "train": {"min_steps_per_epoch": 1},
}


def module(name: str) -> Any:
    """A module of the tree in the working folder, by the name that it has since ee1ae29."""
    is_flat = Path("sldml/training.py").is_file()
    return importlib.import_module(FLAT.get(name, name) if is_flat else name)


def prepare(folder: Path) -> None:
    """Write a synthetic set whose training classes fill one batch, and the pickle that a worker begins with."""
    from ray import cloudpickle
    from ray.tune.trainable.function_trainable import wrap_function

    space = module("sldml.config.space_file").read_space("demo")
    values = space.default_config().model_dump(mode="json")
    for part, changes in CHANGES.items():
        values[part].update(changes)
    values["protocol"]["num_auxiliary"] = CHANGES["data"]["num_auxiliary"]
    config = module("sldml.config.trial").TrialConfig.model_validate(values)
    prepared = module("sldml.prepared.prepared_set").prepare(config.data, None, folder, num_workers=1)
    trainable = module("sldml.search.trainable")
    job = trainable.Job(
        storage=str(folder),
        prepared=str(prepared.folder),
        server=None,
        layout=prepared.layout,
        development=module("sldml.protocols.make_split").make_split(config.protocol, prepared.catalog).development,
        threads=1,
    )
    (folder / SENT).write_bytes(
        cloudpickle.dumps((wrap_function(lambda config: trainable.train_trial(config, job)), job))
    )
    (folder / CONFIG).write_text(json.dumps(values))


def run(folder: Path) -> None:
    """Import as a Ray worker does, unpickle, train for one step; print what that took, and the modules then loaded."""
    seconds = {"python": START_S}
    importlib.import_module("ray._private.workers.default_worker")
    seconds["ray"] = processor_s()

    from ray import cloudpickle

    _, job = cloudpickle.loads((folder / SENT).read_bytes())
    seconds["imports"] = processor_s()

    import torch

    torch.set_num_threads(job.threads)
    torch.set_flush_denormal(True)
    config = module("sldml.config.trial").TrialConfig.model_validate(json.loads((folder / CONFIG).read_text()))
    signals = module("sldml.prepared.batches").Signals.open(Path(job.prepared), torch.device("cpu"))
    training = module("sldml.training.loop").Training(config, job.development.train, signals, job.layout)
    assert training.steps_per_epoch == 1
    loss = training.run_epoch().loss
    seconds["first step"] = processor_s()
    print(json.dumps({"processor_s": seconds, "loss": loss, "modules": sorted(sys.modules)}))


if __name__ == "__main__":
    {"prepare": prepare, "run": run}[sys.argv[1]](Path(sys.argv[2]))

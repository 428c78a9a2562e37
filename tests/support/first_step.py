"""A worker process from its start to its first training step, outside of Ray: what it imports and what it costs.

Run by path, with the tree to look at as the working folder and in PYTHONPATH:

    python first_step.py prepare FOLDER [PATH=VALUE …]
        Write a small prepared set, and what Ray would send to a worker, pickled. The configuration is the demo's
        default, changed at dotted paths.
    python first_step.py run FOLDER
        Do as a worker does. Prints JSON: `processor_s` (from the start of the process to the end of each part),
        `loss`, `modules` (those loaded at the end).

Trees before commit ee1ae29, whose layout is flat, can be looked at, too.
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
    "sldml.config.dotted": "sldml.dotted",
    "sldml.config.space_file": "sldml.space_files",
    "sldml.config.trial": "sldml.config",
    "sldml.prepared.prepared_set": "sldml.prepared",
    "sldml.protocols.make_split": "sldml.protocols",
}
IS_FLAT = Path("sldml/training.py").is_file()
SENT, CONFIG = "sent.pickle", "config.json"
ONE_BATCH = {
    "data": {"num_auxiliary": 20, "recordings_per_class": 4},
    "protocol": {"num_auxiliary": 20},
    "train": {"min_steps_per_epoch": 1},
}
"""The demo's training classes in as few recordings as one batch takes: an epoch is one step."""


def module(name: str) -> Any:
    """A module of the tree in the working folder, by the name that it has since ee1ae29."""
    return importlib.import_module(FLAT.get(name, name) if IS_FLAT else name)


def prepare(folder: Path, *changes: str) -> None:
    """Write everything that `run` needs."""
    from ray import cloudpickle
    from ray.tune.trainable.function_trainable import wrap_function

    dotted = module("sldml.config.dotted")
    config = module("sldml.config.space_file").read_space("demo").default_config()
    settings = dotted.unflatten(dict(change.split("=") for change in changes))
    values = dotted.merge(dotted.merge(config.model_dump(mode="json"), ONE_BATCH), settings)
    config = module("sldml.config.trial").TrialConfig.model_validate(values)
    prepared = module("sldml.prepared.prepared_set").prepare(config.data, None, folder, num_workers=1)
    trainable = module("sldml.search.trainable")
    job = trainable.Job(
        storage=str(folder),
        prepared=str(prepared.folder),
        server=None,
        development=module("sldml.protocols.make_split").make_split(config.protocol, prepared.catalog).development,
        threads=1,
        **({"layout": prepared.layout} if IS_FLAT else {}),
    )
    # As `tune.with_parameters` makes it: a class whose function has the job.
    trainable_class = wrap_function(lambda config: trainable.train_trial(config, job))
    (folder / SENT).write_bytes(cloudpickle.dumps((trainable_class, job)))
    (folder / CONFIG).write_text(config.model_dump_json())


def run(folder: Path) -> None:
    """Import as a Ray worker does, unpickle, train for one step."""
    seconds = {"python": START_S}
    importlib.import_module("ray._private.workers.default_worker")
    seconds["ray"] = processor_s()

    from ray import cloudpickle

    _, job = cloudpickle.loads((folder / SENT).read_bytes())
    seconds["imports"] = processor_s()

    training = make_training(json.loads((folder / CONFIG).read_text()), job)
    assert training.steps_per_epoch == 1
    loss = training.run_epoch().loss
    seconds["first step"] = processor_s()
    print(json.dumps({"processor_s": seconds, "loss": loss, "modules": sorted(sys.modules)}))


def make_training(values: dict[str, Any], job: Any) -> Any:
    """What a worker trains, on one thread."""
    import torch

    torch.set_num_threads(job.threads)
    torch.set_flush_denormal(True)
    config = module("sldml.config.trial").TrialConfig.model_validate(values)
    cpu, folder, train = torch.device("cpu"), Path(job.prepared), job.development.train
    if IS_FLAT:
        signals = module("sldml.batches").Signals.open(folder, cpu)
        return module("sldml.training").Training(config, train, signals, job.layout)
    frames = module("sldml.prepared.batches").Frames.open(folder, cpu)
    return module("sldml.training.loop").Training(config, module("sldml.embedding.view").View(frames, train))


if __name__ == "__main__":
    {"prepare": prepare, "run": run}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])

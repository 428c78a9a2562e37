"""Models as a search ships them, made without a search: on made recordings, or on real ones."""

from __future__ import annotations

from pathlib import Path

import torch

from sldml.config.data import DataConfig
from sldml.config.protocol import ProtocolConfig
from sldml.config.representation import NormalizeConfig
from sldml.embedding.embed import input_shape
from sldml.journal import Accuracy, Baseline, BaselineScore, Candidate, FinalResult, FoldTable, History, TestResults
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, as_prepared
from sldml.protocols.make_split import make_split
from sldml.recognition.baselines import initialised
from sldml.search.choice import ShippingDecision
from sldml.search.shipping import ship
from support.made_history import search_begun
from support.small import trial_config

FOLDS = FoldTable(num_folds=2, num_scored=2, ending="all repeats are done", rows=())


def ship_model(
    folder: Path,
    prepared: PreparedSet,
    data: DataConfig,
    protocol: ProtocolConfig,
    *,
    trained: bool = False,
    free: str = "dtw_1nn",
) -> TestResults:
    """Ship a small encoder (as initialised) or a training-free way; what `ship` returns."""
    config = trial_config(data=data.model_dump(), protocol=protocol.model_dump(), normalize={"center": "first_frame"})
    shape = input_shape(config.encoder, config.representation, prepared.layout)
    weights = initialised(config.encoder, shape, 3).state_dict()
    own = Candidate(baseline=free, normalize=NormalizeConfig(center="every_frame").model_dump())
    known = Baseline(free, (BaselineScore(candidate=own, val=0.5),))
    final = FinalResult(
        trial_id="t1",
        config=config.to_dict(),
        seeds=(1,),
        val_accuracy=0.9,
        num_epochs=1,
        test_accuracy=Accuracy(mean=0.9, ci95=None, values=(0.9,)),
        confusions=(),
    )
    return ship(
        folder,
        History(search_begun(), baselines={free: known}),
        TestResults(num_queries=1, num_classes=1, num_exemplars=1, finals=(final,)),
        ShippingDecision("t1" if trained else None, own, "made", folds=FOLDS),
        split=make_split(protocol, prepared.catalog),
        frames=Frames.open(prepared.folder, torch.device("cpu")),
        data=as_prepared(data, prepared),
        load_final=lambda trial_id, seed: weights,
        load_fold=lambda trial_id, num_folds: weights,
        load_trial=lambda trial_id: weights,
        search_name="made",
    )
